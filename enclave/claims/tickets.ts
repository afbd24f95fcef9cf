/**
 * A quota of N calls is N numbered tickets, entries 0 to N - 1 under
 *
 *     tickets/<policy digest>/<function>/<party>
 *
 * claimed in order. A ticket is a licence to learn one answer: the same request with the same input in the same context
 * finds its own ticket again and costs nothing. Tags are HMACs under keys that never leave the enclave:
 *
 *     place    = uint16(length of name) || name
 *     request  = HMAC(K_request, place || request id)
 *     context  = HMAC(K_input, place || request id || SHA-256(input))[0..16] ||
 *                HMAC(K_reads, place || request id || digest of what else is read)[0..16]
 *     draw     = HMAC(K_draw, request)
 *     K_x      = HKDF-Expand(state key, "accord/v1/tickets/x", 32)
 *
 * The name is in every tag, so that two functions' or two parties' entries have nothing in common. The context has two
 * halves, so that "another input" and "another model" can be told apart without storing either; it is bound to the
 * request, so that two calls on one picture do not look alike.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import { concat } from '../encoding/bytes.ts';
import { hkdfExpand, hmacSha256 } from '../crypto/kdf.ts';
import type { Timers } from '../deadline.ts';
import type { RefusalCode } from '../protocol/refusal.ts';
import type { Anchors } from './anchor.ts';
import type { Patience } from './ask.ts';
import { brief } from './ask.ts';
import type { Claimed, ClaimOptions, Settled } from './claim.ts';
import { claim } from './claim.ts';
import type { Entry } from './entry.ts';
import { entryKey } from './entry.ts';
import { kinship } from './kinship.ts';
import type { Scanned } from './scan.ts';
import { passTaken } from './scan.ts';
import { createShelf } from './shelf.ts';
import type { Shelf } from './shelf.ts';
import { holderOf } from './versions.ts';

export interface TicketRequest {
  readonly function: string;
  readonly party: string;
  /** Calls that the policy gives this party. */
  readonly quota: number;
  /** 32 random bytes that party and enclave alone know. */
  readonly requestId: Uint8Array;
  /** SHA-256 of the input as it arrived. */
  readonly inputDigest: Uint8Array;
  /** Digest of everything else the function reads: the model. */
  readonly readsDigest: Uint8Array;
}

export interface Granted {
  readonly outcome: 'granted';
  /** Its number for now: another copy may yet have taken it, and `settled` then says which it became. */
  readonly k: number;
  /** Names the request wherever something is kept under its ticket. 32 bytes, the same for each retry. */
  readonly tag: Uint8Array;
  /** 32 bytes for a function that draws lots: the same for each retry, known to nobody outside. */
  readonly draw: Uint8Array;
  /**
   * Resolves when a quorum of anchors holds the ticket, or it is known that it cannot be had. Never rejects. Nothing may
   * change or leave the enclave before.
   */
  readonly settled: Promise<SettledTicket>;
}

export interface TicketRefused {
  readonly outcome: 'refused';
  readonly code: Extract<
    RefusalCode,
    'quota-exceeded' | 'request-reused' | 'changed' | 'unavailable' | 'anchor-tampered'
  >;
  readonly detail?: string;
}

export type SettledTicket = { readonly outcome: 'held'; readonly k: number } | TicketRefused;
export type Ticket = Granted | TicketRefused;

export interface Usage {
  /** Tickets that calls have spent. */
  readonly used: number;
  /** Tickets that may still be had: none where a successor closed them. */
  readonly left: number;
}

export type TicketsOf = Pick<TicketRequest, 'function' | 'party' | 'quota'>;

export interface TicketBook {
  /** Resolves when the first anchor holds the ticket, which is when computing may begin. */
  take(request: TicketRequest, signal?: AbortSignal): Promise<Ticket>;
  /** @throws `claim/unavailable`, `claim/tampered` */
  used(of: TicketsOf, signal?: AbortSignal): Promise<Usage>;
  /** What was found in the anchors that should not be there, each with its owner. Bounded. */
  readonly reports: readonly string[];
}

export interface TicketBookOptions {
  readonly anchors: Anchors;
  readonly policyDigest: PolicyDigest;
  /** At least 32 random bytes; may be overwritten afterwards. */
  readonly stateKey: Uint8Array;
  readonly timers: Timers;
  readonly patience?: Patience;
}

const REPORTS = 32;
const CLOSED = 'a successor of this collaboration has closed it';

export function ticketsName(
  policyDigest: PolicyDigest,
  of: { readonly function: string; readonly party: string },
): string {
  return `tickets/${policyDigest}/${of.function}/${of.party}`;
}

export async function createTicketBook(options: TicketBookOptions): Promise<TicketBook> {
  const { anchors, policyDigest, timers, patience } = options;
  const key = await entryKey(options.stateKey);
  const keys = await ticketKeys(options.stateKey);
  const shelves = new Map<string, Shelf>();
  const reports: string[] = [];
  const report = (text: string): void => {
    if (reports.length < REPORTS && !reports.includes(text)) reports.push(text);
  };
  const never = new AbortController().signal;
  const claiming = (signal: AbortSignal): ClaimOptions => ({
    timers,
    signal,
    report,
    ...(patience === undefined ? {} : { patience }),
  });
  const scanned = (of: TicketsOf): Scanned => {
    const name = ticketsName(policyDigest, of);
    const shelf = shelves.get(name) ?? createShelf();
    shelves.set(name, shelf);
    return { anchors, key, name, shelf };
  };

  return {
    get reports() {
      const theirs = anchors.stores.flatMap(({ owner, reports: found }) => found.map((text) => `${owner}: ${text}`));
      return [...reports, ...theirs];
    },
    async take(request, signal = never) {
      const under = scanned(request);
      const tag = await tagOf(keys, under.name, request);
      const started = await begin(under, tag, request.quota, claiming(signal));
      if (started.outcome === 'refused') return started;
      const draw = await hmacSha256(keys.draw, tag.first);
      const settled = finish(under, tag, request.quota, claiming(signal), started);
      return { outcome: 'granted', k: started.k, tag: tag.first.slice(), draw, settled };
    },
    async used(of, signal = never) {
      const under = scanned(of);
      // To look is worth less waiting than to claim.
      const more = await halfClaimed(under, of.quota, { ...claiming(signal), patience: brief(patience) });
      const { used, closed } = under.shelf.count(of.quota);
      return { used: used + more.used, left: of.quota - used - closed - more.used - more.closed };
    },
  };
}

interface Started {
  readonly outcome: 'started';
  readonly k: number;
  readonly settle: () => Promise<Settled>;
}

/** The first ticket from `from` on whose first anchor holds the tag. */
async function begin(
  under: Scanned,
  tag: Entry,
  quota: number,
  options: ClaimOptions,
  from: number = under.shelf.placeOf(tag) ?? under.shelf.next(),
): Promise<Started | TicketRefused> {
  const { anchors, key, name, shelf } = under;
  for (let k = from; k < quota;) {
    const claimed = await claim(anchors, key, { name, k }, tag, options);
    if (claimed.outcome === 'first') {
      shelf.saw(k, tag);
      return { outcome: 'started', k, settle: claimed.settle };
    }
    const refused = refusalOf(under, tag, k, claimed);
    if (refused !== undefined) return refused;
    k = await passTaken(under, Math.max(k + 1, shelf.next()), quota, tag, options);
  }
  return shelf.count(quota).closed > 0
    ? { outcome: 'refused', code: 'quota-exceeded', detail: CLOSED }
    : { outcome: 'refused', code: 'quota-exceeded' };
}

/** Goes on, whatever it takes, until a quorum holds a ticket of this request or none can be had. */
async function finish(
  under: Scanned,
  tag: Entry,
  quota: number,
  options: ClaimOptions,
  first: Started,
): Promise<SettledTicket> {
  let started = first;
  for (;;) {
    const settled = await started.settle();
    if (settled.outcome === 'held') {
      under.shelf.decide(started.k, [tag]);
      return { outcome: 'held', k: started.k };
    }
    const refused = refusalOf(under, tag, started.k, settled);
    if (refused !== undefined) return refused;
    const next = await begin(under, tag, quota, options, Math.max(started.k + 1, under.shelf.next()));
    if (next.outcome === 'refused') return next;
    started = next;
  }
}

/** Remembers who holds the ticket; undefined where the next one is to be tried. */
function refusalOf(
  { shelf }: Scanned,
  tag: Entry,
  k: number,
  unheld: Exclude<Claimed | Settled, { readonly outcome: 'first' | 'held' }>,
): TicketRefused | undefined {
  if (unheld.outcome === 'failed') return { outcome: 'refused', code: unheld.code, detail: unheld.detail };
  shelf.decide(k, unheld.by);
  const kinships = unheld.by.map((entry) => kinship(tag, entry));
  if (kinships.includes('other-input')) return { outcome: 'refused', code: 'request-reused' };
  return kinships.includes('other-context') ? { outcome: 'refused', code: 'changed' } : undefined;
}

/** Tickets that some anchor shows and that are not decided; those that are plainly taken are remembered on the way. */
async function halfClaimed(
  under: Scanned,
  quota: number,
  options: ClaimOptions,
): Promise<{ used: number; closed: number }> {
  const { anchors, key, name, shelf } = under;
  const more = { used: 0, closed: 0 };
  for (let k = await passTaken(under, shelf.next(), quota, undefined, options); k < quota;) {
    if (!shelf.isDecided(k)) {
      const { entries, foreign } = await holderOf(anchors, key, { name, k }, options);
      if (entries.length === 0 && foreign === 0) break;
      if (entries.some(({ entry }) => entry.kind === 'ticket')) more.used += 1;
      else if (entries.length > 0) more.closed += 1;
    }
    k = await passTaken(under, k + 1, quota, undefined, options);
  }
  return more;
}

interface TicketKeys {
  readonly request: Uint8Array;
  readonly input: Uint8Array;
  readonly reads: Uint8Array;
  readonly draw: Uint8Array;
}

async function ticketKeys(stateKey: Uint8Array): Promise<TicketKeys> {
  const key = (purpose: string): Promise<Uint8Array> => hkdfExpand(stateKey, `accord/v1/tickets/${purpose}`, 32);
  return {
    request: await key('request'),
    input: await key('input'),
    reads: await key('reads'),
    draw: await key('draw'),
  };
}

async function tagOf(keys: TicketKeys, name: string, request: TicketRequest): Promise<Entry> {
  const text = new TextEncoder().encode(name);
  const length = Uint8Array.of(text.length >> 8, text.length & 0xff);
  const bound = concat(length, text, request.requestId);
  const input = await hmacSha256(keys.input, concat(bound, request.inputDigest));
  const reads = await hmacSha256(keys.reads, concat(bound, request.readsDigest));
  return {
    kind: 'ticket',
    first: await hmacSha256(keys.request, bound),
    second: concat(input.subarray(0, 16), reads.subarray(0, 16)),
  };
}
