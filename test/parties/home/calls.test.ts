import { chmod, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { allCalls, chooseCall, outcomeOfRefusal, priceOf, settleCall } from '../../../parties/calls.ts';
import type { CallChoice } from '../../../parties/calls.ts';
import { openHome, writeHome } from '../../../parties/home.ts';
import type { Home } from '../../../parties/home.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { newHome } from './new-home.ts';

let home: Home;
beforeEach(async () => {
  const path = await mkdtemp(join(tmpdir(), 'accord-calls-'));
  await writeHome(path, await newHome(), false);
  home = await openHome(path);
});
afterEach(() => rm(home.path, { recursive: true, force: true }));

const SUBJECT = { function: 'classify', inputSha256: '12'.repeat(32), inputBytes: 7 };
const OTHER = { ...SUBJECT, inputSha256: '34'.repeat(32) };
const NOW = new Date('2026-11-21T12:00:00Z');
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
const choose = (subject = SUBJECT, choice: CallChoice = {}, now = NOW) =>
  chooseCall(home, subject, choice, random, now);

test('a call is on the disk, private, before anything is sent', async () => {
  const { record, repeated } = await choose();
  expect(repeated).toBe(false);
  const path = join(home.path, 'calls', `${record.requestId}.json`);
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ ...SUBJECT, outcome: 'open' });
  expect(record.requestId).toMatch(/^[0-9a-f]{64}$/);
  await chmod(path, 0o644);
  await expect(allCalls(home)).rejects.toMatchObject({ code: 'home/too-open' });
});

describe('the same call again', () => {
  test('without an answer is the same request; with one it is a new one', async () => {
    const first = await choose();
    const second = await choose();
    expect(second).toEqual({ record: first.record, repeated: true });
    await settleCall(home, first.record, 'answered', { answeredAt: NOW.toISOString(), moduleId: 'm', pcr0: '', outputSha256: '' }); // prettier-ignore
    const third = await choose();
    expect(third.repeated).toBe(false);
    expect(third.record.requestId).not.toBe(first.record.requestId);
  });

  test('the oldest unanswered one is asked first', async () => {
    const late = await choose(SUBJECT, { fresh: true }, new Date(NOW.getTime() + 5));
    const early = await choose(SUBJECT, { fresh: true }, NOW);
    expect((await choose()).record.requestId).toBe(early.record.requestId);
    expect(late.record.requestId).not.toBe(early.record.requestId);
  });

  test('with another input, function or policy, or with --new, is another request', async () => {
    const { record } = await choose();
    expect((await choose(OTHER)).repeated).toBe(false);
    expect((await choose({ ...SUBJECT, function: 'other' })).repeated).toBe(false);
    expect((await choose(SUBJECT, { fresh: true })).repeated).toBe(false);
    const digest = await policyDigest('another');
    const moved = { ...home, pins: { ...home.pins, policyDigest: digest } };
    const elsewhere = await chooseCall(moved, SUBJECT, {}, random, NOW);
    expect(elsewhere.record.requestId).not.toBe(record.requestId);
  });

  test('after a refusal that cannot change is a new one; after any other the same', async () => {
    const { record } = await choose();
    await settleCall(home, record, outcomeOfRefusal('kms-unavailable'));
    expect((await choose()).repeated).toBe(true);
    await settleCall(home, record, outcomeOfRefusal('input-invalid'));
    expect((await choose()).repeated).toBe(true);
    await settleCall(home, record, outcomeOfRefusal('changed'));
    expect((await choose()).repeated).toBe(false);
  });
});

describe('a call ends once', () => {
  const RECEIPT = { answeredAt: NOW.toISOString(), moduleId: 'm', pcr0: 'ab', outputSha256: 'cd' };
  const stored = async (requestId: string): Promise<unknown> =>
    JSON.parse(await readFile(join(home.path, 'calls', `${requestId}.json`), 'utf8'));

  test.each(['busy', 'kms-unavailable', 'expired', 'changed'] as const)(
    'an answered one that is asked again and refused (%s) stays answered, with its receipt',
    async (refused) => {
      const { record } = await choose();
      await settleCall(home, record, 'answered', RECEIPT);
      const again = await choose(SUBJECT, { retry: record.requestId });
      await settleCall(home, again.record, outcomeOfRefusal(refused));
      expect(again.record.answeredBy).toBe('m');
      expect(await stored(record.requestId)).toMatchObject({ outcome: 'answered', receipt: RECEIPT });
      expect((await choose()).repeated).toBe(false);
    },
  );

  test('so does one that another process saw answered meanwhile', async () => {
    const { record } = await choose();
    await settleCall(home, record, 'answered', RECEIPT);
    await settleCall(home, record, 'open');
    await settleCall(home, record, 'closed');
    expect(await stored(record.requestId)).toMatchObject({ outcome: 'answered', receipt: RECEIPT });
  });

  test('the receipt is that of the first answer', async () => {
    const { record } = await choose();
    await settleCall(home, record, 'answered', RECEIPT);
    const again = await choose(SUBJECT, { retry: record.requestId });
    await settleCall(home, again.record, 'answered', { ...RECEIPT, answeredAt: '2027-01-01T00:00:00.000Z' });
    expect(await stored(record.requestId)).toMatchObject({ receipt: RECEIPT });
  });

  test('a closed one is not opened again', async () => {
    const { record } = await choose();
    await settleCall(home, record, outcomeOfRefusal('changed'));
    await settleCall(home, record, outcomeOfRefusal('busy'));
    expect(await stored(record.requestId)).toMatchObject({ outcome: 'closed' });
  });
});

describe('what asking again costs', () => {
  const answered = { outcome: 'answered', answeredBy: 'm' } as const;
  test.each([
    ['the same boot', answered, false, 'm', 'surely-free'],
    ['another boot, without anchors', answered, false, 'n', 'anew'],
    ['another boot, with anchors', answered, true, 'n', 'surely-free'],
    ['no answer yet', { outcome: 'open' }, true, 'n', 'free-if-counted'],
    ['no answer yet, without anchors', { outcome: 'open' }, false, 'n', 'free-if-counted'],
  ] as const)('%s', async (_, fields, anchored, moduleId, price) => {
    const { record } = await choose();
    expect(priceOf({ ...record, ...fields }, anchored, moduleId)).toBe(price);
  });

  test.each(['not-open', 'unavailable', 'anchor-tampered', 'state-refused', 'lease-lapsed'] as const)(
    'a call that was refused as %s stays open: its ticket, if it has one, is found again',
    (refused) => expect(outcomeOfRefusal(refused)).toBe('open'),
  );
});

describe('--retry', () => {
  test('takes an answered call, by the first digits of its id', async () => {
    const { record } = await choose();
    await settleCall(home, record, 'answered');
    for (const retry of [record.requestId, record.requestId.slice(0, 8), record.requestId.slice(0, 12).toUpperCase()]) {
      const again = await choose(SUBJECT, { retry });
      expect(again.record.requestId).toBe(record.requestId);
      expect(again.repeated).toBe(true);
    }
  });

  test.each(['', 'abc', '0'.repeat(64), 'zzzzzzzz', '../../pins'])('"%s" names no call', async (retry) => {
    await choose();
    await expect(choose(SUBJECT, { retry })).rejects.toMatchObject({ code: 'calls/unknown', kind: 'usage' });
  });

  test('another input or function under that id is told before anything is sent', async () => {
    const { record } = await choose();
    const retry = record.requestId;
    await expect(choose(OTHER, { retry })).rejects.toMatchObject({ code: 'calls/other-input', kind: 'usage' });
    await expect(choose({ ...SUBJECT, function: 'x' }, { retry })).rejects.toMatchObject({ code: 'calls/other-input' });
  });
});

test('a broken record is told by its path, not skipped', async () => {
  const { record } = await choose();
  await writeFile(join(home.path, 'calls', `${record.requestId}.json`), '{');
  await expect(choose()).rejects.toMatchObject({
    code: 'calls/malformed',
    where: expect.stringContaining(record.requestId),
    hint: expect.stringMatching(/may have been counted.*costs another; move it out of calls\//),
  });
});

test('many at once do not disturb each other', async () => {
  const results = await Promise.all(Array.from({ length: 20 }, () => choose(SUBJECT, { fresh: true })));
  expect(new Set(results.map(({ record }) => record.requestId)).size).toBe(20);
  expect(await readdir(join(home.path, 'calls'))).toHaveLength(20);
  expect(await allCalls(home)).toHaveLength(20);
});
