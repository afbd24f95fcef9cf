/** How much each caller can learn at most, in words. */
import { answerBudget } from './budget.ts';
import { bitsInWords } from './information.ts';
import type { CanonicalPolicy, FunctionPolicy, Policy } from './model.ts';
import { count, enumerate } from './words.ts';

export function ofInformation({ functions }: Policy | CanonicalPolicy): string[] {
  return [...Object.entries(functions).map(([name, one]) => ofFunction(name, one)), NOT_COUNTED];
}

function ofFunction(name: string, one: FunctionPolicy): string {
  const { bitsPerCall, parties, answerBits } = answerBudget(one);
  const totals = Object.entries(parties).map(([party, { calls, bits }]) =>
    calls === 1
      ? `${party}'s one call ${bitsInWords(bits)}`
      : `${party}'s ${calls} calls together ${bitsInWords(bits)}`,
  );
  const all = totals.length === 0 ? '' : `; ${enumerate(totals)}`;
  const agreed =
    answerBits === undefined
      ? ' No bound is agreed (answerBits).'
      : ` Agreed is a bound of ${count(answerBits, 'bit')} for each party, and a policy whose calls could carry more is refused.`;
  return `The outcome of one call of ${name} carries ${bitsInWords(bitsPerCall)}${all}.${agreed}`;
}

const NOT_COUNTED =
  'A refusal is counted as one of the outcomes; its words never come from weights or from what others put in. Not counted are ' +
  'the time that an answer takes where there is no release time (afterMs), whether a computation stops and may be tried again, ' +
  "and the texts of labels, which are the model owner's own words.";
