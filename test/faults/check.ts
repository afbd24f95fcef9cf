/**
 * Decides, from what parties saw and what stands in the anchors alone, whether a promise was broken:
 *
 *     quota         more requests of a party were answered than the policy gives it calls
 *     wrong-answer  an answer that the function does not give for this input, or two answers to one request
 *     old-state     the counter gave one count twice, or a later call a lower count; or an old model answered
 *     two-tickets   one request stands in two entries that a quorum holds
 *     lost          a ticket was paid, its party kept asking to the end, and has no answer
 *     stuck         at the end everything worked again, and a call was neither answered nor finally refused
 *     withdrawn     answers long after a party withdrew its key
 *     fault         an error of the program's own
 */
import type { Attempt, Contributed, History, Wanted } from './history.ts';

export type ViolationCode =
  'quota' | 'wrong-answer' | 'old-state' | 'two-tickets' | 'lost' | 'stuck' | 'withdrawn' | 'fault';

export interface Violation {
  readonly code: ViolationCode;
  readonly text: string;
}

export interface Terms {
  readonly functions: Readonly<Record<string, FunctionUnderTest>>;
  /** So many anchors must hold an entry. */
  readonly quorum: number;
  /** Oldest object of every key, for each anchor that never lied. */
  readonly entries: readonly ReadonlyMap<string, Uint8Array>[];
  /**
   * Whether what is paid must be answered in the end: nobody but the network and the host's storage was against it, and
   * they are well again.
   */
  readonly demandAnswers: boolean;
  /** … and every ticket of a quota is worth an answer: with a quorum of all, entries cannot be wasted. */
  readonly demandWholeQuota: boolean;
  /** … and nobody is told that its calls are used who never asked for so many, whatever owners wrote. */
  readonly demandHonestRefusals: boolean;
  /** How long after a withdrawal answers may still be given: the lease, and what was under way. Milliseconds. */
  readonly leaseMs: number;
}

export interface FunctionUnderTest {
  readonly kind: 'model' | 'counter';
  readonly calls: Readonly<Record<string, number>>;
  /** Of a model: the answer (JSON) that this model gives to this input. */
  readonly expected?: (model: string, input: string) => string;
}

/** Refusals after which the same request can have no other outcome. */
const FINAL: ReadonlySet<string> = new Set(['quota-exceeded', 'request-reused', 'changed', 'expired', 'not-permitted']);
/** Refusals that are the one answer of a call that was paid. */
const PAID: ReadonlySet<string> = new Set(['input-invalid', 'output-invalid', 'input-too-large']);

interface Answered {
  readonly wanted: Wanted;
  readonly first: Attempt;
  readonly answer: string;
}

export function check(history: History, terms: Terms): readonly Violation[] {
  const violations: Violation[] = history.faults.map((text) => ({ code: 'fault', text }));
  const violated = (code: ViolationCode, text: string): void => void violations.push({ code, text });
  const answered = answersOf(history, violated);

  for (const [name, terms_] of Object.entries(terms.functions)) {
    for (const [party, quota] of Object.entries(terms_.calls)) {
      const own = answered.filter(({ wanted }) => wanted.function === name && wanted.party === party);
      const distinct = new Set(own.map(({ wanted }) => wanted.requestId));
      if (distinct.size > quota)
        violated('quota', `${party} has ${distinct.size} answers of ${name} and ${quota} calls`);
      checkTickets(history, terms, name, party, quota, violated);
    }
    const of = answered.filter(({ wanted }) => wanted.function === name);
    if (terms_.kind === 'counter') checkCounts(of, history, violated);
    else for (const one of of) checkModelAnswer(one, terms_, history, violated);
  }
  if (terms.demandAnswers) checkEnd(history, violated);
  for (const { party, at } of history.withdrawn) {
    const late = history.attempts.find(
      ({ startedAt, outcome }) => 'answer' in outcome && startedAt > at + terms.leaseMs,
    );
    if (late !== undefined)
      violated('withdrawn', `an answer at ${late.endedAt} ms; ${party} withdrew its key at ${at} ms`);
  }
  return violations;
}

type Violated = (code: ViolationCode, text: string) => void;

const nameOf = ({ party, function: name, requestId, input }: Wanted): string =>
  `${party}'s ${name} ${requestId.slice(0, 8)} of ${input}`;

/** The first answer to each request; two that differ are a violation, and so are answers to two inputs of one id. */
function answersOf(history: History, violated: Violated): readonly Answered[] {
  const found = new Map<string, Answered>();
  const inputs = new Map<string, string>();
  for (const attempt of history.attempts.toSorted((a, b) => a.endedAt - b.endedAt)) {
    if (!('answer' in attempt.outcome)) continue;
    const { wanted, outcome } = attempt;
    const id = `${wanted.party} ${wanted.function} ${wanted.requestId}`;
    const earlier = found.get(`${id} ${wanted.input}`);
    if (earlier === undefined) found.set(`${id} ${wanted.input}`, { wanted, first: attempt, answer: outcome.answer });
    else if (earlier.answer !== outcome.answer)
      violated('wrong-answer', `${nameOf(wanted)} was answered ${earlier.answer}, then ${outcome.answer}`);
    const input = inputs.get(id);
    if (input !== undefined && input !== wanted.input)
      violated('wrong-answer', `${nameOf(wanted)} was answered, and under the same id also ${input}`);
    inputs.set(id, wanted.input);
  }
  return [...found.values()];
}

function checkModelAnswer(one: Answered, of: FunctionUnderTest, history: History, violated: Violated): void {
  const { wanted, first, answer } = one;
  const begun = firstAsked(history, wanted);
  const models = history.contributed.filter(({ function: name }) => name === wanted.function);
  const fitting = models.filter(({ model }) => of.expected?.(model, wanted.input) === answer);
  if (fitting.length === 0) {
    violated('wrong-answer', `${nameOf(wanted)} was answered ${answer}`);
    return;
  }
  // Not one that had been replaced when this was first asked: on the copy that was told so, and on every later one.
  const isReplaced = ({ endedAt }: Contributed): boolean =>
    models.some(
      (next) =>
        next.startedAt > endedAt &&
        next.endedAt < begun &&
        (next.enclave === first.enclave || next.endedAt < (history.started.get(first.enclave) ?? 0)),
    );
  if (fitting.every((model) => model.startedAt > first.endedAt || isReplaced(model)))
    violated('old-state', `${nameOf(wanted)} was answered ${answer} by a model that was replaced`);
}

/** Counts of different requests differ; who asked after another was answered has a higher one; none is above all calls. */
function checkCounts(answered: readonly Answered[], history: History, violated: Violated): void {
  const read = answered.map((one) => ({ ...one, count: countOf(one.answer), begun: firstAsked(history, one.wanted) }));
  const requests = new Set(
    history.wanted
      .filter(({ function: name }) => name === answered[0]?.wanted.function)
      .map(({ requestId }) => requestId),
  ).size;
  for (const a of read) {
    if (!(a.count >= 1 && a.count <= requests))
      violated('wrong-answer', `${nameOf(a.wanted)} was answered ${a.answer}`);
    for (const b of read) {
      if (a.wanted.requestId >= b.wanted.requestId && a.count === b.count && a !== b)
        violated('old-state', `${nameOf(a.wanted)} and ${nameOf(b.wanted)} both counted ${a.count}`);
      if (a.first.endedAt < b.begun && a.count >= b.count && a !== b)
        violated(
          'old-state',
          `${nameOf(b.wanted)} counted ${b.count}, after ${nameOf(a.wanted)} had counted ${a.count}`,
        );
    }
  }
}

function countOf(answer: string): number {
  const parsed: unknown = JSON.parse(answer);
  const count: unknown = typeof parsed === 'object' && parsed !== null && 'count' in parsed ? parsed.count : undefined;
  return typeof count === 'number' ? count : NaN;
}

function firstAsked(history: History, { requestId, function: name }: Wanted): number {
  let first = Infinity;
  for (const { wanted, startedAt } of history.attempts)
    if (wanted.requestId === requestId && wanted.function === name) first = Math.min(first, startedAt);
  return first;
}

/** Entries are `"ACC1" || kind || first[32] || …`; of a ticket, `first` is the same for the same request. */
function checkTickets(
  history: History,
  terms: Terms,
  name: string,
  party: string,
  quota: number,
  violated: Violated,
): void {
  const held = new Map<number, Map<string, number>>();
  for (const anchor of terms.entries) {
    for (const [key, bytes] of anchor) {
      const place = new RegExp(`tickets/[0-9a-f]{96}/${name}/${party}/(\\d+)$`).exec(key);
      if (place === null || bytes.length !== 101 || bytes[4] !== 1) continue;
      const tags = held.get(Number(place[1])) ?? new Map<string, number>();
      held.set(Number(place[1]), tags);
      const tag = Buffer.from(bytes.subarray(5, 37)).toString('hex');
      tags.set(tag, (tags.get(tag) ?? 0) + 1);
    }
  }
  const paid = new Map<string, number>();
  for (const [k, tags] of held) {
    for (const [tag, count] of tags) {
      if (count < terms.quorum) continue;
      const other = paid.get(tag);
      if (other !== undefined) violated('two-tickets', `${party}'s ${name}: one request holds ${other} and ${k}`);
      paid.set(tag, k);
    }
  }
  const own = history.wanted.filter((one) => one.function === name && one.party === party);
  const told = history.attempts.some(
    ({ wanted, outcome }) => own.includes(wanted) && 'refused' in outcome && outcome.refused === 'quota-exceeded',
  );
  const made = new Set(own.map(({ requestId }) => requestId)).size;
  if (terms.demandHonestRefusals && told && made <= quota)
    violated('lost', `${party} made ${made} of ${quota} calls of ${name} and is told that they are used`);
  if (!terms.demandAnswers) return;
  const asked = new Set(own.filter(({ persistent }) => persistent).map(({ requestId }) => requestId));
  const strays = new Set(own.filter(({ persistent }) => !persistent).map(({ requestId }) => requestId));
  const settled = new Set(
    history.attempts
      .filter(({ wanted, outcome }) => wanted.function === name && wanted.party === party && isWorth(outcome))
      .map(({ wanted }) => wanted.requestId),
  );
  const unanswered = [...strays].filter((id) => !asked.has(id) && !settled.has(id)).length;
  if (paid.size > settled.size + unanswered)
    violated('lost', `${party} paid ${paid.size} calls of ${name} and has ${settled.size} answers`);
  const due = Math.min(asked.size, quota);
  if (terms.demandWholeQuota && strays.size === 0 && settled.size < due)
    violated('lost', `${party} wanted ${asked.size} of ${quota} calls of ${name} and has ${settled.size} answers`);
}

function isWorth(outcome: Attempt['outcome']): boolean {
  return 'answer' in outcome || ('refused' in outcome && (PAID.has(outcome.refused) || outcome.refused === 'changed'));
}

function checkEnd(history: History, violated: Violated): void {
  for (const wanted of history.wanted) {
    if (!wanted.persistent) continue;
    const own = history.attempts.filter((attempt) => attempt.wanted === wanted);
    const ended = own.some(({ outcome }) => isWorth(outcome) || ('refused' in outcome && FINAL.has(outcome.refused)));
    if (ended) continue;
    const last = own.at(-1)?.outcome;
    violated(
      'stuck',
      `${nameOf(wanted)} was asked ${own.length} times to the end: ${JSON.stringify(last ?? 'no answer')}`,
    );
  }
}
