/** Policies to start from: small ones of every kind, in YAML and JSON. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ALICE = 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001';
const BOB = 'arn:aws:kms:eu-west-1:444455556666:key/b0b00000-0000-4000-8000-000000000002';

const base = {
  apiVersion: 'accord/v1',
  collaboration: 'screening',
  until: '2027-06-30',
  parties: {
    alice: { role: 'data-owner', kmsKeyArn: ALICE },
    bob: { role: 'model-owner', kmsKeyArn: BOB },
  },
  enclave: { memoryMiB: 1024, cpus: 2 },
};
const classify = {
  uses: 'image-classification',
  model: 'bob',
  calls: { alice: 3 },
  input: { maxBytes: 65_536 },
  output: { topK: 1, decimals: 2 },
  release: { padTo: 1024 },
};

const durable = `
apiVersion: accord/v1
collaboration: counting # for good
until: 2027-06-30
parties:
  alice: { role: data-owner, kmsKeyArn: "${ALICE}" }
  bob: { role: model-owner, kmsKeyArn: "${BOB}" }
functions:
  count:
    uses: counter
    calls: { alice: 3, bob: 2 }
state: { seal: layered, order: [alice, bob] }
anchors:
  alice: { s3: "s3://alice-accord-anchor" }
  bob: { s3: "s3://bob-accord-anchor" }
  quorum: 2
enclave: { memoryMiB: 512, cpus: 2 }
`;

const examples = ['skin-lesion-screening', 'object-detection', 'triage'].map((name) =>
  readFileSync(join(import.meta.dirname, '..', '..', '..', 'policies', 'examples', name, 'policy.yaml'), 'utf8'),
);

/** Each of them is taken. */
export const POLICIES: readonly string[] = [
  JSON.stringify({ ...base, functions: { classify }, anchors: 'none', state: 'none' }),
  durable,
  ...examples,
];
