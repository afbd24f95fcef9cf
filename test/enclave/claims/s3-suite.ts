/** What an anchor in a bucket does, wherever the bucket is. */
import { HeadObjectCommand, PutObjectRetentionCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import type { S3Place } from './s3-place.ts';
import { RETAIN_UNTIL, makeBucket, openBucket } from './s3-place.ts';

const NAME = 'tickets/ab/classify/alice';
const KEY = `accord/${NAME}`;
const live = (): AbortSignal => new AbortController().signal;
const entry = (fill: number): Uint8Array => new Uint8Array(101).fill(fill);
const LOCK = { mode: 'COMPLIANCE', until: RETAIN_UNTIL } as const;

export function s3AnchorSuite(where: string, place: () => S3Place): void {
  describe(`an anchor in a bucket of ${where}`, () => {
    test('holds what was written first, and says so to everybody', async () => {
      const { anchor, versions } = await makeBucket(place());
      await anchor.check(live());
      expect(await anchor.holder(NAME, 0, live())).toBeUndefined();
      expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(1));
      expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(1));
      expect(await anchor.claim(NAME, 0, entry(2), live())).toEqual(entry(1));
      expect(await anchor.holder(NAME, 0, live())).toEqual(entry(1));
      expect(await versions()).toBe(1);
      expect(anchor.reports).toEqual([]);
    });

    test('locks it until the last day and 90 more, and its owner cannot shorten that', async () => {
      const { anchor, name } = await makeBucket(place());
      await anchor.claim(NAME, 0, entry(1), live());
      const at = { Bucket: name, Key: `${KEY}/0` };
      const lockOf = async (): Promise<unknown> => {
        const { ObjectLockMode, ObjectLockRetainUntilDate } = await place().owner.send(new HeadObjectCommand(at));
        return [ObjectLockMode, ObjectLockRetainUntilDate?.getTime()];
      };
      expect(await lockOf()).toEqual(['COMPLIANCE', RETAIN_UNTIL]);
      const shorter = { Mode: 'COMPLIANCE', RetainUntilDate: new Date(RETAIN_UNTIL - 86_400_000) } as const;
      await place()
        .owner.send(new PutObjectRetentionCommand({ ...at, Retention: shorter, BypassGovernanceRetention: true }))
        .catch(() => undefined);
      if (place().keepsLocks) {
        expect(await lockOf()).toEqual(['COMPLIANCE', RETAIN_UNTIL]);
        expect(await anchor.holder(NAME, 0, live())).toEqual(entry(1));
      } else await expect(anchor.holder(NAME, 0, live())).rejects.toMatchObject({ code: 'anchor/tampered' });
    });

    test('of many claims at once one holds', async () => {
      const { anchor, versions } = await makeBucket(place());
      const claims = Array.from({ length: 12 }, (_, i) => anchor.claim(NAME, 7, entry(i + 1), live()));
      const holders = new Set((await Promise.all(claims)).map((bytes) => bytes[0]));
      expect(holders.size).toBe(1);
      expect(await versions()).toBe(1);
    });

    test('is not confused by entries whose numbers begin alike', async () => {
      const { anchor } = await makeBucket(place());
      for (const k of [10, 11, 12, 100]) await anchor.claim(NAME, k, entry(k), live());
      expect(await anchor.holder(NAME, 1, live())).toBeUndefined();
      expect(await anchor.claim(NAME, 1, entry(1), live())).toEqual(entry(1));
      expect(await anchor.holder(NAME, 10, live())).toEqual(entry(10));
    });
  });

  describe(`an owner who meddles with a bucket of ${where}`, () => {
    test('hides an entry behind a delete marker: it still holds, and it is reported', async () => {
      const { anchor, hide, versions } = await makeBucket(place());
      await anchor.claim(NAME, 0, entry(1), live());
      await hide(`${KEY}/0`);
      expect(await anchor.holder(NAME, 0, live())).toEqual(entry(1));
      expect(await anchor.claim(NAME, 0, entry(2), live())).toEqual(entry(1));
      expect(await versions()).toBe(2); // the condition does not see what is hidden: the oldest does
      expect(await anchor.holder(NAME, 0, live())).toEqual(entry(1));
      expect(anchor.reports.join('\n')).toMatch(/delete marker[^]*2 versions/);
    });

    test('marks a deletion before anything was written', async () => {
      const { anchor, hide } = await makeBucket(place());
      await hide(`${KEY}/0`);
      expect(await anchor.holder(NAME, 0, live())).toBeUndefined();
      expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(entry(1));
      expect(anchor.reports).toHaveLength(place().marksAbsent ? 1 : 0);
    });

    test('writes over an entry, many times: the oldest version holds', async () => {
      const { anchor, put } = await makeBucket(place());
      await anchor.claim(NAME, 0, entry(1), live());
      for (let i = 0; i < 9; i += 1) await put(`${KEY}/0`, entry(9), LOCK);
      expect(await anchor.holder(NAME, 0, live())).toEqual(entry(1));
      expect(anchor.reports).toEqual([expect.stringContaining('has 10 versions')]);
    });

    test.each([
      ['no lock', undefined, /shows no lock/],
      ['a lock that the owner can end', { mode: 'GOVERNANCE', until: RETAIN_UNTIL }, /GOVERNANCE mode/],
      ['a lock that ends too early', { mode: 'COMPLIANCE', until: RETAIN_UNTIL - 1_000 }, /ends too early/],
    ] as const)('writes beforehand with %s: neither believed nor passed over', async (_, lock, message) => {
      const { anchor, put } = await makeBucket(place());
      await put(`${KEY}/0`, entry(9), lock);
      const refused = { code: 'anchor/tampered', message: expect.stringMatching(message) };
      await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject(refused);
      await expect(anchor.holder(NAME, 0, live())).rejects.toMatchObject(refused);
    });

    test('writes something else, locked: it is what holds, for others to judge', async () => {
      const { anchor, put } = await makeBucket(place());
      await put(`${KEY}/0`, 'not an entry', LOCK);
      await put(`${KEY}/1`, new Uint8Array(0), LOCK);
      await put(`${KEY}/2`, new Uint8Array(100_000), LOCK);
      expect(await anchor.claim(NAME, 0, entry(1), live())).toEqual(new TextEncoder().encode('not an entry'));
      expect(await anchor.holder(NAME, 1, live())).toEqual(new Uint8Array(0));
      await expect(anchor.holder(NAME, 2, live())).rejects.toMatchObject({ code: 'anchor/tampered' });
    });
  });

  describe(`a bucket of ${where} that cannot be an anchor is refused, with the reason`, () => {
    test('missing', async () => {
      const { anchor } = openBucket(place(), 'nobody-made-this');
      const missing = { code: 'anchor/misconfigured', message: expect.stringMatching(/does not exist/) };
      await expect(anchor.check(live())).rejects.toMatchObject(missing);
      await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject(missing);
    });

    test('without Object Lock', async () => {
      const { anchor } = await makeBucket(place(), { lock: false });
      const without = { code: 'anchor/misconfigured', message: expect.stringMatching(/no Object Lock/) };
      await expect(anchor.check(live())).rejects.toMatchObject(without);
      await expect(anchor.claim(NAME, 0, entry(1), live())).rejects.toMatchObject({
        code: expect.stringMatching(/misconfigured|refused/),
      });
    });
  });
}
