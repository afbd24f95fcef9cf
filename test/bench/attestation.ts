/** What judging an attestation document costs over the signatures in it. */
import { randomFillSync, webcrypto } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeUserData } from '../../enclave/protocol/user-data.ts';
import { createAttestationIssuer } from '../../orchestrator/local/attestation-issuer.ts';
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

interface Reference {
  readonly count: number;
  /** All asked for at once, as the verifier itself does, and so spread over the cores; or one after the other. */
  readonly atOnce: boolean;
  readonly name: string;
}

const SIX: Reference = { count: 6, atOnce: false, name: 'six WebCrypto P-384 verifications' };
const SIX_AT_ONCE: Reference = { ...SIX, atOnce: true, name: 'six WebCrypto P-384 verifications at once' };
const ONE: Reference = { count: 1, atOnce: false, name: 'one WebCrypto P-384 verification' };

/** Bare verifications of one signature; the key is imported beforehand. */
async function bareVerifications({ count, atOnce }: Reference, bytes: number): Promise<() => Promise<void>> {
  const { subtle } = webcrypto;
  const keys = await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-384' }, false, ['sign', 'verify']);
  const message = randomFillSync(new Uint8Array(bytes));
  const signature = await subtle.sign(ES384, keys.privateKey, message);
  const once = async (): Promise<void> => {
    if (!(await subtle.verify(ES384, keys.publicKey, signature, message))) throw new Error('a good signature failed');
  };
  return async () => {
    if (atOnce) await Promise.all(Array.from({ length: count }, once));
    else for (let done = 0; done < count; done++) await once();
  };
}

export async function benchAttestation(emit: Emit): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'accord-bench-'));
  try {
    const { document, expectation } = await sample(folder);
    const judge = (chains?: ChainCache) => async (): Promise<void> =>
      void (await verifyAttestation(parseAttestation(document), expectation, chains === undefined ? {} : { chains }));
    const compare = async (name: string, work: () => Promise<void>, against: Reference): Promise<void> => {
      const reference = await bareVerifications(against, document.length);
      const found = await interleaved({ rounds: ROUNDS, warmUp: 20 }, work, reference);
      emit({
        figure: `attestation: ${name}`,
        value: rounded(found.value, 3),
        unit: 'ms',
        reference: rounded(found.reference, 3),
        ratio: rounded(found.ratio, 3),
        target: `<= ${LIMIT} x ${against.name}`,
        met: found.ratio <= LIMIT,
        note: `document of ${document.length} bytes parsed; chain, signature and contents judged; quickest rounds ${rounded(found.quickest.value, 3)} and ${rounded(found.quickest.reference, 3)} ms`,
      });
    };
    await compare('cold', judge(), SIX);
    await compare('cold, the reference spread over the cores too', judge(), SIX_AT_ONCE);
    await compare('warm (the chain is known)', judge(createChainCache()), ONE);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
