/**
 * Attestation, from evidence to verdict. The same code runs in Node and in the browser; it needs WebCrypto and nothing
 * else. Parse with `parseAttestation`, state what you expect, verify:
 *
 *     const verified = await verifyAttestation(parseAttestation(bytes), expectation, { chains });
 */
import { checkRoot, checkValidity, trustedChain } from './chain.ts';
import type { Chain, ChainCache } from './chain.ts';
import { compare, isDebug, openExpectations } from './compare.ts';
import type { OpenExpectation } from './compare.ts';
import { verifyCoseSign1 } from './cose.ts';
import type { AttestationDocument } from './document.ts';
import { demandPossible } from './expectation.ts';
import type { Expectation, Root } from './expectation.ts';

export { awsRoot } from './aws-root.ts';
export { createChainCache } from './chain.ts';
export { parseAttestation } from './document.ts';
export { localRoot, localRootOf, notChecked } from './expectation.ts';
export type { ChainCache } from './chain.ts';
export type { AttestationCode } from './codes.ts';
export type { OpenExpectation } from './compare.ts';
export type { AttestationDocument } from './document.ts';
export type { Expectation, NotChecked, PcrExpectations, Root } from './expectation.ts';

declare const verified: unique symbol;

/** The proof that a document met its expectation. Made by `verifyAttestation` alone. */
export interface VerifiedAttestation {
  readonly [verified]: true;
  readonly document: AttestationDocument;
  /** The trusted root that the chain starts from. A `local` one says nothing about Nitro hardware. */
  readonly root: Root;
  /** True where the verifier allowed an enclave in debug mode, and this is one. */
  readonly debug: boolean;
  /** What nobody looked at, as the expectation says. */
  readonly notChecked: readonly OpenExpectation[];
}

export interface VerifyOptions {
  /** Chains found good before: makes a known chain cost nothing but its dates. */
  readonly chains?: ChainCache;
}

/**
 * Judges a document in this order: the chain by itself, its root, the document's signature, the dates, the contents.
 * So a document that is called expired or of another image is a genuine one. Throws `Failure<AttestationCode>` at the
 * first check that says no.
 */
export async function verifyAttestation(
  document: AttestationDocument,
  expectation: Expectation,
  { chains }: VerifyOptions = {},
): Promise<VerifiedAttestation> {
  demandPossible(expectation);
  const chain = await trustedChain(document.cabundle, document.certificate, chains);
  const root = checkRoot(chain, expectation.roots);
  // WebCrypto verifies on a thread of its own while this one compares; the signature's verdict is told first.
  const signature = verifyCoseSign1(document.cose, chain.leafKey);
  const contents = judgeContents(document, chain, expectation);
  const proof: Omit<VerifiedAttestation, typeof verified> = {
    document,
    root,
    debug: isDebug(document),
    notChecked: openExpectations(expectation, document),
  };
  for (const outcome of await Promise.allSettled([signature, contents])) {
    if (outcome.status === 'rejected') throw outcome.reason;
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the one place that makes this brand
  return proof as VerifiedAttestation;
}

async function judgeContents(document: AttestationDocument, chain: Chain, expectation: Expectation): Promise<void> {
  checkValidity(chain, expectation.at.getTime(), expectation.skewMs ?? 0);
  compare(document, expectation);
}
