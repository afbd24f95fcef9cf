/**
 * Jails that were taken over: processes that speak the protocol as far as it helps them, and then lie. Whatever they say,
 * the gate refuses the one call, with words of its own, and writes nothing they chose into an answer.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import sharp from 'sharp';
import { FRAME } from '../../../enclave/jail/frames.ts';
import { spawnJail } from '../../../enclave/jail/process.ts';
import { barePrison } from './bare-prison.ts';
import { jailEntries, type Entries } from './entries.ts';
import { meansModel, policyFor, SIDE } from './models.ts';
import { openComputer } from './open-computer.ts';

let entries: Entries;
let picture: Uint8Array;
beforeAll(async () => {
  entries = await jailEntries();
  picture = await sharp({ create: { width: 32, height: 32, channels: 3, background: '#f00' } })
    .png()
    .toBuffer();
});
afterAll(() => entries.remove());

/** What a process taken over does with a question; `say(type, bytes)` writes a frame, `raw(bytes)` what it likes. */
const script = (name: string, onQuestion: string): string => {
  const path = join(entries.folder, `${name}.mjs`);
  const text = `
    import { readSync, writeSync, closeSync } from 'node:fs';
    const raw = (bytes) => writeSync(3, bytes);
    const fill = (buffer) => { for (let at = 0; at < buffer.length; ) { const n = readSync(3, buffer, at, buffer.length - at, null); if (n === 0) process.exit(0); at += n; } return buffer; };
    const hear = () => { const head = fill(Buffer.alloc(5)); return fill(Buffer.alloc(head.readUInt32BE(1))); };
    const say = (type, body) => { const head = Buffer.alloc(5); head[0] = type; head.writeUInt32BE(body.length, 1); raw(Buffer.concat([head, body])); };
    const candidate = (label, score) => { const bytes = Buffer.alloc(10); bytes.writeUInt16BE(label); bytes.writeDoubleBE(score, 2); return bytes; };
    const picture = (width, height, type, pixels) => { const bytes = Buffer.alloc(9); bytes.writeUInt32BE(width); bytes.writeUInt32BE(height, 4); bytes[8] = type; return Buffer.concat([bytes, pixels]); };
    hear();
    say(${FRAME.ready}, Buffer.alloc(0));
    for (;;) { hear(); ${onQuestion} }`;
  writeFileSync(path, text);
  return path;
};

test('a process that speaks without being asked is ended', async () => {
  const later = 'await new Promise((resolve) => setTimeout(resolve, 200));';
  const entry = script('unasked', `say(${FRAME.ready}, Buffer.alloc(0)); ${later} raw(Buffer.from([1]));`);
  const jail = spawnJail({ node: process.execPath, entry, cwd: entries.folder, env: {} }, barePrison());
  const nothing = { [FRAME.ready]: 0 };
  try {
    await jail.ask(FRAME.plan, [], nothing);
    await jail.ask(FRAME.prefault, [], nothing);
    await expect.poll(() => jail.alive()).toBe(false);
    await expect(jail.ask(FRAME.prefault, [], nothing)).rejects.toMatchObject({ code: 'jail/compute-failed' });
  } finally {
    await jail.kill();
  }
});

type Lie = readonly [name: string, code: string, onQuestion: string];

async function callWith(which: 'decode' | 'compute', name: string, onQuestion: string): Promise<Error> {
  const kind = 'image-classification';
  const liar = script(`${which}-${name.replaceAll(/\W/g, '-')}`, onQuestion);
  const paths = { ...entries.paths, [which]: liar };
  const policy = policyFor(kind, { topK: 3 });
  const computer = await openComputer(paths, {
    kind,
    model: meansModel(),
    policy,
  });
  try {
    return await computer
      .run([picture], { party: 'alice', signal: AbortSignal.timeout(5_000), left: Promise.resolve() })
      .then(
        (output) => new Error(`an answer was given: ${JSON.stringify(output)}`),
        (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
      );
  } finally {
    await computer.close();
  }
}

const three = `candidate(0, 0.5), candidate(1, 0.3)`;
const COMPUTE: readonly Lie[] = [
  [
    'a label beyond the manifest',
    'jail/output-invalid',
    `say(${FRAME.candidates}, Buffer.concat([${three}, candidate(3, 0.2)]))`,
  ],
  [
    'one label three times',
    'jail/output-invalid',
    `say(${FRAME.candidates}, Buffer.concat([candidate(0, 1), candidate(0, 1), candidate(0, 1)]))`,
  ],
  ['fewer labels than asked for', 'jail/output-invalid', `say(${FRAME.candidates}, Buffer.concat([${three}]))`],
  [
    'more labels than asked for',
    'jail/compute-failed',
    `say(${FRAME.candidates}, Buffer.concat([${three}, candidate(2, 0.1), candidate(2, 0.1)]))`,
  ],
  ['a score over one', 'jail/compute-failed', `say(${FRAME.candidates}, Buffer.concat([${three}, candidate(2, 7)]))`],
  [
    'a score that is no number',
    'jail/compute-failed',
    `say(${FRAME.candidates}, Buffer.concat([${three}, candidate(2, NaN)]))`,
  ],
  ['half a candidate', 'jail/compute-failed', `say(${FRAME.candidates}, Buffer.alloc(15))`],
  ['words in a refusal', 'jail/compute-failed', `say(${FRAME.refused}, Buffer.from('weights: 1 2 3'))`],
  ['words in an empty frame', 'jail/compute-failed', `say(${FRAME.invalid}, Buffer.from('weights: 1 2 3'))`],
  ['a length of 4 GiB', 'jail/compute-failed', `raw(Buffer.from([${FRAME.candidates}, 255, 255, 255, 255]))`],
  ['a type that is none', 'jail/compute-failed', `say(99, Buffer.alloc(3))`],
  [
    'two answers',
    'jail/compute-failed',
    `const list = Buffer.concat([${three}, candidate(2, 0.2)]); const head = Buffer.from([${FRAME.candidates}, 0, 0, 0, 30]); raw(Buffer.concat([head, list, head, list]))`,
  ],
  [
    'half an answer, then the end',
    'jail/compute-failed',
    `raw(Buffer.from([${FRAME.candidates}, 0, 0])); process.exit(0)`,
  ],
  ['a closed pipe and no end', 'jail/compute-failed', `closeSync(3); for (;;);`],
  ['a crash', 'jail/compute-failed', `process.abort()`],
  ['no answer', 'jail/compute-timeout', ``],
  ['spinning', 'jail/compute-timeout', `for (;;);`],
];

const pixels = `Buffer.alloc(${SIDE * SIDE * 3})`;
const DECODE: readonly Lie[] = [
  ['too few pixels', 'jail/compute-failed', `say(${FRAME.pixels}, picture(32, 32, 0, Buffer.alloc(10)))`],
  [
    'too many pixels',
    'jail/compute-failed',
    `say(${FRAME.pixels}, picture(32, 32, 0, Buffer.alloc(${SIDE * SIDE * 3 + 1})))`,
  ],
  ['a picture of no size', 'jail/input-invalid', `say(${FRAME.pixels}, picture(0, 0, 0, ${pixels}))`],
  [
    'a picture of four gigapixels a side',
    'jail/input-invalid',
    `say(${FRAME.pixels}, picture(4294967295, 4294967295, 0, ${pixels}))`,
  ],
  ['a format that is none', 'jail/compute-failed', `say(${FRAME.pixels}, picture(32, 32, 77, ${pixels}))`],
  [
    'a reason that is none',
    'jail/compute-failed',
    `say(${FRAME.unreadable}, Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 0]))`,
  ],
  ['a reason cut off', 'jail/compute-failed', `say(${FRAME.unreadable}, Buffer.from([1]))`],
  ['a crash', 'jail/compute-failed', `process.abort()`],
  ['spinning', 'jail/compute-timeout', `for (;;);`],
];

describe.each([
  ['computing', 'compute', COMPUTE],
  ['decoding', 'decode', DECODE],
] as const)('a %s process that gives', (_, which, lies) => {
  test.each(lies)('%s: %s', async (name, code, onQuestion) => {
    const refused = await callWith(which, name, onQuestion);
    expect(refused).toMatchObject({ code });
    expect(refused.message).not.toContain('weights');
  });
});
