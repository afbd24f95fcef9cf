/** What a failure of S3 means for the anchor that stands there, and what whoever reads it should do. */
import { Failure } from '../../policies/failure.ts';
import type { AnchorCode } from './anchor.ts';
import type { S3Code } from './s3-failure.ts';

interface Words {
  readonly code: AnchorCode;
  readonly message: string;
  readonly hint: string;
}

const WORDS: Readonly<Record<S3Code, Words>> = {
  's3/unavailable': {
    code: 'anchor/unavailable',
    message: 'S3 cannot be reached, or gives no final answer',
    hint: 'try again; is S3 in the relay\'s reach?', // prettier-ignore
  },
  's3/refused': {
    code: 'anchor/refused',
    message: 'S3 refuses the credential that its owner contributed',
    hint: 'its owner looks with `accord anchor lint` and repairs with `accord anchor make`',
  },
  's3/credential': {
    code: 'anchor/refused',
    message: 'S3 does not know the access key that its owner contributed',
    hint: 'its owner makes a new one: `accord anchor contribute`',
  },
  's3/wrong-owner': {
    code: 'anchor/refused',
    message: "the bucket does not belong to the account of its owner's key",
    hint: 'the policy names the bucket of somebody else: its owner makes one of its own, under another name',
  },
  's3/wrong-region': {
    code: 'anchor/refused',
    message: 'the bucket is in another Region than the policy says',
    hint: 'write `region` beside `s3` in the policy, or make the bucket in that Region',
  },
  's3/clock-skew': {
    code: 'anchor/refused',
    message: "S3 finds the time of the request wrong: the enclave's clock and that of S3 differ",
    hint: 'restart the enclave; where it happens again, the clock of its machine or of the store is wrong',
  },
  's3/no-bucket': {
    code: 'anchor/misconfigured',
    message: 'the bucket does not exist',
    hint: 'its owner makes it: `accord anchor make`',
  },
  's3/no-lock': {
    code: 'anchor/misconfigured',
    message: 'the bucket has no Object Lock',
    hint: 'Object Lock is set when a bucket is made: its owner makes one with `accord anchor make`',
  },
  's3/oversize': {
    code: 'anchor/tampered',
    message: 'an object stands where an entry should',
    hint: 'somebody wrote into the bucket who should not; its owner finds out with `accord anchor lint`',
  },
  's3/too-many-versions': {
    code: 'anchor/tampered',
    message: 'an entry has more versions than anybody can look through',
    hint: 'somebody wrote into the bucket who should not; its owner finds out with `accord anchor lint`',
  },
};

/** `where`: the anchor's place, and what S3 called it. Passes on what is an anchor's failure already. */
export function anchorFailure(owner: string, place: string, error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const words = new Map<string, Words>(Object.entries(WORDS)).get(error.code);
  if (words !== undefined) return failure(owner, words, [place, error.where], error);
  return error.code === 'deadline/passed' ? failure(owner, WORDS['s3/unavailable'], [place], error) : error;
}

function failure(
  owner: string,
  { code, message, hint }: Words,
  where: readonly (string | undefined)[],
  cause: unknown,
): Failure<AnchorCode> {
  const kind = code === 'anchor/unavailable' ? 'environment' : 'refused';
  return new Failure(kind, code, `${owner}'s anchor: ${message}`, {
    where: where.filter((part) => part !== undefined).join(': '),
    hint,
    cause,
  });
}
