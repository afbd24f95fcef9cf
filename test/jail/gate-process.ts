/**
 * A gate as a process of its own, for the tests of what becomes of it. Arguments: entry file, empty folder, bubblewrap,
 * attempt. Says what holds the jail once there is one.
 */
import { FRAME } from '../../enclave/jail/frames.ts';
import { openPrison } from '../../enclave/jail/prison.ts';
import { spawnJail } from '../../enclave/jail/process.ts';
import { realTimers } from '../enclave/real-timers.ts';

const [entry = '', cwd = '', bwrap = '', attempt = ''] = process.argv.slice(2);
const spec = { node: process.execPath, entry, cwd, env: {} };
const prison = await openPrison(spec, realTimers, bwrap);
const ask = async (body: string): Promise<void> => {
  await jail.ask(FRAME.input, [new TextEncoder().encode(body)], { [FRAME.candidates]: 100 });
};
const jail = spawnJail(spec, prison);
await ask('{"call":{"number":39,"arguments":[]}}');
if (attempt === 'rest') jail.rest();
else if (attempt !== '') void ask(attempt).catch(() => {});
process.stdout.write(JSON.stringify(prison.confinement));
setInterval(() => {}, 60_000);
