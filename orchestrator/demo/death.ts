/** A chapter for real machines: the enclave is killed, says why, and the collaboration goes on. */
import { readFile, readdir } from 'node:fs/promises';
import { call, connect, fieldsOf, inWords, start } from './cast.ts';
import type { Called, Play, Scene } from './cast.ts';

const END_MS = 15_000;

export async function tellDeath(scene: Scene, play: Play, first: Called): Promise<void> {
  const { stage, story } = scene;
  story.chapter('The host kills the enclave: the reason is told, and the collaboration goes on');
  const before = await consoleOf(scene, play);
  story.check(
    'before that, the module inside the machine says the PCR0 that the parties computed',
    before.lines.some((line) => line.includes('"booted"') && line.includes(play.measurements.PCR0)),
    `its life line: {"accord":"booted",…"pcr0":"${play.measurements.PCR0.slice(0, 32)}…"}`,
  );
  const pid = await machineOf(stage.orchestratorFolder, play.id);
  story.check('it runs as a machine of its own', pid !== undefined, `process ${pid ?? '?'}`);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  const after = await ended(scene, play);
  story.check('killed with kill -9, it is reported as such', /SIGKILL/.test(after), after);
  await start(scene, play);
  await connect(scene, play);
  story.fact('Started again, it has the same PCR0, so no key policy changes, and nobody contributes anything again.');
  const again = await call(scene, 'alice', play, 'alice-1', ['--retry', first.callId]);
  story.check(
    'what it must remember it read back: Alice is given her first answer again',
    again.exitCode === 0 && again.answer === first.answer,
    inWords(again),
  );
}

interface Console {
  readonly lines: readonly string[];
  readonly state: string;
  readonly reason: string;
}

async function consoleOf({ stage }: Scene, { id }: Play): Promise<Console> {
  const printed = await stage.must(['console', id, '--orchestrator', stage.orchestratorUrl]);
  const fields = fieldsOf(printed);
  const lines: unknown = printed['lines'];
  return {
    lines: Array.isArray(lines) ? lines.map(String) : [],
    state: fields.text('state'),
    reason: fields.optionalText('reason') ?? '',
  };
}

/** Why it ended, once that is known. */
async function ended(scene: Scene, play: Play): Promise<string> {
  const deadline = performance.now() + END_MS;
  for (;;) {
    const { state, reason } = await consoleOf(scene, play);
    if (state === 'stopped' || performance.now() > deadline) return `${state}: ${reason}`;
  }
}

/** The process that is the machine of this collaboration: it names the image on its command line. */
async function machineOf(folder: string, id: string): Promise<number | undefined> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const line = await readFile(`/proc/${name}/cmdline`, 'latin1').catch(() => '');
    const [program = ''] = line.split('\0');
    if (program.endsWith('qemu-system-x86_64') && line.includes(folder) && line.includes(id)) return Number(name);
  }
  return undefined;
}
