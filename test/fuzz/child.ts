/** What `npm run fuzz` starts for each target. */
import { serve } from './serve.ts';
import type { Assignment } from './serve.ts';
import { openTarget } from './targets.ts';

const assignment: Assignment = JSON.parse(process.argv[2] ?? '{}');
await serve(assignment, openTarget);
process.exit(0);
