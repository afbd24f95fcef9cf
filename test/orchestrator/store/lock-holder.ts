/** Takes the lock of a folder and holds it until the process is killed. */
import { lockDataFolder } from '../../../orchestrator/store/lock.ts';

await lockDataFolder(process.argv[2] ?? '');
process.stdout.write('held\n');
setInterval(() => {}, 60_000);
