/**
 * What a host keeps for an enclave, and how it cheats: it shows an older state of its disk, loses what it was given,
 * hands out one record for another, or keeps one disk for each copy of the enclave. Somewhere it has everything it was
 * ever given, and when it stops cheating it shows that.
 */
import { toHex } from '../../../enclave/encoding/hex.ts';
import type { Prng } from './prng.ts';

export interface Cheats {
  /** Probabilities, for each question. */
  readonly absent: number;
  readonly flipped: number;
  readonly swapped: number;
  readonly cut: number;
}

export const HONEST: Cheats = { absent: 0, flipped: 0, swapped: 0, cut: 0 };

export interface Disk {
  cheats: Cheats;
  put(sha256: Uint8Array, bytes: Uint8Array, as: 'record' | 'keys'): void;
  record(sha256: Uint8Array): Uint8Array | undefined;
  keys(): Uint8Array | undefined;
  /** Keeps what is there now, to come back to. */
  snapshot(): void;
  /** Shows the state of some snapshot from now on. */
  rollBack(): void;
  /** Forgets about half of what it has. */
  lose(): void;
}

export interface Disks {
  /** The disk of this host; with `forked` one of its own, that others do not write to. */
  of(host: string): Disk;
  /** All disks show everything, and no host cheats any more. */
  heal(): void;
}

interface State {
  readonly records: Map<string, Uint8Array>;
  keys: Uint8Array | undefined;
}

const copyOf = ({ records, keys }: State): State => ({ records: new Map(records), keys });

export function createDisks(forked: boolean, cheats: Cheats, random: Prng): Disks {
  const all: State = { records: new Map(), keys: undefined };
  const everyKeys: Uint8Array[] = [];
  const disks = new Map<string, Disk>();
  let healed = false;
  const shared: State = { records: new Map(), keys: undefined };

  const changed = (bytes: Uint8Array, by: Cheats): Uint8Array | undefined => {
    if (random.chance(by.absent)) return undefined;
    if (random.chance(by.swapped) && all.records.size > 0) return random.pick([...all.records.values()]);
    if (random.chance(by.cut) && bytes.length > 1) return bytes.slice(0, random.between(1, bytes.length - 1));
    if (!random.chance(by.flipped)) return bytes;
    const flipped = bytes.slice();
    const at = random.below(flipped.length);
    flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
    return flipped;
  };

  const make = (): Disk => {
    const snapshots: State[] = [];
    const show = forked ? copyOf(all) : shared;
    const disk: Disk = {
      cheats: healed ? HONEST : cheats,
      put(sha256, bytes, as) {
        if (as === 'record') {
          all.records.set(toHex(sha256), bytes);
          show.records.set(toHex(sha256), bytes);
        } else {
          everyKeys.push(bytes);
          all.keys = bytes;
          show.keys = bytes;
        }
      },
      record(sha256) {
        const found = (healed ? all : show).records.get(toHex(sha256));
        return found === undefined ? undefined : changed(found, disk.cheats);
      },
      keys() {
        const newest = healed ? all.keys : show.keys;
        if (newest === undefined) return undefined;
        return random.chance(disk.cheats.swapped) ? random.pick(everyKeys) : changed(newest, disk.cheats);
      },
      snapshot: () => void snapshots.push(copyOf(show)),
      rollBack() {
        const back = snapshots.length === 0 ? undefined : random.pick(snapshots);
        if (back === undefined) return;
        show.keys = back.keys;
        show.records.clear();
        for (const [name, bytes] of back.records) show.records.set(name, bytes);
      },
      lose() {
        for (const name of show.records.keys()) if (random.chance(0.5)) show.records.delete(name);
      },
    };
    return disk;
  };

  return {
    of(host) {
      const found = disks.get(host) ?? make();
      disks.set(host, found);
      return found;
    },
    heal() {
      healed = true;
      for (const disk of disks.values()) disk.cheats = HONEST;
    },
  };
}
