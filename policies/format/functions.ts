import { FUNCTION_FACTS, largestAnswer, standardPadding } from '../answer-size.ts';
import { BOUNDS } from '../bounds.ts';
import { FUNCTION_KINDS, type FunctionKind, type FunctionPolicy, type Policy } from '../model.ts';
import { record } from '../reading/collections.ts';
import { defaulted, object, optional, required } from '../reading/object.ts';
import { choice, size, whole } from '../reading/scalars.ts';
import { map, refine, scalarOr, type Objection, type Shape } from '../reading/shape.ts';
import { name, partyName, sha256 } from './names.ts';

const LATER_FUNCTIONS = {
  'decision-tree': 'an oblivious decision tree',
  explore: 'statistics with a minimum group size and differential privacy',
  analyse: 'a private join with agreed SQL templates',
  train: 'a model trained on joined data',
};
const LATER_FUNCTION_KEYS = {
  answerBits: 'a bound on the bits that answers can carry',
  auth: 'a further way to authenticate',
};

const uses: Shape<FunctionKind> = choice('What is computed.', 'a kind of function', FUNCTION_KINDS, LATER_FUNCTIONS);

const modelOwner = partyName('The party that contributes the model.');
const pinnedModel: Shape<FunctionPolicy['model']> = object<FunctionPolicy['model']>(
  {
    from: required(modelOwner),
    sha256: optional(sha256('The SHA-256 that the contributed model package must have.')),
  },
  {
    description: 'The party that contributes the model, and what the model must be.',
    wanted: 'a party, or { from, sha256 }',
  },
);
const model: Shape<FunctionPolicy['model']> = scalarOr(
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
const OUTPUT = { description: 'What may come out.', wanted: '{ topK, decimals }' };
const RELEASE = { description: 'How answers leave.', wanted: '{ padTo }' };
const FUNCTION = { description: 'One function.', wanted: 'a function, like { uses, model, calls, … }' };

/** What holds between the values of one function, in both forms. */
function checkFunction({ uses: kind, output, release }: FunctionPolicy): (Objection & { at: string[] }) | undefined {
  const { max } = FUNCTION_FACTS[kind].topK;
  if (output.topK > max) {
    const message = `${output.topK} is more than ${kind} gives, which is ${max}`;
    return { at: ['output', 'topK'], code: 'policy/out-of-range', message, hint: `write at most ${max}` };
  }
  const needed = largestAnswer(kind, output);
  if (release.padTo >= needed) return undefined;
  return {
    at: ['release', 'padTo'],
    code: 'policy/pad-too-small',
    message: `answers can take ${needed} bytes (topK ${output.topK}, decimals ${output.decimals}), padding is to ${release.padTo}`,
    hint: `write ${standardPadding(kind, output) / 1024}KiB, or fewer entries or decimals`,
  };
}

interface WrittenFunction {
  readonly uses: FunctionKind;
  readonly model: FunctionPolicy['model'];
  readonly calls: FunctionPolicy['calls'];
  readonly input: { readonly maxBytes: number };
  readonly output: { readonly topK?: number; readonly decimals?: number };
  readonly release: { readonly padTo?: number };
}

const STANDARD_INPUT_BYTES = 4 * 1024 * 1024;

const writtenFunction: Shape<WrittenFunction> = object<WrittenFunction>(
  {
    uses: required(uses),
    model: required(model),
    calls: required(calls),
    input: defaulted(
      object<WrittenFunction['input']>({ maxBytes: defaulted(size(MAX_BYTES), STANDARD_INPUT_BYTES) }, INPUT),
      { maxBytes: STANDARD_INPUT_BYTES },
    ),
    output: defaulted(
      object<WrittenFunction['output']>({ topK: optional(topK), decimals: optional(decimals) }, OUTPUT),
      {},
    ),
    release: defaulted(
      object<WrittenFunction['release']>(
        { padTo: optional(size(PAD_TO)) },
        { ...RELEASE, unsupported: { afterMs: 'answers at a fixed time after the request' } },
      ),
      {},
    ),
  },
  { ...FUNCTION, unsupported: LATER_FUNCTION_KEYS },
);

function withStandards(written: WrittenFunction): FunctionPolicy {
  const facts = FUNCTION_FACTS[written.uses];
  const output = {
    topK: written.output.topK ?? facts.topK.standard,
    decimals: written.output.decimals ?? facts.decimals,
  };
  const release = { padTo: written.release.padTo ?? standardPadding(written.uses, output) };
  return { ...written, output, release };
}

const canonicalFunction: Shape<FunctionPolicy> = object<FunctionPolicy>(
  {
    uses: required(uses),
    model: required(pinnedModel),
    calls: required(calls),
    input: required(object<FunctionPolicy['input']>({ maxBytes: required(whole(MAX_BYTES)) }, INPUT)),
    output: required(object<FunctionPolicy['output']>({ topK: required(topK), decimals: required(decimals) }, OUTPUT)),
    release: required(object<FunctionPolicy['release']>({ padTo: required(whole(PAD_TO)) }, RELEASE)),
  },
  FUNCTION,
);

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
  refine(map(writtenFunction, withStandards), checkFunction),
);

/** As the image carries them. */
export const canonicalFunctions: Shape<Policy['functions']> = functionsOf(refine(canonicalFunction, checkFunction));
