/**
 * An anchor in a bucket of its owner's. The owner of a bucket may do much with it: hide an entry behind a delete marker
 * (over which a conditional write succeeds), write beside it, forbid. What it cannot do is change or remove a version
 * whose COMPLIANCE lock has not ended. Hence
 *
 *     claim     create if absent, locked; then list every version of the key: the holder is the OLDEST, whatever the
 *               answer to the write was, and its lock must hold until the last day plus 90
 *     in doubt  (time-out, 5xx, a lost answer) the same bytes again; then look who holds it
 *
 * A claim is two round trips: the write; then the list and, beside it, the version that will be the holder in all but
 * a tampered bucket. Whether the bytes are an entry is for the caller to judge.
 */
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { pause, within } from '../deadline.ts';
import { constantTimeEqual } from '../crypto/digest.ts';
import type { Anchor, AnchorCode } from './anchor.ts';
import type { S3, S3Created, S3Object } from './s3.ts';
import { anchorFailure } from './s3-words.ts';
import { isS3Failure } from './s3-failure.ts';
import { retainUntil as endOfLock } from './retention.ts';

export interface S3AnchorSettings {
  readonly owner: string;
  readonly s3: S3;
  /** `s3://bucket/prefix`, for messages. */
  readonly place: string;
  /** Before every key; empty, or ends with a slash. */
  readonly prefix: string;
  /** Until when each entry is locked: whole seconds, in milliseconds since 1970. */
  readonly retainUntil: number;
  readonly timers: Timers;
}

/** One request, with its connection. */
const REQUEST_MS = 5_000;
/** Before each further attempt. The first is at once: a kept connection may have been closed meanwhile. */
const PAUSES_MS = [0, 100, 400] as const;
const REPORTS = 64;

export function createS3Anchor(settings: S3AnchorSettings): Anchor {
  return anchorOf(settings, []);
}

function anchorOf(settings: S3AnchorSettings, reports: string[]): Anchor {
  const { owner, s3, place, prefix, timers, retainUntil } = settings;
  const keyOf = (name: string, k: number): string => `${prefix}${name}/${k}`;
  const report = (text: string): void => {
    if (reports.length < REPORTS && !reports.includes(text)) reports.push(text);
  };
  const bad = (code: AnchorCode, message: string, hint: string): Failure<AnchorCode> =>
    new Failure(code === 'anchor/unavailable' ? 'environment' : 'refused', code, `${owner}'s anchor: ${message}`, {
      where: place,
      hint,
    });

  /** Tries so often as no final answer comes. `again`: an answer that asks to come again. */
  async function persist<Result>(
    work: (signal: AbortSignal) => Promise<Result>,
    again: (result: Result) => boolean,
    signal: AbortSignal,
  ): Promise<Result> {
    for (let attempt = 0; ; attempt += 1) {
      const next = PAUSES_MS[attempt];
      const isLast = next === undefined;
      try {
        const result = await within(timers, REQUEST_MS, 'S3', work, signal);
        if (isLast || !again(result)) return result;
      } catch (error) {
        if (isLast || signal.aborted || !isS3Failure(error, 's3/unavailable')) throw error;
      }
      if (next > 0) await pause(timers, next, signal);
    }
  }
  const never = (): boolean => false;

  async function look(key: string, expected: string | undefined, signal: AbortSignal): Promise<S3Object | undefined> {
    const [versions, guess] = await Promise.all([
      persist((limit) => s3.versions(key, limit), never, signal),
      // A guess at the holder, in the same time. Where it fails, or is another version, the holder is read below.
      within(timers, REQUEST_MS, 'S3', (limit) => s3.read(key, expected, limit), signal).catch(() => undefined),
    ]);
    const objects = versions.filter(({ kind }) => kind === 'object');
    if (objects.length < versions.length) report(`${place}: ${key} has a delete marker`);
    if (objects.length > 1) report(`${place}: ${key} has ${objects.length} versions`);
    const oldest = objects.at(-1);
    if (oldest === undefined) return undefined;
    const holder =
      guess?.id === oldest.id ? guess : await persist((limit) => s3.read(key, oldest.id, limit), never, signal);
    if (holder === undefined) throw bad('anchor/tampered', `${key} is listed and cannot be read`, ASK_OWNER);
    return holder;
  }

  function demandLock(key: string, { lock }: S3Object, code: AnchorCode): void {
    if (lock === undefined)
      throw bad(code, `${key} shows no lock`, 'the object has none, or the credential lacks s3:GetObjectRetention');
    if (lock.mode !== 'COMPLIANCE') throw bad(code, `${key} is locked in ${lock.mode} mode, which its owner can end`, ASK_OWNER); // prettier-ignore
    // Written so that a time that does not parse is a refusal.
    if (!(lock.retainUntil >= retainUntil)) throw bad(code, `the lock of ${key} ends too early`, ASK_OWNER);
  }

  async function locked(key: string, written: string | undefined, signal: AbortSignal): Promise<S3Object | undefined> {
    const holder = await look(key, written, signal);
    // What we have just written ourselves, S3 was to lock: then it is the bucket.
    if (holder !== undefined) demandLock(key, holder, holder.id === written ? 'anchor/misconfigured' : 'anchor/tampered'); // prettier-ignore
    return holder;
  }

  async function write(key: string, entry: Uint8Array, signal: AbortSignal): Promise<S3Created | undefined> {
    try {
      return await persist(
        (limit) => s3.create(key, entry, retainUntil, limit),
        ({ outcome }) => outcome === 'conflict',
        signal,
      );
    } catch (error) {
      // It may have been written all the same: who holds it now decides.
      if (isS3Failure(error, 's3/unavailable') && !signal.aborted) return undefined;
      throw error;
    }
  }

  const guarded = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work();
    } catch (error) {
      throw anchorFailure(owner, place, error);
    }
  };

  return {
    owner,
    kind: 's3',
    reports,
    endingOn: (until) => anchorOf({ ...settings, retainUntil: endOfLock(until) }, reports),
    check: (signal) =>
      guarded(async () => {
        const { versioning, objectLock } = await persist((limit) => s3.bucket(limit), never, signal);
        if (!objectLock) throw bad('anchor/misconfigured', 'the bucket has no Object Lock', MAKE);
        if (!versioning) throw bad('anchor/misconfigured', 'versioning of the bucket is not enabled', MAKE);
      }),
    claim: (name, k, entry, signal) =>
      guarded(async () => {
        const key = keyOf(name, k);
        const written = await write(key, entry, signal);
        const holder = await locked(key, written?.outcome === 'created' ? written.id : undefined, signal);
        if (holder !== undefined) {
          if (written?.outcome === 'created' && holder.id === written.id && !constantTimeEqual(holder.bytes, entry))
            throw bad('anchor/tampered', `${key} holds other bytes than were written`, ASK_OWNER);
          return holder.bytes;
        }
        switch (written?.outcome) {
          case 'created':
            throw bad('anchor/tampered', `${key} was acknowledged and is not there`, ASK_OWNER);
          case 'exists':
            throw bad('anchor/tampered', `${key} is said to exist and is not there`, ASK_OWNER);
          case 'conflict':
          case undefined:
            throw bad('anchor/unavailable', `it is not known whether ${key} was written`, 'the same call may be tried again'); // prettier-ignore
        }
      }),
    holder: (name, k, signal) => guarded(async () => (await locked(keyOf(name, k), undefined, signal))?.bytes),
  };
}

const ASK_OWNER = 'somebody wrote into the bucket who should not; its owner finds out with `accord anchor lint`';
const MAKE = 'Object Lock is set when a bucket is made: make one with `accord anchor make`';
