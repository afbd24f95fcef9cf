/** What a function of any kind agrees on: who calls, what goes in, how answers leave. */
import { bucketsObjection } from './function-checks.ts';
import { BOUNDS } from '../bounds.ts';
import { standardBuckets } from '../buckets.ts';
import type { FunctionTerms } from '../model.ts';
import { record, sequence } from '../reading/collections.ts';
import { defaulted, object, optional, required, type Defaulted, type Fields } from '../reading/object.ts';
import { size, whole } from '../reading/scalars.ts';
import { map, refine, report, type Shape } from '../reading/shape.ts';
import { partyName } from './names.ts';

export const FUNCTION = { description: 'One function.', wanted: 'a function, like { uses, model, calls, … }' } as const;
/** Why a function that is no tree has no bounds of one. */
export const NO_TREE = { tree: 'of a decision-tree alone' } as const;
/** Keys of the format that no function of this version has. */
export const LATER_KEYS = { auth: 'a further way to authenticate' } as const;

const calls: Shape<FunctionTerms['calls']> = record<number>({
  description: 'How often each party may call. Who is absent may not call at all.',
  wanted: 'numbers of calls by party',
  key: partyName('A party.'),
  value: whole({ description: 'A number of calls.', wanted: 'a number of calls', min: 0, max: BOUNDS.calls }),
  min: 1,
  max: BOUNDS.parties,
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
const BUCKET = { description: 'A size.', wanted: 'a size, like 256KiB', min: 1, max: BOUNDS.inputBytes };
const BUCKETS = {
  description:
    'Sizes that the host may tell apart: an input is padded to the smallest that holds it. Ascending, the last is ' +
    'maxBytes. Default: powers of two from 64 KiB, and maxBytes.',
  wanted: 'a list of sizes, like [256KiB, 4MiB]',
  min: 1,
  max: BOUNDS.buckets,
};
const INPUT = { description: 'What may be put in.', wanted: '{ maxBytes, buckets }' };

interface WrittenInput {
  readonly maxBytes?: number;
  readonly buckets?: readonly number[];
}

/** As written. With buckets alone, the last of them is the largest input. */
function writtenInput(standard: number): Defaulted<FunctionTerms['input']> {
  const written = object<WrittenInput>(
    { maxBytes: optional(size(MAX_BYTES)), buckets: optional(sequence({ ...BUCKETS, item: size(BUCKET) })) },
    INPUT,
  );
  const complete = ({ maxBytes, buckets }: WrittenInput): FunctionTerms['input'] => {
    const most = maxBytes ?? buckets?.at(-1) ?? standard;
    return { maxBytes: most, buckets: buckets ?? standardBuckets(most) };
  };
  return defaulted(refine(map(written, complete), bucketsObjection), complete({}));
}

const canonicalInput: Shape<FunctionTerms['input']> = refine(
  object<FunctionTerms['input']>(
    { maxBytes: required(whole(MAX_BYTES)), buckets: required(sequence({ ...BUCKETS, item: whole(BUCKET) })) },
    INPUT,
  ),
  bucketsObjection,
);

const PAD_TO = {
  description: 'Every answer and every refusal is padded to exactly so many bytes.',
  wanted: 'a size, like 1KiB',
  min: BOUNDS.padToLeast,
  max: BOUNDS.padToMost,
};
const RELEASE = { description: 'How answers leave.', wanted: '{ afterMs, padTo }' };
const AFTER_MS =
  'Every answer and every refusal leaves so many milliseconds after its request arrived. 0, the default: when it is ' +
  'ready, which shows the host how long computing took.';

const afterMsRange = whole({
  description: AFTER_MS,
  wanted: 'a number of milliseconds',
  min: 0,
  max: BOUNDS.afterMs.most,
});

const afterMs: Shape<number> = {
  schema: {
    description: AFTER_MS,
    anyOf: [{ const: 0 }, { type: 'integer', minimum: BOUNDS.afterMs.least, maximum: BOUNDS.afterMs.most }],
  },
  read(source, path, reading) {
    const value = afterMsRange.read(source, path, reading);
    if (value === undefined || value === 0 || value >= BOUNDS.afterMs.least) return value;
    return report(reading, source.at, path, {
      code: 'policy/out-of-range',
      message: `${value} ms leave no time to seal an answer in`,
      hint: `write ${BOUNDS.afterMs.least} to ${BOUNDS.afterMs.most}, or 0 for no release time`,
    });
  },
};

interface WrittenRelease {
  readonly afterMs: number;
  readonly padTo?: number;
}

const writtenRelease: Defaulted<WrittenRelease> = defaulted(
  object<WrittenRelease>({ afterMs: defaulted(afterMs, 0), padTo: optional(size(PAD_TO)) }, RELEASE),
  { afterMs: 0 },
);

/** A function before its standard padding is filled in. */
export type Written<T extends FunctionTerms> = Omit<T, 'release'> & { readonly release: WrittenRelease };

export const padded = (
  { afterMs: milliseconds, padTo }: WrittenRelease,
  standard: number,
): FunctionTerms['release'] => ({
  afterMs: milliseconds,
  padTo: padTo ?? standard,
});

const canonicalRelease: Shape<FunctionTerms['release']> = object<FunctionTerms['release']>(
  { afterMs: required(afterMs), padTo: required(whole(PAD_TO)) },
  RELEASE,
);

/** What stands in every function as the parties write it. `standardBytes`: the largest input where none is named. */
export const writtenTerms = (standardBytes: number): Fields<Written<FunctionTerms>> => ({
  calls: required(calls),
  input: writtenInput(standardBytes),
  release: writtenRelease,
  answerBits: optional(answerBits),
});

/** And as the image carries it. */
export const canonicalTerms: Fields<FunctionTerms> = {
  calls: required(calls),
  input: required(canonicalInput),
  release: required(canonicalRelease),
  answerBits: optional(answerBits),
};
