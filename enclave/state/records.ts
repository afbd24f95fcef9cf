/**
 * What the enclave must not forget: named records, each in numbered versions, of which only the newest counts. A version
 * is stored with the host first, then claimed in the anchors with its hash, and only then does anything that follows from
 * it leave:
 *
 *     versions/<policy digest>/<name>/<version>  ->  SHA-256 of the sealed record
 *
 * So a copy of the enclave that was forked off, or went on from an old disk, is stopped by the first claim it makes: that
 * number is taken. It then loads what took it, and works from there. Memory is a cache of this and no more.
 */
import type { Anchors } from '../claims/anchor.ts';
import type { ClaimCode, ClaimOptions } from '../claims/claim.ts';
import { claimFailure, hold } from '../claims/claim.ts';
import type { EntryKey, Place } from '../claims/entry.ts';
import { entryKey, entryOf } from '../claims/entry.ts';
import type { Newest } from '../claims/versions.ts';
import { newestVersion, versionsName } from '../claims/versions.ts';
import type { RandomSource } from '../crypto/random.ts';
import type { HostCode } from '../vsock/host.ts';
import type { RecordSetting } from './record-header.ts';
import type { RecordStore } from './record-store.ts';
import { sealRecord } from './record.ts';
import { openRecord } from './restore.ts';
import type { StateCode } from './state-failure.ts';
import { stateFailure } from './state-failure.ts';
import { createTurns } from './turns.ts';

export type RecordsCode = StateCode | ClaimCode | HostCode;

export interface RecordVersion {
  readonly version: number;
  readonly bytes: Uint8Array;
}

export interface Records {
  /** The newest version, as the anchors say now; undefined where there is none yet. Throws `Failure<RecordsCode>`. */
  read(name: string, signal: AbortSignal): Promise<RecordVersion | undefined>;
  /**
   * Stores and claims what `change` makes of the newest version, and resolves once that holds. Where another copy was
   * faster, `change` is called again with what that one wrote. Without `next` nothing is written, and `current` may be
   * what this enclave knows of, not the newest there is. Updates of one record come one after the other.
   */
  update<T>(name: string, change: Change<T>, signal: AbortSignal): Promise<T>;
}

/** What becomes of a record, and what is to be known of it. `current` is not to be changed. */
export type Change<T> = (current: Uint8Array | undefined) => Promise<{ next?: Uint8Array; result: T }>;

export interface RecordsOptions extends Omit<ClaimOptions, 'signal'> {
  readonly setting: RecordSetting;
  /** 32 bytes; copied. */
  readonly stateKey: Uint8Array;
  readonly anchors: Anchors;
  readonly store: RecordStore;
  readonly random: RandomSource;
}

/** Each one means that another copy went on: so many in a row, and something else is wrong. */
const ATTEMPTS = 32;

/** What this enclave knows of a record: the newest version it has seen, and the number to claim after it. */
interface Known {
  readonly current: RecordVersion | undefined;
  readonly next: number;
}

export async function createRecords(options: RecordsOptions): Promise<Records> {
  const { setting, anchors, store, random } = options;
  const stateKey = options.stateKey.slice();
  const key = await entryKey(stateKey);
  const known = new Map<string, Known>();
  const turns = createTurns();

  const refresh = async (name: string, signal: AbortSignal): Promise<Known> => {
    const before = known.get(name);
    const newest = await newestOf(options, key, name, before?.current?.version, signal);
    const current = await load(name, newest, before?.current, signal);
    const fresh = { current, next: newest.next };
    known.set(name, fresh);
    return fresh;
  };

  const load = async (
    name: string,
    { newest }: Newest,
    before: RecordVersion | undefined,
    signal: AbortSignal,
  ): Promise<RecordVersion | undefined> => {
    if (newest === undefined) return undefined;
    const { k: version, entry } = newest;
    if (entry.kind === 'closed') throw stateFailure('state/closed', `${name} was closed by a successor`, name);
    if (entry.kind !== 'version')
      throw claimFailure({ code: 'anchor-tampered', detail: `${name}/${version} is no version` });
    if (before?.version === version) return before;
    const sealed = await store.get(entry.first, signal);
    return { version, bytes: await openRecord(setting, { name, version }, entry.first, stateKey, sealed) };
  };

  /** False where another copy took the number. */
  const write = async (name: string, { next }: Known, bytes: Uint8Array, signal: AbortSignal): Promise<boolean> => {
    const sealed = await sealRecord(setting, { name, version: next }, stateKey, bytes, random);
    await store.put(sealed, signal);
    const place: Place = { name: versionsName(setting.policyDigest, name), k: next };
    const settled = await hold(anchors, key, place, entryOf('version', sealed.sha256), { ...options, signal });
    if (settled.outcome === 'failed') throw claimFailure(settled);
    if (settled.outcome === 'lost') return false;
    known.set(name, { current: { version: next, bytes }, next: next + 1 });
    return true;
  };

  return {
    read: (name, signal) =>
      turns.take(name, signal, async () => {
        const { current } = await refresh(name, signal);
        return current === undefined ? undefined : { version: current.version, bytes: current.bytes.slice() };
      }),

    update: (name, change, signal) =>
      turns.take(name, signal, async () => {
        let at = known.get(name) ?? (await refresh(name, signal));
        for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
          const { next, result } = await change(at.current?.bytes);
          if (next === undefined || (await write(name, at, next.slice(), signal))) return result;
          at = await refresh(name, signal);
        }
        throw stateFailure('state/contended', `other copies of the enclave write ${name} all the time`, name);
      }),
  };
}

/** What is kept of a function's contribution. */
export function contributionRecord(functionName: string): string {
  return `contribution.${functionName}`;
}

/** The state that a function's calls change. */
export function functionRecord(functionName: string): string {
  return `function.${functionName}`;
}

function newestOf(
  options: RecordsOptions,
  key: EntryKey,
  name: string,
  from: number | undefined,
  signal: AbortSignal,
): Promise<Newest> {
  const places = versionsName(options.setting.policyDigest, name);
  return newestVersion(options.anchors, key, places, { ...options, signal, ...(from === undefined ? {} : { from }) });
}
