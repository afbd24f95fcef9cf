/** What judging an attestation document costs over the signatures in it. */
import { randomFillSync, webcrypto } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeUserData } from '../../enclave/protocol/user-data.ts';
import { createAttestationIssuer } from '../../orchestrator/local/nsm.ts';
import { createChainCache, localRoot, parseAttestation, verifyAttestation } from '../../parties/attestation/verify.ts';
import type { ChainCache, Expectation } from '../../parties/attestation/verify.ts';
import { toHex } from '../../enclave/encoding/hex.ts';
import { policyDigest } from '../../policies/digest.ts';
import { interleaved, rounded } from './figure.ts';
import type { Emit } from './figure.ts';

const ROUNDS = 150;
const LIMIT = 1.3;
const PCRS = 16;

interface Sample {
  readonly document: Uint8Array;
  readonly expectation: Expectation;
}

/** A document with 16 PCRs, key, nonce and user data, under a chain of five certificates; everything in it is expected. */
async function sample(folder: string): Promise<Sample> {
  const issuer = await createAttestationIssuer(folder);
  const digest = await policyDigest('{"a":"policy"}');
  const pcrs = new Map(Array.from({ length: PCRS }, (_, index) => [index, new Uint8Array(48).fill(index + 1)]));
  const nonce = randomFillSync(new Uint8Array(32));
  const hex = (index: number): string => toHex(pcrs.get(index) ?? new Uint8Array());
  const document = await issuer.sign({
    moduleId: 'i-0123456789abcdef0-enc0123456789abcdef',
    pcrs,
    publicKey: randomFillSync(new Uint8Array(32)),
    userData: encodeUserData(digest),
    nonce,
  });
  const expectation: Expectation = {
    roots: [localRoot(issuer.rootSha256)],
    at: new Date(),
    pcrs: { 0: hex(0), 1: hex(1), 2: hex(2) },
    nonce,
    policyDigest: digest,
    maxAgeMs: 3_600_000,
    allowDebug: false,
  };
  return { document, expectation };
}

const ES384 = { name: 'ECDSA', hash: 'SHA-384' } as const;

/** `count` bare verifications at once, as the verifier asks for them; keys are imported beforehand. */
async function bareVerifications(count: number, bytes: number): Promise<() => Promise<void>> {
  const { subtle } = webcrypto;
  const keys = await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-384' }, false, ['sign', 'verify']);
  const message = randomFillSync(new Uint8Array(bytes));
  const signature = await subtle.sign(ES384, keys.privateKey, message);
  const once = (): Promise<boolean> => subtle.verify(ES384, keys.publicKey, signature, message);
  return async () => {
    const verdicts = await Promise.all(Array.from({ length: count }, once));
    if (!verdicts.every(Boolean)) throw new Error('a good signature was not verified');
  };
}

export async function benchAttestation(emit: Emit): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'accord-bench-'));
  try {
    const { document, expectation } = await sample(folder);
    const judge = (chains?: ChainCache) => async (): Promise<void> =>
      void (await verifyAttestation(parseAttestation(document), expectation, chains === undefined ? {} : { chains }));
    const compare = async (name: string, work: () => Promise<void>, count: number): Promise<void> => {
      const reference = await bareVerifications(count, document.length);
      const found = await interleaved({ rounds: ROUNDS, warmUp: 20 }, work, reference);
      emit({
        figure: `attestation: ${name}`,
        value: rounded(found.value, 3),
        unit: 'ms',
        reference: rounded(found.reference, 3),
        ratio: rounded(found.ratio, 3),
        target: `<= ${LIMIT} x ${count === 1 ? 'one WebCrypto P-384 verification' : 'six WebCrypto P-384 verifications'}`,
        met: found.ratio <= LIMIT,
        note: `parsed, chain, signature and contents judged (${document.length} bytes); the reference asks for ${count === 1 ? 'its one' : 'all six at once'} with the keys at hand`,
      });
    };
    await compare('cold', judge(), 6);
    const chains = createChainCache();
    await compare('warm (the chain is known)', judge(chains), 1);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
