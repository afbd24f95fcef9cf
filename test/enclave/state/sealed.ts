/** Gates whose state is sealed: what several of them share, so that one is another's restart or copy. */
import { randomBytes } from 'node:crypto';
import type { Anchor } from '../../../enclave/claims/anchor.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { anchorContext } from '../../../enclave/protocol/context.ts';
import { sealEnvelope } from '../../../enclave/protocol/envelope.ts';
import type { HostCredentials } from '../../../enclave/vsock/host.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import type { Policy } from '../../../policies/model.ts';
import type { GateOptions, TestGate } from '../harness.ts';
import { KEY_ARNS, POLICY, START, startGate } from '../harness.ts';
import { CREDENTIALS } from '../peer.ts';
import type { HostStorage } from '../scripted-host.ts';
import { createHostStorage } from '../scripted-host.ts';
import type { ScriptedKms } from '../scripted-kms.ts';
import { createScriptedKms } from '../scripted-kms.ts';

export type PartyName = keyof typeof KEY_ARNS;

export const bucketOf = (
  owner: string,
): Policy['anchors'] & object extends { stores: readonly (infer S)[] } ? S : never => ({
  owner,
  s3: { bucket: `${owner}-anchor`, prefix: 'accord/', region: 'eu-west-1' },
});

/** Alice and Bob, both needed, both with a bucket. */
export const SEALED: Policy = {
  ...POLICY,
  functions: {
    ...POLICY.functions,
    count: {
      uses: 'counter',
      calls: { alice: 3, bob: 2 },
      input: { maxBytes: 64, buckets: [64] },
      release: { afterMs: 0, padTo: 512 },
    },
  },
  anchors: { stores: [bucketOf('alice'), bucketOf('bob')], quorum: 2 },
  state: { seal: 'layered', order: ['alice', 'bob'] },
};

/** Any two of three, each with a bucket. */
export const THRESHOLD: Policy = {
  ...SEALED,
  parties: { ...SEALED.parties, charlie: { role: 'data-owner', kmsKeyArn: KEY_ARNS.charlie } },
  anchors: { stores: ['alice', 'bob', 'charlie'].map(bucketOf), quorum: 2 },
  state: { seal: { threshold: 2 }, order: ['alice', 'bob', 'charlie'] },
};

export const ROLE: HostCredentials = { ...CREDENTIALS, accessKeyId: 'AKIDROLE', expiresAt: START + 86_400_000 };

export interface Surroundings {
  readonly policy: Policy;
  readonly kms: ScriptedKms;
  readonly storage: HostStorage;
  readonly anchors: Map<string, Anchor>;
  /** The next gate in these surroundings: a restart, or a copy beside those that run. */
  readonly start: (options?: GateOptions) => Promise<TestGate>;
  /** Stops every gate that was started here. */
  readonly stop: () => Promise<void>;
}

/** KMS, the host's storage with every owner's credential in it, and the anchors. */
export async function surroundings(policy: Policy = SEALED): Promise<Surroundings> {
  const [kms, storage, anchors] = [createScriptedKms(), createHostStorage(), new Map<string, Anchor>()];
  const digest = await policyDigest(canonicalPolicyText(await toCanonicalPolicy(policy)));
  for (const { owner } of policy.anchors === 'none' ? [] : policy.anchors.stores) {
    const { kmsKeyArn: keyArn = '' } = policy.parties[owner] ?? {};
    const context = anchorContext({ policyDigest: digest, party: owner });
    storage.blobs.set(`anchor.${owner}`, await sealCredential(kms, keyArn, context));
  }
  const started: TestGate[] = [];
  return {
    policy,
    kms,
    storage,
    anchors,
    async start(options) {
      const gate = await startGate({ policy, kms, storage, anchors, ...options });
      started.push(gate);
      return gate;
    },
    async stop() {
      for (const gate of started.splice(0)) await gate.stop();
    },
  };
}

export async function sealCredential(
  kms: ScriptedKms,
  keyArn: string,
  context: Readonly<Record<string, string>>,
  credential: object = { accessKeyId: 'AKIDANCHOR', secretAccessKey: 'secret' },
): Promise<Uint8Array> {
  const dataKey = randomBytes(32);
  const header = { keyArn, dataKey: kms.encrypt(keyArn, dataKey, context), context, noncePrefix: randomBytes(7) };
  const parts: Uint8Array[] = [];
  const plaintext = [new TextEncoder().encode(JSON.stringify(credential))];
  for await (const part of sealEnvelope(header, dataKey, plaintext)) parts.push(part);
  return concat(...parts);
}
