/** `npm run timing`: makes the checkout ready, then times calls. Arguments: see `main.ts`. */
import { join } from 'node:path';
import { hand, ready, root } from '../../build/ready.mjs';

await ready();
process.exitCode = await hand(join(root, 'dist', 'test', 'timing', 'main.js'), process.argv.slice(2));
