/** Decision trees through real processes; and what processes that were taken over cannot do. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { packModel, parseModelPackage } from '../../../enclave/functions/model-package.ts';
import { FRAME } from '../../../enclave/jail/frames.ts';
import type { Computer, JailPaths } from '../../../enclave/jail/gate-side.ts';
import type { TreeBounds, TreePolicy } from '../../../policies/model.ts';
import { jailEntries, type Entries } from './entries.ts';
import { openComputer } from './open-computer.ts';

const example = join(import.meta.dirname, '..', '..', '..', 'policies', 'examples', 'triage');
const manifest = readFileSync(join(example, 'manifest.json'), 'utf8');
const tree = readFileSync(join(example, 'tree.json'));
const record = (name: string): Uint8Array => readFileSync(join(example, 'inputs', name));
const BOUNDS = { depth: 8, nodes: 63, features: 16 };

let entries: Entries;
const open: Computer[] = [];
beforeAll(async () => {
  entries = await jailEntries();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((computer) => computer.close()));
});
afterAll(() => entries.remove());

interface Start {
  readonly bounds?: TreeBounds;
  readonly paths?: Partial<JailPaths>;
  readonly file?: Uint8Array;
}

async function start({ bounds = BOUNDS, paths = {}, file = tree }: Start = {}): Promise<Computer> {
  const policy: TreePolicy = {
    uses: 'decision-tree',
    model: { from: 'alice' },
    calls: { bob: 3 },
    input: { maxBytes: 4_096, buckets: [4_096] },
    tree: bounds,
    output: {},
    release: { afterMs: 0, padTo: 1_024 },
  };
  const model = parseModelPackage(packModel(manifest, file), 'decision-tree');
  const all = { ...entries.paths, ...paths };
  const computer = await openComputer(all, {
    kind: 'decision-tree',
    model,
    policy,
  });
  open.push(computer);
  return computer;
}

const call = (computer: Computer, input: Uint8Array, ms = 20_000): Promise<unknown> =>
  computer.run([input], { party: 'bob', signal: AbortSignal.timeout(ms), left: Promise.resolve() });

describe('a tree', () => {
  test('gives each record its label', async () => {
    const computer = await start();
    for (const [name, label] of [
      ['bob-1.json', 'can wait'],
      ['bob-2.json', 'today'],
      ['bob-3.json', 'at once'],
    ] as const) {
      expect(await call(computer, record(name))).toEqual({ label });
    }
  });

  test('a record that is none is refused in words for its caller, and the next is served', async () => {
    const computer = await start();
    const lacking = new TextEncoder().encode('{"features": {"temperature": 37}}');
    await expect(call(computer, lacking)).rejects.toMatchObject({
      code: 'jail/input-invalid',
      message: 'the record lacks the feature "heartRate"',
    });
    expect(await call(computer, record('bob-1.json'))).toEqual({ label: 'can wait' });
  });

  test('that is larger than the policy takes is refused in words for its owner', async () => {
    await expect(start({ bounds: { ...BOUNDS, nodes: 5 } })).rejects.toMatchObject({
      code: 'model/too-complex',
      message: expect.stringContaining('the tree has 17 nodes; the policy takes at most 5'),
    });
    await expect(start({ bounds: { ...BOUNDS, features: 5 } })).rejects.toMatchObject({ code: 'model/too-complex' });
    await expect(start({ file: new TextEncoder().encode('{') })).rejects.toMatchObject({
      code: 'model/malformed-tree',
    });
  });
});

/** A process taken over: `say(type, bytes)` writes a frame. */
function liar(which: string, name: string, onQuestion: string): string {
  const path = join(entries.folder, `${which}-${name.replaceAll(/\W/g, '-')}.mjs`);
  const text = `
    import { readSync, writeSync } from 'node:fs';
    const fill = (buffer) => { for (let at = 0; at < buffer.length; ) { const n = readSync(3, buffer, at, buffer.length - at, null); if (n === 0) process.exit(0); at += n; } return buffer; };
    const hear = () => { const head = fill(Buffer.alloc(5)); return fill(Buffer.alloc(head.readUInt32BE(1))); };
    const say = (type, body) => { const head = Buffer.alloc(5); head[0] = type; head.writeUInt32BE(body.length, 1); writeSync(3, Buffer.concat([head, body])); };
    hear();
    say(${FRAME.ready}, Buffer.alloc(0));
    for (;;) { hear(); ${onQuestion} }`;
  writeFileSync(path, text);
  return path;
}

const WALKER: readonly (readonly [name: string, code: string, onQuestion: string])[] = [
  ['a label beyond the manifest', 'jail/output-invalid', `say(${FRAME.label}, Buffer.from([0, 3]))`],
  ['a label of one byte', 'jail/compute-failed', `say(${FRAME.label}, Buffer.from([1]))`],
  ['words', 'jail/compute-failed', `say(${FRAME.label}, Buffer.from('the patient is Bob'))`],
  ['an answer of the classifier', 'jail/compute-failed', `say(${FRAME.candidates}, Buffer.alloc(10))`],
  ['a crash', 'jail/compute-failed', 'process.abort()'],
  ['no answer', 'jail/compute-timeout', ''],
];
const READER: readonly (readonly [name: string, code: string, onQuestion: string])[] = [
  ['too few numbers', 'jail/compute-failed', `say(${FRAME.vector}, Buffer.alloc(28))`],
  ['too many numbers', 'jail/compute-failed', `say(${FRAME.vector}, Buffer.alloc(68))`],
  [
    'a reason that is none',
    'jail/compute-failed',
    `say(${FRAME.unreadable}, Buffer.from([77, 0, 0, 0, 0, 0, 0, 0, 0]))`,
  ],
  [
    'a feature that is none',
    'jail/compute-failed',
    `say(${FRAME.unreadable}, Buffer.from([6, 0, 0, 0, 99, 0, 0, 0, 0]))`,
  ],
  ['a crash', 'jail/compute-failed', 'process.abort()'],
];

describe('a walking process that was taken over writes nothing of its own into an answer', () => {
  test.each(WALKER)('%s', async (name, code, onQuestion) => {
    const computer = await start({ paths: { tree: liar('tree', name, onQuestion) } });
    await expect(call(computer, record('bob-1.json'), 3_000)).rejects.toMatchObject({ code });
  });

  test('at most it chooses among the labels', async () => {
    const computer = await start({
      paths: { tree: liar('tree', 'a choice', `say(${FRAME.label}, Buffer.from([0, 2]))`) },
    });
    expect(await call(computer, record('bob-1.json'))).toEqual({ label: 'at once' });
  });
});

describe('a reading process that was taken over', () => {
  test.each(READER)('%s', async (name, code, onQuestion) => {
    const computer = await start({ paths: { record: liar('record', name, onQuestion) } });
    await expect(call(computer, record('bob-1.json'), 3_000)).rejects.toMatchObject({ code });
  });

  test('that gives numbers which are none gets a label nevertheless, and nothing else', async () => {
    const nan = `say(${FRAME.vector}, Buffer.alloc(64, 0xff))`;
    const computer = await start({ paths: { record: liar('record', 'nan', nan) } });
    expect(await call(computer, record('bob-1.json'))).toEqual({ label: 'can wait' });
  });
});
