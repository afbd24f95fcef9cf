/** What an anchor makes of an S3 that fails, stalls, forgets or lies. */
import { describe, expect, test } from 'vitest';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import type { S3Code } from '../../../enclave/claims/s3-failure.ts';
import { createS3Anchor } from '../../../enclave/claims/s3-anchor.ts';
import { createHandTimers } from '../hand-timers.ts';
import { realTimers } from '../real-timers.ts';
import { RETAIN_UNTIL, anchorOver } from './s3-place.ts';
import type { ScriptedS3 } from './scripted-s3.ts';
import { createScriptedS3, s3Fails } from './scripted-s3.ts';

const NAME = 'tickets/ab/classify/alice';
const KEY = `accord/${NAME}/0`;
const live = (): AbortSignal => new AbortController().signal;
const entry = (fill: number): Uint8Array => new Uint8Array(101).fill(fill);

function stage(): { readonly s3: ScriptedS3; readonly anchor: Anchor } {
  const s3 = createScriptedS3();
  return { s3, anchor: anchorOver(s3) };
}

describe('a claim costs', () => {
  test('a write, a list and a read, the last two at once', async () => {
    const { s3, anchor } = stage();
    expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(1));
    expect(s3.asked).toEqual(['create', 'versions', 'read']);
  });

  test('no more where another holds the entry', async () => {
    const { s3, anchor } = stage();
    await anchor.claim(NAME, 0, entry(1), live());
    s3.asked.length = 0;
    expect(await anchor.claim(NAME, 0, entry(2), live())).toEqual(entry(1));
    expect(s3.asked).toEqual(['create', 'versions', 'read']);
  });

  test('a look costs a list and a read at once', async () => {
    const { s3, anchor } = stage();
    let open = 0;
    let most = 0;
    s3.script = async (_operation, _count, honest) => {
      open += 1;
      most = Math.max(most, open);
      await new Promise((resolve) => void setTimeout(resolve, 5));
      open -= 1;
      return honest();
    };
    expect(await anchor.holder(NAME, 0, live())).toBeUndefined();
    expect([s3.asked, most]).toEqual([['versions', 'read'], 2]);
  });
});

describe('no final answer to the write', () => {
  test('the write happened, its acknowledgement was lost: the same bytes again, and they hold', async () => {
    const { s3, anchor } = stage();
    s3.script = async (operation, count, honest) => {
      const done = await honest();
      return operation === 'create' && count === 1 ? s3Fails('s3/unavailable', 'InternalError') : done;
    };
    expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(1));
    expect(s3.asked.filter((each) => each === 'create')).toHaveLength(2);
    expect(s3.store.get(KEY)).toHaveLength(1);
  });

  test('no write is ever acknowledged, but the first happened: read back', async () => {
    const { s3, anchor } = stage();
    s3.script = async (operation, _count, honest) => {
      const done = await honest();
      return operation === 'create' ? s3Fails('s3/unavailable', 'InternalError') : done;
    };
    expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(1));
  });

  test('none happened: unavailable after a bounded number of attempts, and the same claim may come again', async () => {
    const { s3, anchor } = stage();
    s3.script = (operation, _count, honest) => (operation === 'create' ? s3Fails('s3/unavailable') : honest());
    await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject({
      code: 'anchor/unavailable',
      kind: 'environment',
    });
    expect(s3.asked.filter((each) => each === 'create')).toHaveLength(4);
    s3.script = (_operation, _count, honest) => honest();
    expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(1));
  });

  test('409 is asked again; a 409 that stays is unavailable', async () => {
    const { s3, anchor } = stage();
    s3.script = (operation, count, honest) =>
      operation === 'create' && count < 3 ? Promise.resolve({ outcome: 'conflict' }) : honest();
    expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(1));
    s3.script = (operation, _count, honest) =>
      operation === 'create' ? Promise.resolve({ outcome: 'conflict' }) : honest();
    await expect(anchor.claim(NAME, 1, entry(1), live())).rejects.toMatchObject({ code: 'anchor/unavailable' });
  });

  test('409 because another was faster: its entry holds', async () => {
    const { s3, anchor } = stage();
    await anchor.claim(NAME, 0, entry(2), live());
    s3.script = (operation, _count, honest) =>
      operation === 'create' ? Promise.resolve({ outcome: 'conflict' }) : honest();
    expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(2));
  });

  test('a request that stalls is given up and asked again', async () => {
    const hand = createHandTimers();
    const s3 = createScriptedS3();
    const anchor = createS3Anchor({ owner: 'alice', s3, place: 's3://bucket/', prefix: '', retainUntil: RETAIN_UNTIL, timers: hand.timers }); // prettier-ignore
    s3.script = (operation, count, honest) =>
      operation === 'create' && count === 1 ? new Promise(() => {}) : honest();
    const claiming = anchor.claim(NAME, 0, entry(1), live());
    hand.elapse(4_999);
    await new Promise((resolve) => void setTimeout(resolve, 10));
    expect(s3.asked).toEqual(['create']);
    hand.elapse(1);
    expect(await claiming).toEqual(entry(1));
    expect(hand.pending()).toBe(0);
  });

  test('whoever asked has gone: no further attempt', async () => {
    const { s3, anchor } = stage();
    const controller = new AbortController();
    s3.script = () => new Promise(() => {});
    const claiming = anchor.claim(NAME, 0, entry(1), controller.signal);
    controller.abort();
    await expect(claiming).rejects.toMatchObject({ code: 'anchor/unavailable' });
    expect(s3.asked).toEqual(['create']);
  });

  test('the list fails for a moment: the holder is found', async () => {
    const { s3, anchor } = stage();
    s3.script = (operation, count, honest) =>
      operation !== 'create' && count === 1 ? s3Fails('s3/unavailable') : honest();
    expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(1));
    expect(s3.asked).toEqual(['create', 'versions', 'read', 'versions', 'read']);
  });

  test('the list fails for good: unavailable, and nobody says that the entry holds', async () => {
    const { s3, anchor } = stage();
    s3.script = (operation, _count, honest) => (operation === 'versions' ? s3Fails('s3/unavailable') : honest());
    await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject({ code: 'anchor/unavailable' });
    await expect(anchor.holder(NAME, 0, live())).rejects.toMatchObject({ code: 'anchor/unavailable' });
  });
});

describe('a bucket that lies', () => {
  test('about absence: it says that the entry exists, and lists nothing', async () => {
    const { s3, anchor } = stage();
    s3.script = (operation, _count, honest) =>
      operation === 'create' ? Promise.resolve({ outcome: 'exists' }) : honest();
    await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject({
      code: 'anchor/tampered',
      message: expect.stringContaining('said to exist'),
    });
  });

  test('about a write: it acknowledges, and lists nothing', async () => {
    const { s3, anchor } = stage();
    s3.script = (operation, _count, honest) =>
      operation === 'create' ? Promise.resolve({ outcome: 'created', id: 'v1' }) : honest();
    await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject({
      code: 'anchor/tampered',
      message: expect.stringContaining('acknowledged'),
    });
  });

  test('about the bytes it was given', async () => {
    const { s3, anchor } = stage();
    s3.script = async (operation, _count, honest) => {
      if (operation !== 'read') return honest();
      return { ...s3.store.get(KEY)?.at(0), bytes: entry(9) };
    };
    await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject({ code: 'anchor/tampered' });
  });

  test('about a version: it lists one that it cannot show', async () => {
    const { s3, anchor } = stage();
    s3.script = (operation, _count, honest) => (operation === 'read' ? Promise.resolve(undefined) : honest());
    await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject({ code: 'anchor/tampered' });
  });

  test.each([
    ['without a lock', {}],
    ['in GOVERNANCE mode', { lock: { mode: 'GOVERNANCE', retainUntil: RETAIN_UNTIL } }],
    ['until too early', { lock: { mode: 'COMPLIANCE', retainUntil: RETAIN_UNTIL - 1 } }],
    ['until no time', { lock: { mode: 'COMPLIANCE', retainUntil: NaN } }],
  ])('about the lock: our own entry stands there %s', async (_, lock) => {
    const { s3, anchor } = stage();
    s3.script = async (operation, _count, honest) => {
      if (operation !== 'read') return honest();
      return { id: 'v1', bytes: entry(1), ...lock };
    };
    // What we have just written, S3 was asked to lock: the bucket does not do it.
    await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject({ code: 'anchor/misconfigured' });
    await expect(anchor.holder(NAME, 0, live())).rejects.toMatchObject({ code: 'anchor/tampered' });
  });

  test('a second version over a delete marker: what is older holds, and our own does not', async () => {
    const { s3, anchor } = stage();
    await anchor.claim(NAME, 0, entry(2), live());
    s3.store.get(KEY)?.push({ id: 'm1', bytes: entry(0), marker: true });
    expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(2));
    expect(s3.store.get(KEY)).toHaveLength(3);
    expect(anchor.reports).toEqual([
      's3://bucket/accord/: accord/tickets/ab/classify/alice/0 has a delete marker',
      's3://bucket/accord/: accord/tickets/ab/classify/alice/0 has 2 versions',
    ]);
  });

  test('reports are bounded', async () => {
    const { s3, anchor } = stage();
    for (let k = 0; k < 80; k += 1) {
      s3.store.set(`accord/${NAME}/${k}`, [{ id: `m${k}`, bytes: entry(0), marker: true }]);
      await anchor.holder(NAME, k, live());
    }
    expect(anchor.reports).toHaveLength(64);
  });
});

test.each([
  ['s3/no-bucket', 'anchor/misconfigured', /does not exist/],
  ['s3/no-lock', 'anchor/misconfigured', /no Object Lock/],
  ['s3/refused', 'anchor/refused', /refuses the credential/],
  ['s3/credential', 'anchor/refused', /does not know the access key/],
  ['s3/wrong-owner', 'anchor/refused', /does not belong to the account/],
  ['s3/wrong-region', 'anchor/refused', /another Region/],
  ['s3/clock-skew', 'anchor/refused', /time of the request/],
  ['s3/too-many-versions', 'anchor/tampered', /more versions/],
  ['s3/unavailable', 'anchor/unavailable', /cannot be reached/],
] as const)('%s is %s, in words of its own', async (code: S3Code, anchorCode, message) => {
  const { s3, anchor } = stage();
  s3.script = () => s3Fails(code, 'what S3 said');
  const failure = {
    code: anchorCode,
    message: expect.stringMatching(message),
    where: 's3://bucket/accord/: what S3 said',
    hint: expect.stringMatching(/./),
  };
  await expect(anchor.check(live())).rejects.toMatchObject(failure);
  await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject({ code: anchorCode });
});

test.each([
  [{ versioning: false, objectLock: true }, /versioning/],
  [{ versioning: true, objectLock: false }, /Object Lock/],
])('a bucket in state %j is refused', async (state, message) => {
  const { s3, anchor } = stage();
  s3.script = () => Promise.resolve(state);
  await expect(anchor.check(live())).rejects.toMatchObject({
    code: 'anchor/misconfigured',
    message: expect.stringMatching(message),
  });
});

test('its timers end with it', async () => {
  const waiting = new Set<number>();
  let ids = 0;
  const s3 = createScriptedS3();
  const anchor = createS3Anchor({
    owner: 'alice',
    s3,
    place: '',
    prefix: '',
    retainUntil: RETAIN_UNTIL,
    timers: (milliseconds, run) => {
      const id = (ids += 1);
      waiting.add(id);
      const stop = realTimers(milliseconds, run);
      return () => {
        waiting.delete(id);
        stop();
      };
    },
  });
  s3.script = (_operation, count, honest) => (count < 3 ? s3Fails('s3/unavailable') : honest());
  await anchor.claim(NAME, 0, entry(1), live());
  expect(ids).toBeGreaterThan(5);
  expect(waiting.size).toBe(0);
});
