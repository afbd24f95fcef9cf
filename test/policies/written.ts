/** A policy as its parties write it, and the command line that reads it. */
import { Readable } from 'node:stream';
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

/** The good policy with anchors in two buckets and sealed state: its last lines are 18 to 24. */
export const DURABLE: string = GOOD.replace(
  'anchors: none\n',
  `anchors:
  alice: { s3: "s3://alice-anchor" }
  bob: { s3: "s3://bob-anchor", region: eu-north-1 }
  quorum: 2
state:
  seal: layered
  order: [bob, alice]
`,
);

/** A third party, in place of the line `functions:`. */
export const WITH_CAROL: string = `  carol:
    role: coordinator
    kmsKeyArn: arn:aws:kms:eu-west-1:777788889999:key/ca201000-0000-4000-8000-000000000003
functions:`;

/** A local stand-in for AWS, as a policy names it. */
export const LOCAL_TRUST: string = `trust:
  attestationRoot: ${'a1'.repeat(32)}
  tlsRoots: [${'b2'.repeat(32)}]
  endpoints:
    kms: https://kms.{region}.accord.test
    sts: https://sts.{region}.accord.test
    s3: https://s3.{region}.accord.test
`;

/** The good policy with one part of its text replaced. */
export function written(part: string, other: string, policy: string = GOOD): string {
  if (!policy.includes(part)) throw new Error(`the policy does not say ${part}`);
  return policy.replace(part, other);
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
    stdin: () => Readable.from([new TextEncoder().encode(stdin)]),
  };
  const code = await dispatch(argv, io, { version: '0.0.0', verbs: VERBS });
  return { code, out, err };
}
