/**
 * What a party may know of the collaboration: the state of the functions, its own calls, and those that others made with
 * its model. No further ones.
 */
import { Failure } from '../../policies/failure.ts';
import type { CanonicalPolicy, FunctionPolicy, ModelFunctionPolicy } from '../../policies/model.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { quotaOf } from '../../policies/quota.ts';
import type { AnchorKind } from '../claims/anchor.ts';
import { MEMORY_ANCHOR_SENTENCE } from '../claims/memory-anchor.ts';
import type { TicketsOf, Usage } from '../claims/tickets.ts';
import type { Gate } from '../gate.ts';
import { unconfined } from '../jail/confinement.ts';
import type { Confinement } from '../jail/confinement.ts';
import type { PaddedAnswer } from '../protocol/answer.ts';
import { padPlain } from '../protocol/answer.ts';
import type { Request } from '../protocol/request.ts';
import type { OpeningStatus } from '../state/opening.ts';
import { authenticate } from './authenticate.ts';
import type { OpenedRequest } from './open.ts';
import { Refused, orRefusal } from './refused.ts';
import type { Session } from './authenticate.ts';

const MOST_REPORTS = 32;

/** The JSON in a status answer. */
export interface Status {
  readonly collaboration: string;
  readonly policyDigest: string;
  readonly party: string;
  /** By the NSM's clock, ISO 8601. */
  readonly time: string;
  readonly until: string;
  readonly debug: boolean;
  readonly functions: Readonly<Record<string, FunctionStatus>>;
  readonly state: OpeningStatus;
  readonly anchors: AnchorStatus;
  readonly weakenings: readonly { readonly code: string; readonly text: string }[];
  /** What holds the processes that read inputs and models. */
  readonly confinement: Confinement;
}

export interface AnchorStatus {
  /** Empty where spent calls are written down in memory alone. */
  readonly stores: readonly { readonly owner: string; readonly kind: Exclude<AnchorKind, 'memory'> }[];
  /** How many of them must hold what is written down. */
  readonly quorum: number;
  readonly meaning: string;
  /** What was found in them that should not be there. */
  readonly reports: readonly string[];
}

export interface FunctionStatus {
  readonly uses: string;
  /** Null where the function computes without a model. */
  readonly model: ModelStatus | null;
  /** Null where the policy gives this party no calls. */
  readonly calls: CallCount | null;
  /** Who else calls this party's model, and how often they did; null where it has none, or another party's. */
  readonly callers: Readonly<Record<string, CallCount>> | null;
}

export interface ModelStatus {
  readonly from: string;
  /** Null where none is in place. */
  readonly sha256: string | null;
  /** Why the one that was contributed is not in place: a code. */
  readonly withheld?: string;
}

export interface CallCount {
  readonly quota: number;
  /** Null where it is not known now: the state is not open, or too few anchors can be reached. */
  readonly used: number | null;
  readonly left: number | null;
}

export async function status(
  gate: Gate,
  session: Session,
  opened: OpenedRequest<Extract<Request, { readonly t: 'status' }>>,
  signal: AbortSignal,
): Promise<PaddedAnswer> {
  const outcome = await orRefusal(async () => {
    const { session: of } = await authenticate(gate, session, opened);
    const ask = async (): Promise<Status> => {
      // One party's questions are worked out one after the other: answers that are due leave in between.
      await gate.schedule.breathe();
      return statusFor(gate, of.party, signal);
    };
    return { status: JSON.stringify(await gate.inquiries.take(of.party, signal, ask)) };
  });
  return padPlain('refused' in outcome ? { t: 'refused', ...outcome } : { t: 'status', ...outcome });
}

async function statusFor(gate: Gate, party: string, signal: AbortSignal): Promise<Status> {
  const { policy, opening } = gate;
  const confinement = await gate.confinement();
  // Whoever asks lends the credentials that the state is opened with: they would go with a session that ends too soon.
  await opening.demand(signal).catch((error: unknown) => {
    if (!(error instanceof Refused || error instanceof Failure)) throw error;
  });
  const tickets = opening.current()?.tickets;
  const functions = Object.entries(policy.functions).map(
    async ([name, found]) => [name, await functionStatus(gate, name, found, party, signal)] as const,
  );
  return {
    collaboration: policy.collaboration,
    policyDigest: gate.policyDigest,
    party,
    time: new Date(await gate.issuer.clock.now()).toISOString(),
    until: policy.until,
    debug: gate.debug,
    functions: Object.fromEntries(await Promise.all(functions)),
    state: opening.status(),
    anchors: anchorStatus(policy, shortened(tickets?.reports ?? [])),
    weakenings: [...weakenings(policy), ...unconfined(confinement)],
    confinement,
  };
}

/** Owners of anchors can have as much reported as they like; an answer has an end. */
function shortened(reports: readonly string[]): readonly string[] {
  const more = reports.length - MOST_REPORTS;
  return more > 0 ? [...reports.slice(0, MOST_REPORTS), `and ${more} more of the kind`] : reports;
}

function anchorStatus({ anchors }: CanonicalPolicy, reports: readonly string[]): AnchorStatus {
  if (anchors === 'none') return { stores: [], quorum: 0, meaning: MEMORY_ANCHOR_SENTENCE, reports };
  const stores = anchors.stores.map((store) => {
    const kind: 's3' | 'folder' = 's3' in store ? 's3' : 'folder';
    return { owner: store.owner, kind };
  });
  const owners = stores.map(({ owner }) => owner).join(', ');
  const { quorum } = anchors;
  const meaning = `Spent calls are written down in the stores of ${owners}; ${quorum} of ${stores.length} must hold each of them.`;
  return { stores, quorum, meaning, reports };
}

async function functionStatus(
  gate: Gate,
  name: string,
  found: FunctionPolicy,
  party: string,
  signal: AbortSignal,
): Promise<FunctionStatus> {
  const count = async (caller: string): Promise<CallCount | null> => {
    const quota = quotaOf(found, caller);
    if (quota === 0) return null;
    const usage = await usageOf(gate, { function: name, party: caller, quota }, signal);
    return { quota, used: usage?.used ?? null, left: usage?.left ?? null };
  };
  if (found.uses === 'counter') return { uses: found.uses, model: null, calls: await count(party), callers: null };
  return {
    uses: found.uses,
    model: modelStatus(gate, name, found),
    calls: await count(party),
    callers: found.model.from === party ? await others(Object.keys(found.calls), party, count) : null,
  };
}

function modelStatus({ models }: Gate, name: string, { model }: ModelFunctionPolicy): ModelStatus {
  const withheld = models.withheld(name);
  const status = { from: model.from, sha256: models.sha256(name) ?? null };
  return withheld === undefined ? status : { ...status, withheld };
}

/** Undefined where it cannot be known now. */
async function usageOf(gate: Gate, of: TicketsOf, signal: AbortSignal): Promise<Usage | undefined> {
  try {
    return await gate.opening.current()?.tickets.used(of, signal);
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

async function others(
  callers: readonly string[],
  party: string,
  count: (caller: string) => Promise<CallCount | null>,
): Promise<Readonly<Record<string, CallCount>>> {
  const those = callers.filter((caller) => caller !== party);
  const counted = await Promise.all(those.map(async (caller) => [caller, await count(caller)] as const));
  return Object.fromEntries(counted.flatMap(([caller, calls]) => (calls === null ? [] : [[caller, calls] as const])));
}
