import { MODEL_FUNCTION_FACTS, standardPadding } from '../answer-size.ts';
import { MOST_LABELS } from '../answer-schema.ts';
import { BOUNDS } from '../bounds.ts';
import {
  FUNCTION_KINDS,
  type CounterPolicy,
  type FunctionPolicy,
  type ModelFunctionKind,
  type ModelFunctionPolicy,
  type Policy,
} from '../model.ts';
import { checkFunction } from './function-checks.ts';
import { record } from '../reading/collections.ts';
import { defaulted, object, optional, required } from '../reading/object.ts';
import { choice, size, whole } from '../reading/scalars.ts';
import { map, refineAll, scalarOr, type Shape } from '../reading/shape.ts';
import { variants } from '../reading/variants.ts';
import { name, partyName, sha256 } from './names.ts';

const LATER_FUNCTIONS = {
  'decision-tree': 'an oblivious decision tree',
  explore: 'statistics with a minimum group size and differential privacy',
  analyse: 'a private join with agreed SQL templates',
  train: 'a model trained on joined data',
};
const LATER_FUNCTION_KEYS = { auth: 'a further way to authenticate' };

const MODEL_KINDS = FUNCTION_KINDS.filter((kind): kind is ModelFunctionKind => kind !== 'counter');
const usesModel: Shape<ModelFunctionKind> = choice('What is computed.', 'a kind of function', MODEL_KINDS);
const usesCounter: Shape<'counter'> = choice('What is computed.', 'a kind of function', ['counter']);
const usesAny: Shape<FunctionPolicy['uses']> = choice(
  'What is computed.',
  'a kind of function',
  FUNCTION_KINDS,
  LATER_FUNCTIONS,
);

const modelOwner = partyName('The party that contributes the model.');
const pinnedModel: Shape<ModelFunctionPolicy['model']> = object<ModelFunctionPolicy['model']>(
  {
    from: required(modelOwner),
    sha256: optional(sha256('The SHA-256 that the contributed model package must have.')),
  },
  {
    description: 'The party that contributes the model, and what the model must be.',
    wanted: 'a party, or { from, sha256 }',
  },
);
const model: Shape<ModelFunctionPolicy['model']> = scalarOr(
  map(modelOwner, (from) => ({ from })),
  pinnedModel,
  'Who contributes the weights, which nobody else sees. A sha256 pins them.',
);

const calls: Shape<FunctionPolicy['calls']> = record<number>({
  description: 'How often each party may call. Who is absent may not call at all.',
  wanted: 'numbers of calls by party',
  key: partyName('A party.'),
  value: whole({ description: 'A number of calls.', wanted: 'a number of calls', min: 0, max: BOUNDS.calls }),
  min: 1,
  max: BOUNDS.parties,
});

const topK: Shape<number> = whole({
  description: 'At most so many labels or objects in an answer.',
  wanted: 'a number of entries',
  min: 1,
  max: BOUNDS.topK,
});
const decimals: Shape<number> = whole({
  description: 'Digits after the point of every number in an answer: the fewer, the less an answer tells.',
  wanted: 'a number of digits',
  min: 0,
  max: BOUNDS.decimals,
});
const labels: Shape<number> = whole({
  description: 'The model may have at most so many labels: the fewer, the less an answer tells. Default: 1000.',
  wanted: 'a number of labels',
  min: 1,
  max: MOST_LABELS,
});
const answerBits: Shape<number> = whole({
  description: 'The answers to all calls of one party may carry at most so many bits.',
  wanted: 'a number of bits',
  min: 1,
  max: BOUNDS.answerBits,
});
const MAX_BYTES = {
  description: "Largest input. Narrows the function's own limit, never widens it.",
  wanted: 'a size, like 4MiB',
  min: 1,
  max: BOUNDS.inputBytes,
};
const PAD_TO = {
  description: 'Every answer and every refusal is padded to exactly so many bytes.',
  wanted: 'a size, like 1KiB',
  min: BOUNDS.padToLeast,
  max: BOUNDS.padToMost,
};
const INPUT = { description: 'What may be put in.', wanted: '{ maxBytes }' };
const OUTPUT = { description: 'What may come out.', wanted: '{ topK, decimals, labels }' };
const RELEASE = { description: 'How answers leave.', wanted: '{ padTo }' };
const FUNCTION = { description: 'One function.', wanted: 'a function, like { uses, model, calls, … }' };

interface WrittenTerms {
  readonly calls: FunctionPolicy['calls'];
  readonly input: { readonly maxBytes: number };
  readonly release: { readonly padTo?: number };
  readonly answerBits?: number;
}

interface WrittenModelFunction extends WrittenTerms {
  readonly uses: ModelFunctionKind;
  readonly model: ModelFunctionPolicy['model'];
  readonly output: { readonly topK?: number; readonly decimals?: number; readonly labels?: number };
}

interface WrittenCounter extends WrittenTerms {
  readonly uses: 'counter';
}

const STANDARD_INPUT_BYTES = 4 * 1024 * 1024;
/** What is put into a counter is not read. */
const COUNTER_INPUT_BYTES = 1024;

const writtenInput = (standard: number): ReturnType<typeof defaulted<WrittenTerms['input']>> =>
  defaulted(object<WrittenTerms['input']>({ maxBytes: defaulted(size(MAX_BYTES), standard) }, INPUT), {
    maxBytes: standard,
  });
const writtenRelease = defaulted(
  object<WrittenTerms['release']>(
    { padTo: optional(size(PAD_TO)) },
    { ...RELEASE, unsupported: { afterMs: 'answers at a fixed time after the request' } },
  ),
  {},
);
const WRITTEN_FUNCTION = { ...FUNCTION, unsupported: LATER_FUNCTION_KEYS };

const writtenModelFunction: Shape<WrittenModelFunction> = object<WrittenModelFunction>(
  {
    uses: required(usesModel),
    model: required(model),
    calls: required(calls),
    input: writtenInput(STANDARD_INPUT_BYTES),
    output: defaulted(
      object<WrittenModelFunction['output']>(
        { topK: optional(topK), decimals: optional(decimals), labels: optional(labels) },
        OUTPUT,
      ),
      {},
    ),
    release: writtenRelease,
    answerBits: optional(answerBits),
  },
  WRITTEN_FUNCTION,
);

const writtenCounter: Shape<WrittenCounter> = object<WrittenCounter>(
  {
    uses: required(usesCounter),
    calls: required(calls),
    input: writtenInput(COUNTER_INPUT_BYTES),
    release: writtenRelease,
    answerBits: optional(answerBits),
  },
  {
    ...WRITTEN_FUNCTION,
    foreign: { model: 'a counter computes without one', output: 'the answers of a counter have one form' },
  },
);

function withStandards(written: WrittenModelFunction): ModelFunctionPolicy {
  const facts = MODEL_FUNCTION_FACTS[written.uses];
  const output = {
    ...written.output,
    topK: written.output.topK ?? facts.topK.standard,
    decimals: written.output.decimals ?? facts.decimals,
  };
  const padTo = written.release.padTo ?? standardPadding({ uses: written.uses, output });
  return { ...written, output, release: { padTo } };
}

function withCounterStandards(written: WrittenCounter): CounterPolicy {
  return { ...written, release: { padTo: written.release.padTo ?? standardPadding(written) } };
}

const canonicalInput = required(object<FunctionPolicy['input']>({ maxBytes: required(whole(MAX_BYTES)) }, INPUT));
const canonicalRelease = required(object<FunctionPolicy['release']>({ padTo: required(whole(PAD_TO)) }, RELEASE));

const canonicalModelFunction: Shape<ModelFunctionPolicy> = object<ModelFunctionPolicy>(
  {
    uses: required(usesModel),
    model: required(pinnedModel),
    calls: required(calls),
    input: canonicalInput,
    output: required(
      object<ModelFunctionPolicy['output']>(
        { topK: required(topK), decimals: required(decimals), labels: optional(labels) },
        OUTPUT,
      ),
    ),
    release: canonicalRelease,
    answerBits: optional(answerBits),
  },
  FUNCTION,
);

const canonicalCounter: Shape<CounterPolicy> = object<CounterPolicy>(
  {
    uses: required(usesCounter),
    calls: required(calls),
    input: canonicalInput,
    release: canonicalRelease,
    answerBits: optional(answerBits),
  },
  FUNCTION,
);

const functionOf = (ofModel: Shape<ModelFunctionPolicy>, counter: Shape<CounterPolicy>): Shape<FunctionPolicy> =>
  variants<FunctionPolicy>({
    tag: 'uses',
    tagShape: usesAny,
    shapes: [ofModel, counter],
    choose: (uses) => (uses === 'counter' ? counter : ofModel),
    description: 'One function.',
  });

const functionsOf = (one: Shape<FunctionPolicy>): Shape<Policy['functions']> =>
  record<FunctionPolicy>({
    description: 'What may be computed, by name. Nothing else can be.',
    wanted: 'functions by name',
    key: name("A function's name.", "a function's name"),
    value: one,
    min: 1,
    max: BOUNDS.functions,
  });

/** As the parties write them, with the standards filled in. */
export const functions: Shape<Policy['functions']> = functionsOf(
  refineAll(
    functionOf(map(writtenModelFunction, withStandards), map(writtenCounter, withCounterStandards)),
    checkFunction,
  ),
);

/** As the image carries them. */
export const canonicalFunctions: Shape<Policy['functions']> = functionsOf(
  refineAll(functionOf(canonicalModelFunction, canonicalCounter), checkFunction),
);
