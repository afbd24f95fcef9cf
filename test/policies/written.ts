/** A policy as its parties write it, and the command line that reads it. */
import { VERBS } from '../../orchestrator/cli/table.ts';
import { dispatch } from '../../orchestrator/cli/dispatch.ts';
import { PolicyFailure, type Fault } from '../../policies/fault.ts';
import { loadPolicy } from '../../policies/load.ts';

export const ALICE = 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001';
export const BOB = 'arn:aws:kms:eu-west-1:444455556666:key/b0b00000-0000-4000-8000-000000000002';

export const GOOD: string = `apiVersion: accord/v1
collaboration: skin
until: 2027-06-30
parties:
  alice:
    role: data-owner
    kmsKeyArn: ${ALICE}
  bob:
    role: model-owner
    kmsKeyArn: ${BOB}
functions:
  classify:
    uses: image-classification
    model: bob
    calls:
      alice: 3
      bob: 2
anchors: none
`;

/** The good policy with one part of its text replaced. */
export function written(part: string, other: string): string {
  if (!GOOD.includes(part)) throw new Error(`the policy does not say ${part}`);
  return GOOD.replace(part, other);
}

/** Every fault of a text; none for a good one. */
export function faultsOf(text: string): readonly Fault[] {
  try {
    loadPolicy(text, { file: 'policy.yaml' });
    return [];
  } catch (error) {
    if (error instanceof PolicyFailure) return error.faults;
    throw error;
  }
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line; `stdin` is what `-` reads. */
export async function accord(argv: readonly string[], stdin = ''): Promise<Ran> {
  let [out, err] = ['', ''];
  const io = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    env: {},
    cwd: import.meta.dirname,
    signal: new AbortController().signal,
    interactive: false,
    stdin: async () => new TextEncoder().encode(stdin),
  };
  const code = await dispatch(argv, io, { version: '0.0.0', verbs: VERBS });
  return { code, out, err };
}
