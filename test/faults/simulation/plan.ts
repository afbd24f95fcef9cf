/** All that a seed decides before a run begins: who is there, what they want, and how bad the weather will be. */
import type { Cheats } from './disk.ts';
import { HONEST } from './disk.ts';
import type { HostFaults } from './host.ts';
import { GOOD_HOST } from './host.ts';
import type { LineFaults } from './line.ts';
import { GOOD_LINE } from './line.ts';
import type { Fates } from './link.ts';
import { NO_FAULTS } from './link.ts';
import type { Prng } from './prng.ts';

export const NAMES = ['alice', 'bob', 'charlie'] as const;
export type Name = (typeof NAMES)[number];

export interface PlannedCall {
  readonly function: string;
  readonly input: Uint8Array;
  /** Milliseconds before the party begins to ask. */
  readonly after: number;
  /** Asks on two connections at once. */
  readonly twice: boolean;
  /** Sends another input under the same id, too. */
  readonly reused: boolean;
  /** How often it asks again for what it has been answered. */
  readonly again: number;
}

export interface Plan {
  readonly parties: readonly Name[];
  readonly calls: Readonly<Record<string, readonly PlannedCall[]>>;
  /** Quotas, by function and party. */
  readonly quotas: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly anchors: number;
  readonly quorum: number;
  readonly seal: 'layered' | { readonly threshold: number };
  /** Owner of the model, where the policy has a function with one. */
  readonly modelOwner: Name | undefined;
  /** Models that the owner hands over, one after the other. */
  readonly models: number;
  /** Copies of the enclave that may run at once. */
  readonly copies: number;
  /** Each copy's host has a disk of its own. */
  readonly forkedDisks: boolean;
  /** The host has a role that every party's key lets in. */
  readonly hostRole: boolean;
  /** Who withdraws its key in the course of the storm. */
  readonly withdrawal: Name | undefined;
  readonly stormMs: number;
  readonly storm: Weather;
  /** Mean milliseconds between two blows; Infinity for none. */
  readonly blows: Readonly<Record<Blow, number>>;
  /** Anchors whose owners conspire with the host and whose stores lie, by number. */
  readonly lying: readonly number[];
  /** They show each copy tickets of its own from the first to the last moment; else each lies now and then. */
  readonly forksTickets: boolean;
}

export interface Weather {
  readonly anchors: Fates;
  readonly conflicts: number;
  readonly kms: Fates;
  readonly line: LineFaults;
  readonly host: HostFaults;
  readonly cheats: Cheats;
  readonly computeFails: number;
}

export const CALM: Weather = {
  anchors: NO_FAULTS,
  conflicts: 0,
  kms: NO_FAULTS,
  line: GOOD_LINE,
  host: GOOD_HOST,
  cheats: HONEST,
  computeFails: 0,
};

export type Blow =
  | 'kill' // a copy of the enclave
  | 'start' // one where there is room
  | 'orchestrator' // it goes, with all connections, and comes back
  | 'anchor' // one goes, and comes back
  | 'partition' // between one copy and one anchor
  | 'rollback' // the host's storage
  | 'loss'
  | 'snapshot'
  | 'marker' // a delete marker in a bucket
  | 'foreign' // an object that is nobody's entry
  | 'lie'; // an anchor shows each copy another truth

export const MODEL = 'classify';
export const COUNTER = 'count';

/**
 * Faults come in kinds: each run has some of them and lacks the others, so that every mixture occurs. Most runs are small,
 * because what goes wrong at all goes wrong among few; one in twenty is large.
 */
export function makePlan(random: Prng): Plan {
  const large = random.chance(0.05);
  const parties = NAMES.slice(0, random.chance(0.1) ? 1 : random.chance(large ? 0.6 : 0.85) ? 2 : 3);
  const anchors = Math.min(parties.length, random.chance(0.5) ? 2 : 3);
  const majority = Math.floor(anchors / 2) + 1;
  const quorum = random.chance(0.6) ? anchors : majority;
  const withModel = random.chance(0.55);
  const withCounter = !withModel || random.chance(large ? 0.5 : 0.15);
  const functions = [...(withModel ? [MODEL] : []), ...(withCounter ? [COUNTER] : [])];
  const quotas: Record<string, Record<string, number>> = {};
  for (const name of functions) {
    const of: Record<string, number> = {};
    for (const party of parties) if (random.chance(large ? 0.8 : 0.5)) of[party] = random.between(1, large ? 4 : 2);
    if (Object.keys(of).length === 0) of[parties[0] ?? 'alice'] = random.between(1, 2);
    quotas[name] = of;
  }
  const stormMs = random.chance(0.2) ? 0 : 200 * 10 ** ((large ? 1.7 : 1.2) * random.next());
  const calls: Record<string, PlannedCall[]> = {};
  for (const party of parties) {
    const own: PlannedCall[] = [];
    for (const name of functions) {
      const quota = quotas[name]?.[party] ?? 0;
      if (quota === 0) continue;
      const wanted = Math.max(1, quota + random.pick([-1, 0, 0, 1]));
      for (let i = 0; i < wanted; i += 1) own.push(plannedCall(random, name, stormMs));
    }
    calls[party] = own;
  }
  const spared = 2 * quorum - anchors - 1;
  const evil = random.chance(0.15) && spared > 0;
  // A few kinds of blows at a time.
  const share = large ? 1 : 0.6;
  const any = (often: number, mean: number): number =>
    random.chance(often * share) ? mean * (0.3 + 1.4 * random.next()) : Infinity;
  const forksTickets = evil && random.chance(0.5);
  return {
    parties,
    calls,
    quotas,
    anchors,
    quorum,
    seal:
      parties.length > 1 && random.chance(0.4)
        ? { threshold: random.between(Math.min(2, parties.length), parties.length) }
        : 'layered',
    modelOwner: withModel ? random.pick(parties) : undefined,
    models: withModel && random.chance(0.15) ? 2 : 1,
    copies: random.chance(0.5) ? 2 : large && random.chance(0.3) ? 3 : 1,
    forkedDisks: random.chance(0.2),
    hostRole: random.chance(0.4),
    withdrawal: random.chance(0.02) ? random.pick(parties) : undefined,
    stormMs,
    storm: makeWeather(random),
    blows: {
      kill: any(0.6, stormMs / 4),
      start: stormMs / 20,
      orchestrator: any(0.2, stormMs / 2),
      anchor: any(0.3, stormMs / 3),
      partition: any(0.3, stormMs / 4),
      snapshot: stormMs / 8,
      rollback: any(0.25, stormMs / 3),
      loss: any(0.15, stormMs / 2),
      marker: any(0.12, stormMs / 6),
      foreign: any(0.08, stormMs / 3),
      lie: evil && !forksTickets ? stormMs / 3 : Infinity,
    },
    lying: evil ? random.shuffled([...Array(anchors).keys()]).slice(0, spared) : [],
    forksTickets,
  };
}

function plannedCall(random: Prng, name: string, stormMs: number): PlannedCall {
  return {
    function: name,
    input: random.bytes(random.between(1, 6)),
    after: random.chance(0.5) ? 0 : random.next() * stormMs,
    twice: random.chance(0.12),
    reused: random.chance(0.04),
    again: random.chance(0.3) ? 1 : 0,
  };
}

function makeWeather(random: Prng): Weather {
  const some = (often: number, most: number): number => (random.chance(often) ? most * random.next() : 0);
  const fates = (often: number): Fates => ({
    lostBefore: some(often, 0.15),
    lostAfter: some(often, 0.2),
    errorBefore: some(often, 0.25),
    errorAfter: some(often, 0.25),
    late: some(often / 2, 0.15),
    slow: some(often, 0.2),
  });
  return {
    anchors: random.chance(0.75) ? fates(0.5) : NO_FAULTS,
    conflicts: some(0.3, 0.4),
    kms: random.chance(0.3) ? fates(0.3) : NO_FAULTS,
    line: random.chance(0.6)
      ? {
          dropped: some(0.3, 0.05),
          repeated: some(0.3, 0.05),
          slow: some(0.4, 0.2),
          cut: some(0.6, 0.1),
          told: random.next(),
        }
      : GOOD_LINE,
    host: random.chance(0.3)
      ? {
          unreachable: some(0.5, 0.1),
          silent: some(0.4, 0.08),
          cut: some(0.4, 0.1),
          slow: some(0.5, 0.3),
          refusesToStore: some(0.4, 0.2),
        }
      : GOOD_HOST,
    cheats: random.chance(0.25)
      ? { absent: some(0.5, 0.3), flipped: some(0.5, 0.2), swapped: some(0.5, 0.3), cut: some(0.3, 0.2) }
      : HONEST,
    computeFails: some(0.2, 0.3),
  };
}
