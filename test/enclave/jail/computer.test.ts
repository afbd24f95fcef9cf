/** The whole of a computer, with models that are made here: real processes, real pictures. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import sharp from 'sharp';
import { startComputer, type Computer, type JailPaths, type RunOptions } from '../../../enclave/jail/gate-side.ts';
import type { ModelPackage } from '../../../enclave/functions/model-package.ts';
import { createNursery } from '../../../enclave/jail/nursery.ts';
import { KEEPS_FREED_MEMORY } from '../../../enclave/jail/prefault.ts';
import { realTimers } from '../real-timers.ts';
import { jailEntries, type Entries } from './entries.ts';
import * as models from './models.ts';
import { openComputer } from './open-computer.ts';
import * as pictures from './pictures.ts';

let entries: Entries;
const open: Computer[] = [];

beforeAll(async () => {
  entries = await jailEntries();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((computer) => computer.close()));
});
afterAll(() => entries.remove());

async function start(
  model: ModelPackage = models.meansModel(),
  options: {
    readonly paths?: JailPaths;
    readonly topK?: number;
    readonly calls?: Readonly<Record<string, number>>;
  } = {},
): Promise<Computer> {
  const { paths = entries.paths, topK = 3, calls = { alice: 3 } } = options;
  const kind = 'image-classification';
  const computer = await openComputer(paths, {
    kind,
    model,
    policy: { ...models.policyFor(kind, { topK }), calls },
  });
  open.push(computer);
  return computer;
}

const plain = (background: string, width = 40, height = 30): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer();

const seconds: RunOptions = { party: 'alice', signal: new AbortController().signal, left: Promise.resolve() };
const within = (milliseconds: number): RunOptions => ({
  party: 'alice',
  signal: AbortSignal.timeout(milliseconds),
  left: Promise.resolve(),
});
const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};
/** Keeps a process from going on, also once it has been woken for a call. Gives what lets it go on. */
function hold(pid: number): () => void {
  const stop = (): void => {
    if (alive(pid)) process.kill(pid, 'SIGSTOP');
  };
  const held = setInterval(stop, 1).unref();
  return () => {
    clearInterval(held);
    if (alive(pid)) process.kill(pid, 'SIGCONT');
  };
}
/** Processes of this test's jails, by their command lines. */
const jails = (): readonly string[] =>
  readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || !alive(Number(pid))) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(entries.folder);
    } catch {
      return false;
    }
  });
const gone = async (pids: readonly number[]): Promise<void> => {
  await expect.poll(() => pids.filter(alive), { timeout: 5_000 }).toEqual([]);
};

describe('a call', () => {
  test('gives labels of the manifest, best first, rounded', async () => {
    const computer = await start();
    expect(await computer.run([await plain('#ff0000')], seconds)).toEqual({
      labels: [
        { label: 'red', score: 0.999 },
        { label: 'green', score: 0 },
        { label: 'blue', score: 0 },
      ],
    });
    expect(await computer.run([await plain('#0000ff')], seconds)).toMatchObject({
      labels: [{ label: 'blue' }, {}, {}],
    });
  });

  test('gives no more than topK', async () => {
    const computer = await start(models.meansModel(), { topK: 1 });
    expect(await computer.run([await plain('#00ff00')], seconds)).toEqual({
      labels: [{ label: 'green', score: 0.999 }],
    });
  });

  test('gives the same for the same input, and calls do not mix', async () => {
    const computer = await start();
    const inputs = await Promise.all(['#ff0000', '#00ff00', '#0000ff'].map((colour) => plain(colour)));
    const alone = [];
    for (const input of inputs) alone.push(await computer.run([input], seconds));
    const together = await Promise.all([...inputs, ...inputs].map((input) => computer.run([input], seconds)));
    expect(together).toEqual([...alone, ...alone]);
  });

  test('takes the tensor in every layout, colour order and type the manifest can say', async () => {
    const nhwc = models.meansGraph({
      nodes: [models.node('ReduceMean', ['x'], ['y'], [models.ints('axes', [1, 2]), models.int('keepdims', 0)])],
      inputs: [models.value('x', ['batch', models.SIDE, models.SIDE, 3])],
    });
    const { input } = models.MEANS_MANIFEST;
    const computer = await start(
      models.meansModel(models.bytesOf(models.modelOf(nhwc)), { input: { ...input, layout: 'NHWC', colour: 'BGR' } }),
    );
    expect(await computer.run([await plain('#0000ff')], seconds)).toMatchObject({ labels: [{ label: 'red' }, {}, {}] });

    const bytes = models.meansGraph({
      nodes: [
        models.node('Cast', ['x'], ['f'], [models.int('to', 1)]),
        models.node('ReduceMean', ['f'], ['m'], [models.ints('axes', [2, 3]), models.int('keepdims', 0)]),
        models.node('Div', ['m', 'd'], ['y']),
      ],
      initializers: [models.floats('d', [1], [32])],
      inputs: [models.value('x', [1, 3, models.SIDE, models.SIDE], 2)],
    });
    const { scale: _, ...raw } = input;
    const uint8 = await start(
      models.meansModel(models.bytesOf(models.modelOf(bytes)), { input: { ...raw, dtype: 'uint8' } }),
    );
    expect(await uint8.run([await plain('#ff0000')], seconds)).toMatchObject({
      labels: [{ label: 'red', score: 0.999 }, {}, {}],
    });
  });
});

describe('an input that is none', () => {
  const refused = (input: Uint8Array | Promise<Uint8Array>, message: RegExp) => async () => {
    const computer = await start();
    const call = computer.run([await input], seconds);
    await expect(call).rejects.toMatchObject({ code: 'jail/input-invalid', kind: 'malformed' });
    await expect(call).rejects.toThrow(message);
    expect(await computer.run([await plain('#ff0000')], seconds)).toMatchObject({ labels: [{ label: 'red' }, {}, {}] });
  };
  const cut = (bytes: Promise<Buffer>): Promise<Buffer> => bytes.then((whole) => whole.subarray(0, whole.length * 0.6));

  test('empty', refused(new Uint8Array(), /empty/));
  test('text', refused(Buffer.from('hello, I am a picture'), /not a picture in a format/));
  test('one byte', refused(Uint8Array.of(0xff), /not a picture in a format/));
  test('larger than the policy allows', refused(new Uint8Array(8_388_609), /8388609 bytes.*at most 8388608/));
  test('one pixel', refused(plain('#fff', 1, 1), /1 x 1 pixels; each side needs at least 8/));
  test(
    'a header of 100,000 x 100,000',
    refused(pictures.claimingPng(100_000, 100_000), /100000 x 100000 pixels; at most 16384/),
  );
  test('a header of 16,000 x 16,000', refused(pictures.claimingPng(16_000, 16_000), /50000000 in all/));
  test('animated WebP', refused(pictures.animated('webp'), /animated/));
  test('animated PNG', refused(plain('#fff').then(pictures.animatedPng), /animated/));
  test('GIF', refused(pictures.animated('gif'), /not a picture in a format/));
  test('SVG', refused(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"/>'), /format/));
  test.each(['jpeg', 'png', 'webp'] as const)('cut off: %s', (format) =>
    refused(cut(pictures.noisy(200, 200, format)), /damaged or cut off/)(),
  );
  test(
    'PNG without its last chunk',
    refused(
      plain('#fff').then((png) => png.subarray(0, -1)),
      /damaged or cut off/,
    ),
  );
  test('a JPEG header alone', refused(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0), /damaged/));
});

describe('a process that dies or hangs', () => {
  // Of each kind one that is next, and a spare.
  const [decode, compute] = [0, 2];
  const works = async (computer: Computer): Promise<void> => {
    expect(await computer.run([await plain('#ff0000')], seconds)).toMatchObject({ labels: [{}, {}, {}] });
  };
  /** Whatever is done with it takes longer than it takes to hold who does it. */
  const hard = (): Promise<Buffer> => plain('#ff0000', 5_000, 4_000);

  test.each([
    ['decoding', decode],
    ['computing', compute],
  ])('%s process killed while it waits: the next call meets a fresh one', async (_, which) => {
    const computer = await start();
    await expect.poll(() => computer.pids(), { timeout: 20_000 }).toHaveLength(4);
    const pid = computer.pids()[which] ?? 0;
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => computer.pids()).not.toContain(pid);
    await works(computer);
    await expect.poll(() => computer.pids(), { timeout: 20_000 }).toHaveLength(4);
    expect(computer.pids()).not.toContain(pid);
  });

  test.each([
    ['decoding', decode],
    ['computing', compute],
  ])('%s process killed at work: one refused call', async (_, which) => {
    const computer = await start(which === compute ? models.slowModel(4) : models.meansModel());
    await expect.poll(() => computer.pids(), { timeout: 20_000 }).toHaveLength(4);
    const pid = computer.pids()[which] ?? 0;
    const letGo = hold(pid);
    const call = computer.run([await hard()], seconds);
    setTimeout(() => process.kill(pid, 'SIGKILL'), 1_500);
    await expect(call).rejects.toMatchObject({ code: 'jail/compute-failed', kind: 'environment' });
    letGo();
    await works(computer);
  });

  test.each([
    ['decoding', decode],
    ['computing', compute],
  ])('%s process that hangs is killed in time: one refused call', async (_, which) => {
    const computer = await start(which === compute ? models.slowModel(4) : models.meansModel());
    await expect.poll(() => computer.pids(), { timeout: 20_000 }).toHaveLength(4);
    const pid = computer.pids()[which] ?? 0;
    const letGo = hold(pid);
    const call = computer.run([await hard()], within(3_000));
    await expect(call).rejects.toMatchObject({ code: 'jail/compute-timeout', kind: 'environment' });
    await gone([pid]);
    letGo();
    await works(computer);
  });

  test('a call that waits for another one is refused at its own time, and disturbs nothing', async () => {
    const computer = await start();
    const pid = computer.pids()[decode] ?? 0;
    const letGo = hold(pid);
    const input = await hard();
    const first = computer.run([input], seconds);
    await expect(computer.run([input], within(200))).rejects.toMatchObject({ code: 'jail/compute-timeout' });
    expect(alive(pid)).toBe(true);
    letGo();
    expect(await first).toMatchObject({ labels: [{ label: 'red' }, {}, {}] });
    await works(computer);
  });

  test('a call of another party has a lane of its own: it waits for nobody', async () => {
    const computer = await start(models.meansModel(), { calls: { alice: 3, bob: 3 } });
    await expect.poll(() => computer.pids().length, { timeout: 20_000 }).toBe(8);
    const input = await hard();
    // Two of each party, first those that decode.
    const before = computer.pids();
    expect(await computer.run([input], { ...seconds, party: 'bob' })).toMatchObject({
      labels: [{ label: 'red' }, {}, {}],
    });
    await expect.poll(() => before.filter((pid) => !alive(pid)).map((pid) => before.indexOf(pid))).toEqual([2, 6]);
    const [decodes, computes] = [before.slice(0, 4), before.slice(4)];
    const letGo = [...decodes.slice(0, 2), ...computes.slice(0, 2)].map(hold);
    const late = new AbortController();
    const stuck = computer.run([input], { ...seconds, signal: late.signal });
    const gaveUp = expect(stuck).rejects.toMatchObject({ code: 'jail/compute-timeout' });
    expect(await computer.run([input], { ...seconds, party: 'bob' })).toMatchObject({
      labels: [{ label: 'red' }, {}, {}],
    });
    late.abort();
    await gaveUp;
    for (const one of letGo) one();
    await expect(computer.run([input], { ...seconds, party: 'charlie' })).rejects.toMatchObject({ code: 'jail/compute-failed' }); // prettier-ignore
  });

  test('what a call used is ended and replaced once its answer has left, not before', async () => {
    const computer = await start();
    await expect.poll(() => computer.pids().length, { timeout: 20_000 }).toBe(4);
    const [reader = 0, , computing = 0] = computer.pids();
    let leave = (): void => {};
    const left = new Promise<void>((resolve) => (leave = resolve));
    await computer.run([await plain('#ff0000')], { ...seconds, left });
    await new Promise((resolve) => void setTimeout(resolve, 300));
    expect(computer.pids()).toEqual(expect.arrayContaining([reader, computing]));
    expect(computer.pids()).toHaveLength(4);
    leave();
    await expect
      .poll(() => computer.pids(), { timeout: 20_000 })
      .toEqual(expect.not.arrayContaining([reader, computing]));
    await expect.poll(() => computer.pids().length, { timeout: 20_000 }).toBe(4);
  });

  test('what waits for a call, and what has had its call, rests: the kernel gives it no time', async () => {
    const stateOf = (pid: number): string =>
      /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
    const states = (pids: readonly number[]): string => pids.map(stateOf).join('');
    const computer = await start();
    await expect.poll(() => states(computer.pids()), { timeout: 20_000 }).toBe('TTTT');
    const before = computer.pids();
    await computer.run([await plain('#ff0000')], { ...seconds, left: new Promise(() => {}) });
    await expect.poll(() => states(before)).toBe('TTTT');
    expect(await computer.run([await plain('#00ff00')], seconds)).toMatchObject({ labels: [{}, {}, {}] });
  });

  test('a model that computes for longer than the call may last', async () => {
    const computer = await start(models.slowModel(4));
    const input = await plain('#ff0000');
    await expect(computer.run([input], within(60))).rejects.toMatchObject({ code: 'jail/compute-timeout' });
    expect(await computer.run([input], seconds)).toMatchObject({ labels: [{}, {}, {}] });
  });
});

describe('the life of the processes', () => {
  test('they have nothing in their environment but what their libraries are told, and stand in an empty folder', async () => {
    const computer = await start();
    await expect.poll(() => computer.pids(), { timeout: 20_000 }).toHaveLength(4);
    const [decode = 0, , compute = 0] = computer.pids();
    // The C library takes its own words apart where they stand.
    const environment = (pid: number): string =>
      readFileSync(`/proc/${pid}/environ`, 'utf8').replaceAll('\0glibc.', ':glibc.');
    // bubblewrap says where the process stands.
    const { namespaces } = entries.paths.prison.confinement;
    const folder = namespaces ? 'PWD=/\0' : '';
    const heap = Object.entries(KEEPS_FREED_MEMORY).map(([name, value]) => `${name}=${value}\0`);
    expect(environment(decode)).toBe([...heap, folder].join(''));
    expect(environment(compute)).toBe(`ORT_DISABLE_TELEMETRY=1\0${folder}`);
    for (const pid of [decode, compute]) {
      expect(execFileSync('readlink', [`/proc/${pid}/cwd`], { encoding: 'utf8' }).trim()).toBe(
        namespaces ? '/' : entries.paths.cwd,
      );
      expect(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim()).toBe('1000');
      expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toContain('--disallow-code-generation-from-strings');
    }
  });

  test('close leaves none, and later calls are refused', async () => {
    const computer = await start();
    await expect.poll(() => computer.pids(), { timeout: 20_000 }).toHaveLength(4);
    const pids = computer.pids();
    await computer.close();
    await gone(pids);
    await expect(computer.run([await plain('#fff')], seconds)).rejects.toMatchObject({ code: 'jail/compute-failed' });
  });

  test('an aborted start leaves none', async () => {
    const abort = new AbortController();
    const kind = 'image-classification';
    const paths = entries.paths;
    const options = {
      kind,
      model: models.slowModel(200),
      policy: models.policyFor(kind),
      paths,
      timers: realTimers,
      nursery: createNursery(1),
    } as const;
    const started = startComputer({ ...options, signal: abort.signal });
    started.catch(() => {}); // told below
    await expect.poll(() => jails().length, { timeout: 20_000 }).toBeGreaterThanOrEqual(2);
    abort.abort(new Error('enough'));
    await expect(started).rejects.toThrow('enough');
    expect(jails()).toEqual([]);
  });

  test.each([
    ['a Node binary', { node: '/nonexistent/node' }],
    ['an entry file', { decode: '/nonexistent/decode.mjs' }],
    ['an empty folder', { cwd: '/nonexistent' }],
  ])('without %s it does not start', async (_, wrong) => {
    const started = start(models.meansModel(), { paths: { ...entries.paths, ...wrong } });
    await expect(started).rejects.toMatchObject({
      code: 'jail/not-started',
    });
    expect(jails()).toEqual([]);
  });
});
