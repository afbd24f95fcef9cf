/** The policy that a plan's parties agreed on, and what it is called by. Many seeds agree on the same. */
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { FunctionPolicy, Policy, PolicyDigest } from '../../../policies/model.ts';
import type { Plan } from './plan.ts';
import { COUNTER, MODEL } from './plan.ts';

export interface Agreed {
  readonly policy: Policy;
  readonly text: string;
  readonly digest: PolicyDigest;
}

const known = new Map<string, Promise<Agreed>>();

export function agreementOf(plan: Plan): Promise<Agreed> {
  const { parties, quotas, anchors, quorum, seal, modelOwner } = plan;
  const name = JSON.stringify([parties, quotas, anchors, quorum, seal, modelOwner]);
  const found = known.get(name) ?? agree(plan);
  if (known.size < 5_000) known.set(name, found);
  return found;
}

export const keyArnOf = (party: string): string =>
  `arn:aws:kms:eu-west-1:111122223333:key/${Buffer.from(party.padEnd(16, '-'))
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')}`;

export const bucketOf = (party: string): string => `anchor-of-${party}`;

async function agree(plan: Plan): Promise<Agreed> {
  const { parties, quotas, anchors, quorum, seal, modelOwner } = plan;
  const terms = (name: string) => ({
    calls: quotas[name] ?? {},
    input: { maxBytes: 4096, buckets: [4096] },
    release: { afterMs: 0, padTo: 1024 },
  });
  const functions: Record<string, FunctionPolicy> = {};
  if (modelOwner !== undefined)
    functions[MODEL] = {
      uses: 'image-classification',
      model: { from: modelOwner },
      output: { topK: 1, decimals: 2 },
      ...terms(MODEL),
    };
  if (quotas[COUNTER] !== undefined) functions[COUNTER] = { uses: 'counter', ...terms(COUNTER) };
  const policy: Policy = {
    apiVersion: 'accord/v1',
    collaboration: 'faults',
    until: '2027-06-30',
    parties: Object.fromEntries(parties.map((name) => [name, { role: 'data-owner', kmsKeyArn: keyArnOf(name) }])),
    functions,
    anchors: {
      stores: parties
        .slice(0, anchors)
        .map((owner) => ({ owner, s3: { bucket: bucketOf(owner), prefix: 'accord/', region: 'eu-west-1' } })),
      quorum,
    },
    state: { seal, order: parties },
    enclave: { memoryMiB: 512, cpus: 1 },
    trust: 'aws',
  };
  const text = canonicalPolicyText(await toCanonicalPolicy(policy));
  return { policy, text, digest: await policyDigest(text) };
}
