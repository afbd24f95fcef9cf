/** What the answers to a party's calls can tell at most, and whether that is more than was agreed. */
import { answerSchema } from './answer-schema.ts';
import { bitsInWords, bitsWithOthers, schemaBits, timesBits, type Bits } from './information.ts';
import type { FunctionPolicy } from './model.ts';
import type { Objection } from './reading/shape.ts';
import { count } from './words.ts';

/** A refusal tells something too: it is one of at most so many further outcomes. The gate has no more codes than this. */
export const REFUSALS_AT_MOST = 32;

export interface AnswerBudget {
  /** What the outcome of one call, an answer or a refusal, can carry. */
  readonly bitsPerCall: Bits;
  /** Of whom may call: all calls together. */
  readonly parties: Readonly<Record<string, { readonly calls: number; readonly bits: Bits }>>;
  /** The bound that the policy sets, where it sets one. */
  readonly answerBits?: number;
}

export function answerBudget(one: FunctionPolicy): AnswerBudget {
  return budgetOf(one, schemaBits(answerSchema(one)));
}

/** The same for answers that carry so many bits. */
export function budgetOf(
  { calls, answerBits }: Pick<FunctionPolicy, 'calls' | 'answerBits'>,
  answer: Bits,
): AnswerBudget {
  const bitsPerCall = bitsWithOthers(answer, REFUSALS_AT_MOST);
  const callers = Object.entries(calls).filter(([, amount]) => amount > 0);
  const parties = Object.fromEntries(
    callers.map(([name, amount]) => [name, { calls: amount, bits: timesBits(amount, bitsPerCall) }]),
  );
  return { bitsPerCall, parties, ...(answerBits === undefined ? {} : { answerBits }) };
}

/** What is wrong with the bound that was agreed: the calls of some party can carry more. */
export function budgetObjection({ answerBits, bitsPerCall, parties }: AnswerBudget): Objection | undefined {
  if (answerBits === undefined) return undefined;
  if (bitsPerCall === 'unbounded') {
    return {
      code: 'policy/unbounded-answers',
      message: 'answers of this function can carry bits without bound, so no number of calls keeps to one',
      hint: 'bound its texts, lists and numbers, or remove answerBits',
    };
  }
  const over = Object.entries(parties).flatMap(([name, { calls, bits }]) =>
    bits === 'unbounded' || bits <= answerBits ? [] : [{ name, calls, bits }],
  );
  const [worst] = over.sort((a, b) => b.bits - a.bits);
  if (worst === undefined) return undefined;
  return {
    code: 'policy/too-many-bits',
    message:
      `the answers to ${count(worst.calls, 'call')} of ${worst.name} can carry ${worst.bits} bits ` +
      `(${bitsInWords(bitsPerCall)} each); agreed are ${answerBits}`,
    hint: `write at least ${Math.ceil(worst.bits)}, or fewer calls, entries, labels or decimals`,
  };
}
