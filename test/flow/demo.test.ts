/** `npm run demo` as a stranger runs it: whole, twice at once, stopped in the middle, and killed. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLEAN, ROOT, compiled, processesWith, startNode } from './processes.ts';
import type { Started } from './processes.ts';

const DEMO = join(ROOT, 'orchestrator', 'demo.mjs');

let folder: string;
const started: Started[] = [];

beforeAll(async () => {
  await compiled();
  folder = await mkdtemp(join(tmpdir(), 'accord-flow-demo-'));
}, 240_000);
afterAll(async () => {
  for (const { pid, child } of started)
    if (child.exitCode === null && child.signalCode === null) sendToGroup(pid, 'SIGKILL');
  await rm(folder, { recursive: true, force: true });
}, 30_000);

/** Its own temporary folder, so that what it leaves there can be seen; a group of its own, as a terminal gives it. */
function startDemo(temporary: string): Started {
  const env = { ...CLEAN, TMPDIR: temporary };
  const demo = startNode({ cwd: folder, env }, [DEMO, '--json'], { detached: true });
  started.push(demo);
  return demo;
}

const temporaryFolder = (name: string): Promise<string> => mkdtemp(join(folder, `${name}-`));

function sendToGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // gone
  }
}

interface Told {
  readonly ok: boolean;
  readonly chapters: readonly {
    readonly title: string;
    readonly checks: readonly { readonly claim: string; readonly shown: string }[];
  }[];
}

/** What every telling must have checked, chapter by chapter. */
const CHAPTERS: readonly (readonly [RegExp, readonly RegExp[]])[] = [
  [/^The policy/, [/no faults/]],
  [/^The image/, [/have the same measurements/]],
  [/^The keys/, [/host's Decrypt/, /host's ReEncrypt/, /host's CreateGrant/, /Bob's own Decrypt/]],
  [/^The anchors/, [/no way around either/, /key of its state/]],
  [/^Bob's weights/, [/the enclave opened Bob's weights/]],
  [/^The jail/, [/says what holds them/]],
  [/^Alice/, [/is the image she built/, /alice-1/, /alice-2/, /alice-3/, /same answer, for free/, /fourth call is refused/]],
  [/^The host restarts the enclave/, [/cannot remove an entry/, /cannot even list/, /contributed once/, /after a restart: 0 left/, /fourth call after a restart is refused/, /at the second copy: 0 left/, /fourth call at the second copy is refused/, /also from the other copy/]],
  [/^Bob: two calls/, [/bob-1/, /bob-2/, /third call is refused/]],
  [/^The host restores an old disk/, [/with the old disk: 0 left/, /fourth call with the old disk is refused/, /Bob's third call is refused/]],
  [/^Charlie/, [/other measurements/, /Bob's ciphertext, and refuses it/, /Bob's KMS refuses/, /Alice's third call here is refused/, /Charlie's fifth is refused/, /without anchors the trick works/, /had said so/]],
  [/^One byte/, [/its PCR0 is another/, /verification says no/, /before anything is sent/, /alice's KMS refuses/, /bob's KMS refuses/]],
  [/^What the host saw/, [/answers and refusals all had one size/, /answer left 1000 ms after its request/, /requests had one size/, /no picture, no weights and no label/, /none in the anchors/]],
]; // prettier-ignore

function demandWhole(out: string): void {
  const { ok, chapters }: Told = JSON.parse(out);
  expect(ok).toBe(true);
  expect(chapters).toHaveLength(CHAPTERS.length);
  for (const [index, [title, claims]] of CHAPTERS.entries()) {
    const chapter = chapters[index];
    expect(chapter?.title).toMatch(title);
    const made = chapter?.checks.map(({ claim }) => claim) ?? [];
    for (const claim of claims) expect(made.filter((text) => claim.test(text))).toHaveLength(1);
  }
}

/** Until a process of the demo has this in its command line. */
async function until(temporary: string, program: string): Promise<void> {
  await expect
    .poll(async () => (await processesWith(temporary)).filter(({ commandLine }) => commandLine.includes(program)), {
      timeout: 120_000,
      interval: 200,
    })
    .not.toEqual([]);
}

/** Everything runs then: services, and an enclave with its jails. */
const IN_THE_MIDDLE = 'gate.mjs';
const AT_THE_START = 'local-aws';

/** Nothing that the demo started; enclaves are run from below its folder, services have it in their command line. */
const nothingRuns = (temporary: string, timeout: number): Promise<void> =>
  expect.poll(() => processesWith(temporary), { timeout, interval: 200 }).toEqual([]);

describe('the demo', () => {
  it('tells the whole story, also where two are told at once, and leaves nothing', { timeout: 600_000 }, async () => {
    const temporary = await temporaryFolder('two');
    const outcomes = await Promise.all([startDemo(temporary).outcome, startDemo(temporary).outcome]);
    for (const { code, out, err } of outcomes) {
      expect(code, `${err}${out.slice(-2_000)}`).toBe(0);
      demandWhole(out);
    }
    await nothingRuns(temporary, 5_000);
    expect(await readdir(temporary)).toEqual([]);
  });

  it.each([
    ['Ctrl-C at the terminal', IN_THE_MIDDLE, ({ pid }: Started): void => sendToGroup(pid, 'SIGINT')],
    ['SIGINT to the command alone', IN_THE_MIDDLE, ({ child }: Started): void => void child.kill('SIGINT')],
    ['SIGTERM to the command alone', AT_THE_START, ({ child }: Started): void => void child.kill('SIGTERM')],
  ])('%s ends all of it, in order, and removes its folder', { timeout: 300_000 }, async (_, moment, stop) => {
    const temporary = await temporaryFolder('stopped');
    const demo = startDemo(temporary);
    await until(temporary, moment);
    stop(demo);
    const { code, out, err } = await demo.outcome;
    expect({ code, out }).toEqual({ code: 130, out: '' });
    expect(err).toContain('interrupted');
    await nothingRuns(temporary, 5_000);
    expect(await readdir(temporary)).toEqual([]);
  });

  it('is killed: its services see that they are alone, and stop by themselves', { timeout: 300_000 }, async () => {
    const temporary = await temporaryFolder('killed');
    const demo = startDemo(temporary);
    await until(temporary, IN_THE_MIDDLE);
    const services = await processesWith(temporary);
    expect(services.map(({ commandLine }) => /bin\.js (local-aws|up) /.exec(commandLine)?.[1])).toEqual(
      expect.arrayContaining(['local-aws', 'up']),
    );
    sendToGroup(demo.pid, 'SIGKILL');
    expect(await demo.outcome).toMatchObject({ code: null, signal: 'SIGKILL' });
    await nothingRuns(temporary, 20_000);
  });
});
