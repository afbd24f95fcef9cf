/** `npm run faults`: makes the checkout ready, then looks for a broken promise. Arguments: see `main.ts`. */
import { join } from 'node:path';
import { hand, ready, root } from '../../build/ready.mjs';

await ready();
process.exitCode = await hand(join(root, 'dist', 'test', 'faults', 'main.js'), process.argv.slice(2));
