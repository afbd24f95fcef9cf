import { largestAnswer, PICTURE_FUNCTION_FACTS, standardPadding } from '../answer-size.ts';
import { BOUNDS } from '../bounds.ts';
import { answerBudget, budgetObjection } from '../budget.ts';
import type { FunctionPolicy, FunctionTerms } from '../model.ts';
import type { PartObjection } from '../reading/shape.ts';
import { formatSize } from '../units.ts';

/** What holds between the values of one function, in both forms. */
export function checkFunction(one: FunctionPolicy): readonly PartObjection[] {
  return [checkEntries(one), checkCounter(one), checkPadding(one), checkBits(one)].filter(
    (objection) => objection !== undefined,
  );
}

function checkEntries(one: FunctionPolicy): PartObjection | undefined {
  if (one.uses === 'counter' || one.uses === 'decision-tree') return undefined;
  const { max } = PICTURE_FUNCTION_FACTS[one.uses].topK;
  if (one.output.topK <= max) return undefined;
  const message = `${one.output.topK} is more than ${one.uses} gives, which is ${max}`;
  return { at: ['output', 'topK'], code: 'policy/out-of-range', message, hint: `write at most ${max}` };
}

function checkCounter({ uses, calls }: FunctionPolicy): PartObjection | undefined {
  const all = Object.values(calls).reduce((sum, amount) => sum + amount, 0);
  if (uses !== 'counter' || all <= BOUNDS.counterCalls) return undefined;
  const message = `a counter keeps a mark of every call, and of ${all} calls that is too much`;
  return {
    at: ['calls'],
    code: 'policy/out-of-range',
    message,
    hint: `at most ${BOUNDS.counterCalls} calls of all parties together`,
  };
}

function checkPadding(one: FunctionPolicy): PartObjection | undefined {
  const entries = one.uses !== 'counter' && one.uses !== 'decision-tree';
  const needed = largestAnswer(one);
  if (one.release.padTo >= needed) return undefined;
  const why = entries ? ` (topK ${one.output.topK}, decimals ${one.output.decimals})` : '';
  return {
    at: ['release', 'padTo'],
    code: 'policy/pad-too-small',
    message: `answers can take ${needed} bytes${why}, padding is to ${one.release.padTo}`,
    hint: `write ${standardPadding(one) / 1024}KiB${entries ? ', or fewer entries or decimals' : ''}`,
  };
}

/** Of sizes that the host may tell apart: that they ascend to the largest input. */
export function bucketsObjection({ maxBytes, buckets }: FunctionTerms['input']): PartObjection | undefined {
  const at = ['buckets'];
  const unordered = buckets.findIndex((bucket, index) => index > 0 && bucket <= (buckets[index - 1] ?? 0));
  if (unordered > 0) {
    const message = `${formatSize(buckets[unordered] ?? 0)} is not larger than the one before it`;
    return { at, code: 'policy/bad-value', message, hint: 'write the sizes in ascending order, each once' };
  }
  const last = buckets.at(-1) ?? 0;
  if (last === maxBytes) return undefined;
  return {
    at,
    code: 'policy/bad-value',
    message: `the last is ${formatSize(last)}, and the largest input ${formatSize(maxBytes)}`,
    hint: `end the list with ${formatSize(maxBytes)}, or remove maxBytes`,
  };
}

function checkBits(one: FunctionPolicy): PartObjection | undefined {
  const objection = budgetObjection(answerBudget(one));
  return objection === undefined ? undefined : { ...objection, at: ['answerBits'] };
}
