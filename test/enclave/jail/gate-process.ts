/**
 * A gate as a process of its own, for the test that kills it: starts a computer with a model that takes minutes to load
 * (argument `busy`) or a quick one (`idle`), and says so. Arguments: paths of Node and both jails, folder, which.
 */
import { barePrison } from './bare-prison.ts';
import { meansModel, policyFor, slowModel } from './models.ts';
import { openComputer } from './open-computer.ts';

const [node = '', decode = '', compute = '', cwd = '', which = ''] = process.argv.slice(2);
const kind = 'image-classification';
const started = openComputer(
  { node, decode, compute, record: '', tree: '', cwd, prison: barePrison() },
  {
    kind,
    model: which === 'busy' ? slowModel(2_000) : meansModel(),
    policy: policyFor(kind),
  },
);
if (which === 'idle') await started;
process.stdout.write('started\n');
await started;
setInterval(() => {}, 60_000);
