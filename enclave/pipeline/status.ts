/**
 * What a party may know of the collaboration: the state of the functions, its own calls, and those that others made with
 * its model. No further ones.
 */
import type { FunctionPolicy } from '../../policies/model.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { MEMORY_ANCHOR_SENTENCE } from '../claims/memory-anchor.ts';
import type { Gate } from '../gate.ts';
import type { PaddedAnswer } from '../protocol/answer.ts';
import { padPlain } from '../protocol/answer.ts';
import type { Request } from '../protocol/request.ts';
import { callsOf } from './admit.ts';
import { authenticate } from './authenticate.ts';
import type { OpenedRequest } from './open.ts';
import { orRefusal } from './refused.ts';
import type { Session } from './authenticate.ts';

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
  readonly anchors: { readonly kind: 'memory'; readonly meaning: string };
  readonly weakenings: readonly { readonly code: string; readonly text: string }[];
}

export interface FunctionStatus {
  readonly uses: string;
  /** Null where the function computes without a model. */
  readonly model: { readonly from: string; readonly sha256: string | null } | null;
  /** Null where the policy gives this party no calls. */
  readonly calls: CallCount | null;
  /** Who else calls this party's model, and how often they did; null where it has none, or another party's. */
  readonly callers: Readonly<Record<string, CallCount>> | null;
}

export interface CallCount {
  readonly quota: number;
  readonly used: number;
  readonly left: number;
}

export async function status(
  gate: Gate,
  session: Session,
  opened: OpenedRequest<Extract<Request, { readonly t: 'status' }>>,
): Promise<PaddedAnswer> {
  const outcome = await orRefusal(async () => {
    const { session: of } = await authenticate(gate, session, opened);
    return { status: JSON.stringify(await statusFor(gate, of.party)) };
  });
  return padPlain('refused' in outcome ? { t: 'refused', ...outcome } : { t: 'status', ...outcome });
}

async function statusFor(gate: Gate, party: string): Promise<Status> {
  const { policy } = gate;
  const functions = Object.entries(policy.functions).map(
    async ([name, found]) => [name, await functionStatus(gate, name, found, party)] as const,
  );
  return {
    collaboration: policy.collaboration,
    policyDigest: gate.policyDigest,
    party,
    time: new Date(await gate.issuer.clock.now()).toISOString(),
    until: policy.until,
    debug: gate.debug,
    functions: Object.fromEntries(await Promise.all(functions)),
    anchors: { kind: 'memory', meaning: MEMORY_ANCHOR_SENTENCE },
    weakenings: weakenings(policy),
  };
}

async function functionStatus(gate: Gate, name: string, found: FunctionPolicy, party: string): Promise<FunctionStatus> {
  const tickets = gate.opening.current()?.tickets;
  const count = async (caller: string): Promise<CallCount | null> => {
    const quota = callsOf(found, caller);
    if (quota === 0) return null;
    const usage = await tickets?.used({ function: name, party: caller, quota });
    return usage === undefined ? null : { quota, ...usage };
  };
  if (found.uses === 'counter') return { uses: found.uses, model: null, calls: await count(party), callers: null };
  return {
    uses: found.uses,
    model: { from: found.model.from, sha256: gate.models.sha256(name) ?? null },
    calls: await count(party),
    callers: found.model.from === party ? await others(Object.keys(found.calls), party, count) : null,
  };
}

async function others(
  callers: readonly string[],
  party: string,
  count: (caller: string) => Promise<CallCount | null>,
): Promise<Readonly<Record<string, CallCount>>> {
  const counted: [string, CallCount][] = [];
  for (const caller of callers) {
    const calls = caller === party ? null : await count(caller);
    if (calls !== null) counted.push([caller, calls]);
  }
  return Object.fromEntries(counted);
}
