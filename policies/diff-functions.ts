import { MOST_LABELS } from './answer-schema.ts';
import { FUNCTION_DOES } from './answer-size.ts';
import type { FunctionPolicy, ModelFunctionPolicy, PicturePolicy } from './model.ts';
import { quotaOf } from './quota.ts';
import { formatSize } from './units.ts';
import { count, digits, enumerate, times, treeInWords } from './words.ts';

/** What a change of one function means for one party; nothing where it means nothing. */
export function describeFunctionChange(
  id: string,
  was: FunctionPolicy | undefined,
  is: FunctionPolicy | undefined,
  party: string,
): string[] {
  if (was === undefined && is === undefined) return [];
  if (was === undefined) return is === undefined ? [] : added(id, is, party);
  if (is === undefined) return [`${id} is gone: nobody can call it in the new image.`];
  return [
    ...ofUse(id, was, is),
    ...ofModel(id, was, is, party),
    ...ofCalls(id, was, is, party),
    ...ofTree(id, was, is, party),
    ...ofOutput(id, was, is, party),
    ...(concerns(is, party) ? ofBudget(id, was.answerBits, is.answerBits) : []),
    ...ofRelease(id, was, is, party),
    ...ofPadding(id, was, is, party),
    ...ofInput(id, was, is, party),
  ];
}

const modelOwner = (one: FunctionPolicy): string | undefined => (one.uses === 'counter' ? undefined : one.model.from);

function added(id: string, is: FunctionPolicy, party: string): string[] {
  const owner = modelOwner(is);
  const texts = [
    `${id} is new: it ${FUNCTION_DOES[is.uses]}${owner === undefined ? '' : `, with a model of ${owner}`}.`,
  ];
  if (owner === party) texts.push(...contributes(is, party));
  const amount = quotaOf(is, party);
  if (amount > 0) texts.push(`${party} may call it ${times(amount)}.`);
  return texts;
}

function ofUse(id: string, was: FunctionPolicy, is: FunctionPolicy): string[] {
  if (was.uses === is.uses) return [];
  return [`${id} now does something else: it ${FUNCTION_DOES[is.uses]} (${is.uses} instead of ${was.uses}).`];
}

function ofModel(id: string, was: FunctionPolicy, is: FunctionPolicy, party: string): string[] {
  const texts: string[] = [];
  if (was.uses === 'counter' || is.uses === 'counter') {
    // That it computes with a model, or without one, was said with what it does.
    if (is.uses === 'counter') return modelOwner(was) === party ? [notUsed(party)] : [];
    return is.model.from === party ? contributes(is, party) : [];
  }
  if (was.model.from !== is.model.from) {
    texts.push(`The model of ${id} comes from ${is.model.from} instead of ${was.model.from}.`);
    if (was.model.from === party) texts.push(notUsed(party));
    if (is.model.from === party) texts.push(...contributes(is, party));
  } else if (is.model.from === party) {
    texts.push(
      `${party} contributes the model of ${id} again: what was sealed to the old policy does not open under the new one.`,
    );
  }
  if (was.model.sha256 !== is.model.sha256) {
    const now =
      is.model.sha256 === undefined
        ? `The model of ${id} is no longer pinned: ${is.model.from} may replace it.`
        : `The model of ${id} must have SHA-256 ${is.model.sha256}.`;
    texts.push(now);
  }
  return texts;
}

const notUsed = (party: string): string => `${party}'s weights are not used, and cannot be opened, by the new image.`;

function contributes({ calls }: FunctionPolicy, party: string): string[] {
  const callers = Object.entries(calls).filter(([, amount]) => amount > 0);
  const words = callers.map(([caller, amount]) => `${caller} ${times(amount)}`);
  return [`${party} contributes its model; it may be called by ${enumerate(words)}.`];
}

function ofCalls(id: string, was: FunctionPolicy, is: FunctionPolicy, party: string): string[] {
  const texts: string[] = [];
  for (const caller of new Set([...Object.keys(was.calls), ...Object.keys(is.calls)])) {
    const [old, now] = [was.calls[caller] ?? 0, is.calls[caller] ?? 0];
    if (old === now) continue;
    const change = callsInWords(id, caller, old, now);
    if (caller === party) texts.push(`${change}.`);
    else if (modelOwner(is) === party && modelOwner(was) === party) {
      const more = now > old ? 'more' : 'fewer';
      const answers = count(Math.abs(now - old), `${more} answer`);
      texts.push(`${change}: ${answers} computed with ${party}'s weights.`);
    }
  }
  return texts;
}

function callsInWords(id: string, caller: string, old: number, now: number): string {
  if (now === 0) return `${caller} may no longer call ${id} (${times(old)} before)`;
  if (old === 0) return `${caller} may now call ${id} ${times(now)} (not at all before)`;
  return `${caller} may call ${id} ${times(now)} instead of ${times(old)}`;
}

function ofOutput(id: string, was: FunctionPolicy, is: FunctionPolicy, party: string): string[] {
  const texts: string[] = [];
  if (was.uses === 'counter' || is.uses === 'counter' || !concerns(is, party)) return texts;
  const owns = modelOwner(is) === party;
  const entries = { was: entriesOf(was), is: entriesOf(is) };
  // That it answers with one label and no numbers, or no longer, was said with what it does.
  if (entries.was !== undefined && entries.is !== undefined) {
    if (entries.was.topK !== entries.is.topK) {
      const now = count(entries.is.topK, 'entry', 'entries');
      texts.push(`An answer of ${id} has at most ${now} instead of ${entries.was.topK}.`);
    }
    if (entries.was.decimals !== entries.is.decimals) {
      texts.push(`Numbers in answers of ${id} have ${digits(entries.is.decimals)} instead of ${entries.was.decimals}.`);
    }
  }
  const [oldLabels, labels] = [was.output.labels ?? MOST_LABELS, is.output.labels ?? MOST_LABELS];
  if (oldLabels !== labels)
    texts.push(`The model of ${id} has at most ${count(labels, 'label')} instead of ${oldLabels}.`);
  const [fine, before] = [entries.is ?? ONE_LABEL, entries.was ?? ONE_LABEL];
  const finer = fine.topK > before.topK || fine.decimals > before.decimals || labels > oldLabels;
  if (finer && owns) texts.push(`Each answer tells more about ${party}'s weights than before.`);
  return texts;
}

const ONE_LABEL = { topK: 1, decimals: 0 };
const entriesOf = (one: ModelFunctionPolicy): PicturePolicy['output'] | undefined =>
  one.uses === 'decision-tree' ? undefined : one.output;

/** A tree of other bounds takes another time, and other trees. */
function ofTree(id: string, was: FunctionPolicy, is: FunctionPolicy, party: string): string[] {
  if (was.uses !== 'decision-tree' || is.uses !== 'decision-tree' || !concerns(is, party)) return [];
  const [old, now] = [treeInWords(was.tree), treeInWords(is.tree)];
  return old === now ? [] : [`Trees of ${id} are padded to ${now} instead of ${old}.`];
}

function ofBudget(id: string, was: number | undefined, is: number | undefined): string[] {
  if (was === is) return [];
  if (is === undefined)
    return [
      `What the answers of ${id} can carry is no longer bounded (${count(was ?? 0, 'bit')} for each party before).`,
    ];
  const before = was === undefined ? 'not bounded before' : `${was} before`;
  return [`The answers of ${id} carry at most ${count(is, 'bit')} to each party (${before}).`];
}

const concerns = (is: FunctionPolicy, party: string): boolean => quotaOf(is, party) > 0 || modelOwner(is) === party;

function ofRelease(id: string, was: FunctionPolicy, is: FunctionPolicy, party: string): string[] {
  const [old, now] = [was.release.afterMs, is.release.afterMs];
  if (old === now || !concerns(is, party)) return [];
  if (now === 0) {
    return [
      `Answers and refusals of ${id} leave when they are ready (${old} ms after the request before): the host learns how long computing took.`,
    ];
  }
  const before = old === 0 ? 'when they were ready before' : `${old} ms before`;
  return [`Answers and refusals of ${id} leave ${now} ms after the request (${before}).`];
}

function ofPadding(id: string, was: FunctionPolicy, is: FunctionPolicy, party: string): string[] {
  if (was.release.padTo === is.release.padTo || !concerns(is, party)) return [];
  return [
    `Answers and refusals of ${id} have ${formatSize(is.release.padTo)} instead of ${formatSize(was.release.padTo)}.`,
  ];
}

function ofInput(id: string, was: FunctionPolicy, is: FunctionPolicy, party: string): string[] {
  const texts: string[] = [];
  if (quotaOf(is, party) === 0) return texts;
  if (was.input.maxBytes !== is.input.maxBytes) {
    const now = formatSize(is.input.maxBytes);
    texts.push(`Inputs of ${id} have at most ${now} instead of ${formatSize(was.input.maxBytes)}.`);
  }
  if (was.input.buckets.join() !== is.input.buckets.join()) {
    const sizes = enumerate(is.input.buckets.map(formatSize));
    const more = is.input.buckets.length > was.input.buckets.length ? ': the host can tell more sizes apart' : '';
    texts.push(`Inputs of ${id} are padded to ${sizes}${more}.`);
  }
  return texts;
}
