/**
 * A quota of N calls is N numbered tickets, entries 0 to N - 1 under
 *
 *     tickets/<policy digest>/<function>/<party>
 *
 * claimed in order. A ticket is a licence to learn one answer: the same request with the same input in the same context
 * finds its own ticket again, by its tag (tag.ts), and costs nothing.
 */
import type { PolicyDigest } from '../../policies/model.ts';
import { controllerForMany } from '../deadline.ts';
import type { Timers } from '../deadline.ts';
import type { RefusalCode } from '../protocol/refusal.ts';
import type { Anchors } from './anchor.ts';
import type { Patience } from './ask.ts';
import { brief } from './ask.ts';
import type { Claimed, ClaimOptions, Settled } from './claim.ts';
import { claim } from './claim.ts';
import type { Entry } from './entry.ts';
import { entryKey } from './entry.ts';
import type { Scanned } from './scan.ts';
import { passTaken } from './scan.ts';
import { createShelf } from './shelf.ts';
import type { Shelf } from './shelf.ts';
import type { TaggedCall } from './tag.ts';
import { createTagger, kinship } from './tag.ts';
import { holderOf } from './versions.ts';

export interface TicketRequest extends TaggedCall {
  readonly function: string;
  readonly party: string;
  /** Calls that the policy gives this party. */
  readonly quota: number;
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
  const tagger = await createTagger(options.stateKey);
  const shelves = new Map<string, Shelf>();
  const reports: string[] = [];
  const report = (text: string): void => {
    if (reports.length < REPORTS && !reports.includes(text)) reports.push(text);
  };
  const never = controllerForMany().signal;
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
      const tag = await tagger.tag(under.name, request);
      const started = await begin(under, tag, request.quota, claiming(signal));
      if (started.outcome === 'refused') return started;
      const draw = await tagger.draw(tag);
      const settled = finish(under, tag, request.quota, claiming(signal), started);
      return { outcome: 'granted', k: started.k, tag: tag.first.slice(), draw, settled };
    },
    async used(of, signal = never) {
      const under = scanned(of);
      // To look is worth less waiting than to claim.
      const half = await halfClaimed(under, of.quota, { ...claiming(signal), patience: brief(patience) });
      const { used, closed } = under.shelf.count(of.quota);
      // Those that a call at work has settled meanwhile are among the others.
      const more = [...half].filter(([k]) => !under.shelf.isDecided(k)).map(([, kind]) => kind);
      const moreUsed = more.filter((kind) => kind === 'used').length;
      return { used: used + moreUsed, left: of.quota - used - closed - more.length };
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
  from: number = under.shelf.after(-1, tag),
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
    k = await passTaken(under, shelf.after(k, tag), quota, tag, options);
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
    const next = await begin(under, tag, quota, options, under.shelf.after(started.k, tag));
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
): Promise<ReadonlyMap<number, 'used' | 'closed'>> {
  const { anchors, key, name, shelf } = under;
  const half = new Map<number, 'used' | 'closed'>();
  for (let k = await passTaken(under, shelf.next(), quota, undefined, options); k < quota;) {
    if (!shelf.isDecided(k)) {
      const { entries, foreign } = await holderOf(anchors, key, { name, k }, options);
      if (entries.length === 0 && foreign === 0) break;
      if (entries.some(({ entry }) => entry.kind === 'ticket')) half.set(k, 'used');
      else if (entries.length > 0) half.set(k, 'closed');
    }
    k = await passTaken(under, k + 1, quota, undefined, options);
  }
  return half;
}
