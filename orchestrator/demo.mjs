/** `npm run demo`: makes the checkout ready, then tells the story with the compiled command line. */
import { join } from 'node:path';
import { hand, ready, root } from '../build/ready.mjs';

await ready();
process.exitCode = await hand(join(root, 'dist', 'orchestrator', 'cli', 'bin.js'), ['demo', ...process.argv.slice(2)]);
