/**
 * A bucket with versions and locks as S3 keeps them, behind a link that may fail: the port that `s3-anchor.ts` asks. A
 * conditional write succeeds over a delete marker; no version that is locked ever goes away. What an owner may do to its
 * own bucket is here too.
 */
import type { S3, S3Created, S3Object, S3Version } from '../../../enclave/claims/s3.ts';
import { Failure } from '../../../policies/failure.ts';
import type { Link } from './link.ts';
import type { Prng } from './prng.ts';
import type { Process } from './process.ts';

interface Version {
  readonly id: string;
  readonly kind: 'object' | 'delete-marker';
  readonly bytes: Uint8Array;
  readonly retainUntil: number;
}

export interface Bucket {
  readonly owner: string;
  /** Of the service itself. */
  down: boolean;
  /** The port, for one program over its own link. `view`: which of its forks a lying bucket shows. */
  port(from: Process, link: Link, view: string): S3;
  /** As the owner's own tools would, at once. */
  putMarker(key: string): void;
  putObject(key: string, bytes: Uint8Array): void;
  /**
   * Shows each view another bucket from now on: of all, or of the tickets alone. `nothing`: shows all that was ever
   * written to any of them.
   */
  lie(about: 'all' | 'tickets' | 'nothing'): void;
  /** Probability of a 409. */
  conflicts: number;
  /** Every key, with its oldest object. */
  entries(): ReadonlyMap<string, Uint8Array>;
  keys(): readonly string[];
}

export function createBucket(owner: string, random: Prng): Bucket {
  const truth = new Map<string, Version[]>();
  const forks = new Map<string, Map<string, Version[]>>();
  let lyingAbout: Parameters<Bucket['lie']>[0] = 'nothing';
  let number = 0;

  const shown = (view: string, key: string): Map<string, Version[]> => {
    if (lyingAbout === 'nothing' || (lyingAbout === 'tickets' && !key.includes('tickets/'))) return truth;
    const found = forks.get(view) ?? new Map([...truth].map(([key, versions]) => [key, [...versions]]));
    forks.set(view, found);
    return found;
  };
  const add = (to: Map<string, Version[]>, key: string, version: Omit<Version, 'id'>): Version => {
    number += 1;
    const made = { ...version, id: `v${number}` };
    const versions = to.get(key) ?? [];
    to.set(key, versions);
    versions.push(made);
    return made;
  };
  const create = (to: Map<string, Version[]>, key: string, bytes: Uint8Array, retainUntil: number): S3Created => {
    if (random.chance(bucket.conflicts)) return { outcome: 'conflict' };
    if (to.get(key)?.at(-1)?.kind === 'object') return { outcome: 'exists' };
    return { outcome: 'created', id: add(to, key, { kind: 'object', bytes: bytes.slice(), retainUntil }).id };
  };
  const versionsOf = (from: Map<string, Version[]>, key: string): readonly S3Version[] => {
    const newestFirst = (from.get(key) ?? []).toReversed();
    const of = (kind: Version['kind']): S3Version[] =>
      newestFirst.filter((version) => version.kind === kind).map(({ id, bytes }) => ({ id, kind, size: bytes.length }));
    return [...of('object'), ...of('delete-marker')];
  };
  const read = (from: Map<string, Version[]>, key: string, id: string | undefined): S3Object | undefined => {
    const versions = from.get(key) ?? [];
    const found = id === undefined ? versions.at(-1) : versions.find((version) => version.id === id);
    if (found === undefined || found.kind !== 'object') return undefined;
    const { bytes, retainUntil } = found;
    return { id: found.id, bytes: bytes.slice(), lock: { mode: 'COMPLIANCE', retainUntil } };
  };

  const bucket: Bucket = {
    owner,
    down: false,
    conflicts: 0,
    port(from, link, view) {
      link.isCut.push(() => bucket.down);
      const ask = <T>(what: () => string, signal: AbortSignal, effect: () => T): Promise<T> =>
        link.request({ from, what, signal, effect, failed: unavailable });
      return {
        create: (key, bytes, retainUntil, signal) =>
          ask(
            () => `to create ${brief(key)}`,
            signal,
            () => create(shown(view, key), key, bytes, retainUntil),
          ),
        versions: (key, signal) =>
          ask(
            () => `for the versions of ${brief(key)}`,
            signal,
            () => versionsOf(shown(view, key), key),
          ),
        read: (key, id, signal) =>
          ask(
            () => `for ${brief(key)}`,
            signal,
            () => read(shown(view, key), key, id),
          ),
        bucket: (signal) =>
          ask(
            () => 'what it can do',
            signal,
            () => ({ versioning: true, objectLock: true }),
          ),
      };
    },
    putMarker: (key) => void add(truth, key, { kind: 'delete-marker', bytes: new Uint8Array(0), retainUntil: 0 }),
    putObject: (key, bytes) => void add(truth, key, { kind: 'object', bytes, retainUntil: FAR }),
    lie(about) {
      lyingAbout = about;
      if (about !== 'nothing') return;
      for (const fork of forks.values())
        for (const [key, versions] of fork)
          for (const version of versions)
            if (truth.get(key)?.some(({ id }) => id === version.id) !== true) add(truth, key, version);
      forks.clear();
    },
    entries: () =>
      new Map(
        [...truth].flatMap(([key, versions]) => {
          const oldest = versions.find(({ kind }) => kind === 'object');
          return oldest === undefined ? [] : [[key, oldest.bytes] as const];
        }),
      ),
    keys: () => [...truth.keys()],
  };
  return bucket;
}

const FAR = Date.parse('2200-01-01T00:00:00Z');

function unavailable(why: 'timeout' | 'error'): Failure {
  return new Failure('environment', 's3/unavailable', 'S3 could not be reached', { where: why });
}

/** A key without the digest in it. */
export function brief(key: string): string {
  return key.replaceAll(/[0-9a-f]{96}/g, '…');
}
