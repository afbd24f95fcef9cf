/**
 * What opening the state after a restart waits for: one round trip to KMS, however many parties there are. KMS is a scripted
 * one that takes as long as one in another Region; the anchors are in memory, so that nothing but KMS is waited for. Each
 * party's data key and its anchor's credential are asked for; the reference is one attested Decrypt of that same KMS.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNsm } from '../../enclave/attest/device.ts';
import { createIssuer } from '../../enclave/attest/issue.ts';
import type { Anchor } from '../../enclave/claims/anchor.ts';
import { createMemoryAnchor } from '../../enclave/claims/memory-anchor.ts';
import { sha256 } from '../../enclave/crypto/digest.ts';
import { concat } from '../../enclave/encoding/bytes.ts';
import { toHex } from '../../enclave/encoding/hex.ts';
import type { KmsDecrypted } from '../../enclave/kms/client.ts';
import type { AttestedKms } from '../../enclave/kms/attested.ts';
import { attestedKms } from '../../enclave/kms/attested.ts';
import type { RecipientKey } from '../../enclave/kms/recipient.ts';
import { anchorContext, stateContext } from '../../enclave/protocol/context.ts';
import { openSealed } from '../../enclave/state/sealed-opening.ts';
import { isSealed } from '../../enclave/state/sealed-policy.ts';
import { useState } from '../../enclave/state/use.ts';
import type { Host, StoredBytes } from '../../enclave/vsock/host.ts';
import { openTransport } from '../../enclave/transport.ts';
import { createAttestationIssuer } from '../../orchestrator/local/attestation-issuer.ts';
import { startLocalNsm } from '../../orchestrator/local/nsm.ts';
import { canonicalPolicyText, parseCanonicalPolicy, toCanonicalPolicy } from '../../policies/canonical.ts';
import { policyDigest } from '../../policies/digest.ts';
import type { Policy } from '../../policies/model.ts';
import { realTimers } from '../enclave/real-timers.ts';
import { createScriptedKms } from '../enclave/scripted-kms.ts';
import { sealCredential } from '../enclave/state/sealed.ts';
import { POLICY } from '../enclave/harness.ts';
import type { Emit } from './figure.ts';
import { interleaved, rounded } from './figure.ts';

const PARTIES = ['alice', 'bob', 'charlie', 'dora', 'erin'];
const KMS_MS = 60;
const ROUNDS = 15;
const MOST = 1.5;
const CREDENTIALS = { accessKeyId: 'AKIDROLE', secretAccessKey: 'secret', sessionToken: 'token' };

export async function benchOpening(emit: Emit): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  const pcrs = new Map([0, 1, 2].map((i) => [i, new Uint8Array(48).fill(0xaa + i)]));
  const root = await createAttestationIssuer(join(folder, 'root'), { now: Date.now });
  const nsm = await startLocalNsm({
    socketPath: join(folder, 'nsm.sock'),
    pcrs,
    moduleId: 'i-bench-enc',
    issuer: root,
  });
  const transport = await openTransport('local\n', folder, realTimers);
  try {
    for (const parties of [1, 3, 5]) {
      const text = canonicalPolicyText(await toCanonicalPolicy(policyOf(PARTIES.slice(0, parties))));
      const issuer = createIssuer(createNsm(transport.nsm), await policyDigest(text), () => performance.now());
      const { open, decryptOnce } = await prepare(text, PARTIES.slice(0, parties), (spki) => issuer.forKms(spki));
      const compared = await interleaved({ rounds: ROUNDS }, open, decryptOnce);
      emit({
        figure: `opening: state of ${parties} ${parties === 1 ? 'party' : 'parties'} after a restart`,
        value: rounded(compared.value, 1),
        unit: 'ms',
        reference: rounded(compared.reference, 1),
        ratio: rounded(compared.ratio),
        target: `<= ${MOST} x one attested Decrypt`,
        met: compared.ratio <= MOST,
        note: `${2 * parties} Decrypts at a KMS that takes ${KMS_MS} ms for each; anchors in memory; quickest ${rounded(compared.quickest.value, 1)} and ${rounded(compared.quickest.reference, 1)} ms`,
      });
    }
  } finally {
    transport.nsm.close();
    await nsm.close();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Prepared {
  readonly open: () => Promise<void>;
  readonly decryptOnce: () => Promise<void>;
}

async function prepare(
  text: string,
  parties: readonly string[],
  document: (spki: Uint8Array) => Promise<Uint8Array>,
): Promise<Prepared> {
  const policy = parseCanonicalPolicy(text);
  if (!isSealed(policy)) throw new Error('a policy with state');
  const digest = await policyDigest(text);
  const kms = createScriptedKms();
  const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, KMS_MS));
  // Its own work is not the enclave's: each answer is made once, before it is measured.
  const replies = new Map<string, Promise<KmsDecrypted>>();
  kms.script = async ({ ciphertext }, reply) => {
    const name = toHex(ciphertext);
    const answer = replies.get(name) ?? reply();
    replies.set(name, answer);
    await wait();
    return answer;
  };
  const attested: AttestedKms = attestedKms(kms, makeRecipientKey(), document);
  const anchors = new Map<string, Anchor>(parties.map((party) => [party, createMemoryAnchor(party)]));
  const host = await memoryHost(parties, async (party) =>
    sealCredential(kms, arnOf(party), anchorContext({ policyDigest: digest, party })),
  );
  const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));
  const open = async (): Promise<void> => {
    const opening = openSealed({
      policy,
      policyDigest: digest,
      keyring: new Map(parties.map((party) => [arnOf(party), party])),
      kms: attested,
      host,
      openAnchor: ({ store }) => anchors.get(store.owner) ?? createMemoryAnchor(store.owner),
      use: useState({ policy, policyDigest: digest, host, random, timers: realTimers }),
      restore: () => Promise.resolve(),
      now: () => Promise.resolve(Date.now()),
      timers: realTimers,
      random,
      report: () => {},
      fault: fail,
      withdrawn: fail,
    });
    await opening.demand(new AbortController().signal);
    opening.close();
  };
  await open(); // at first: made, and not measured
  const context = stateContext({ policyDigest: digest, party: 'alice' });
  const ciphertext = kms.encrypt(arnOf('alice'), random(32), context);
  const request = { keyArn: arnOf('alice'), ciphertext, context, credentials: CREDENTIALS };
  return {
    open,
    decryptOnce: async () => void (await attested.decrypt(request, new AbortController().signal)),
  };
}

function fail(error: unknown): never {
  throw error;
}

async function memoryHost(
  parties: readonly string[],
  credential: (party: string) => Promise<Uint8Array>,
): Promise<Host> {
  const records = new Map<string, Uint8Array>();
  const blobs = new Map<string, Uint8Array>();
  for (const party of parties) blobs.set(`anchor.${party}`, await credential(party));
  let keys: Uint8Array | undefined;
  const unasked = (): never => {
    throw new Error('not asked for here');
  };
  const keep = ({ sha256: name, parts }: StoredBytes): Promise<void> => {
    records.set(toHex(name), concat(...parts));
    return Promise.resolve();
  };
  return {
    dial: unasked,
    launch: unasked,
    policy: unasked,
    credentials: () => Promise.resolve({ ...CREDENTIALS, expiresAt: Date.now() + 3_600_000 }),
    contribution(name) {
      const blob = blobs.get(name);
      if (blob === undefined) return Promise.resolve(undefined);
      return Promise.resolve({
        bytes: blob.length,
        async *content() {
          yield blob;
        },
        close: () => {},
      });
    },
    contributionTaken: () => Promise.resolve(),
    record: (name) => Promise.resolve(records.get(toHex(name))),
    putRecord: keep,
    keys: () => Promise.resolve(keys),
    putKeys(set) {
      keys = concat(...set.parts);
      return keep(set);
    },
  };
}

function arnOf(party: string): string {
  const digit = String(PARTIES.indexOf(party) + 1);
  return `arn:aws:kms:eu-west-1:${digit.repeat(12)}:key/${digit.repeat(8)}-0000-4000-8000-000000000001`;
}

function policyOf(parties: readonly string[]): Policy {
  const alice = { alice: 3 };
  return {
    ...POLICY,
    collaboration: 'bench',
    parties: Object.fromEntries(parties.map((party) => [party, { role: 'data-owner', kmsKeyArn: arnOf(party) }])),
    functions: {
      count: {
        uses: 'counter',
        calls: alice,
        input: { maxBytes: 64, buckets: [64] },
        release: { afterMs: 0, padTo: 512 },
      },
    },
    anchors: {
      stores: parties.map((owner) => ({
        owner,
        s3: { bucket: `${owner}-anchor`, prefix: 'accord/', region: 'eu-west-1' },
      })),
      quorum: parties.length,
    },
    state: { seal: 'layered', order: parties },
  };
}

/** As `main.ts` makes it. */
async function makeRecipientKey(): Promise<RecipientKey> {
  const algorithm = { name: 'RSA-OAEP', hash: 'SHA-256', modulusLength: 3072, publicExponent: Uint8Array.of(1, 0, 1) };
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithm, false, ['decrypt', 'encrypt']);
  const spki = new Uint8Array(await crypto.subtle.exportKey('spki', publicKey));
  return { privateKey, spki, id: await sha256(spki) };
}
