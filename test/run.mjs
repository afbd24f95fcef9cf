/** `npm test`: makes the checkout ready, then runs the whole suite. Arguments go to vitest. */
import { join } from 'node:path';
import { hand, ready, root } from '../build/ready.mjs';

await ready();
process.exitCode = await hand(join(root, 'node_modules', 'vitest', 'vitest.mjs'), ['run', ...process.argv.slice(2)]);
