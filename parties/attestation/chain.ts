/**
 * Path validation (RFC 5280, section 6) from a pinned root to the leaf. The work is split by what it depends on:
 *
 * - `trustedChain` judges the certificates alone: constraints, names, signatures. The outcome never changes, so it may
 *   be kept in a `ChainCache`, by the certificates' own bytes.
 * - `checkRoot` and `checkValidity` judge a chain against the verifier's roots and time, on every use.
 *
 * The root's signature over itself is not verified: it is pinned by its bytes. There are no revocation lists; AWS
 * says not to use them, and the leaf lives three hours.
 */
import { sha256 } from '../../enclave/crypto/digest.ts';
import { toHex } from '../../enclave/encoding/hex.ts';
import { parseCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';
import { refused } from './codes.ts';
import { importEs384, verifyEs384 } from './cose.ts';
import type { Root } from './expectation.ts';

/** Certificates whose signatures and constraints hold, root first, leaf last; whose root it is, is not judged yet. */
export interface Chain {
  readonly certificates: readonly Certificate[];
  /** SHA-256 of the root's DER, lower-case hex. */
  readonly rootSha256: string;
  /** The leaf's key, ready to verify with. */
  readonly leafKey: CryptoKey;
}

/**
 * Chains that were found good, under a short name each; whoever looks one up compares its bytes. Holds no secrets;
 * bounded; safe to share between verifications.
 */
export interface ChainCache {
  get(name: string): Chain | undefined;
  set(name: string, chain: Chain): void;
}

/** `capacity` counts chains; the one that was not used for longest goes first. */
export function createChainCache(capacity = 64): ChainCache {
  const chains = new Map<string, Chain>();
  return {
    get(name) {
      const chain = chains.get(name);
      if (chain === undefined) return undefined;
      chains.delete(name);
      chains.set(name, chain);
      return chain;
    },
    set(name, chain) {
      chains.delete(name);
      chains.set(name, chain);
      for (const oldest of chains.keys()) {
        if (chains.size <= capacity) break;
        chains.delete(oldest);
      }
    },
  };
}

/**
 * The chain of these certificates (DER; `bundle` root first), with all that does not depend on time verified.
 * With a cache, a known bundle costs one signature for a new leaf, and a known leaf none.
 */
export async function trustedChain(
  bundle: readonly Uint8Array[],
  leaf: Uint8Array,
  cache?: ChainCache,
): Promise<Chain> {
  if (cache === undefined) return newChain(bundle, leaf, undefined);
  const name = nameOf(leaf);
  const known = cache.get(name);
  if (known !== undefined && startsWith(known, bundle) && endsWith(known, leaf)) return known;
  const issuerName = nameOf(bundle.at(-1) ?? new Uint8Array());
  const above = cache.get(issuerName);
  const chain = await newChain(bundle, leaf, above !== undefined && startsWith(above, bundle) ? above : undefined);
  cache.set(issuerName, chain);
  cache.set(name, chain);
  return chain;
}

/** The end of a certificate is the end of its signature: as good as any hash to find it again by. */
function nameOf(certificate: Uint8Array): string {
  return certificate.subarray(-32).join();
}

/** Whether these certificates, byte for byte, are all of the chain but its leaf. */
function startsWith({ certificates }: Chain, bundle: readonly Uint8Array[]): boolean {
  if (certificates.length !== bundle.length + 1) return false;
  return bundle.every((bytes, position) => sameBytes(bytes, certificates[position]?.bytes));
}

function endsWith({ certificates }: Chain, leaf: Uint8Array): boolean {
  return sameBytes(leaf, certificates.at(-1)?.bytes);
}

/** `above` is a chain with the same bundle: its certificates, all but the leaf, are already found good. */
async function newChain(bundle: readonly Uint8Array[], leaf: Uint8Array, above: Chain | undefined): Promise<Chain> {
  const issuers =
    above?.certificates.slice(0, -1) ?? bundle.map((bytes, at) => parseCertificate(bytes, `cabundle[${at}]`));
  const certificates = [...issuers, parseCertificate(leaf, 'certificate')];
  checkConstraints(certificates);
  checkNames(certificates);
  const unproven = above === undefined ? certificates : certificates.slice(-2);
  const [rootSha256, leafKey] = await Promise.all([
    above?.rootSha256 ?? sha256(bundle[0] ?? new Uint8Array()).then(toHex),
    importKey(certificates.at(-1)),
    checkSignatures(unproven),
  ]);
  return { certificates, rootSha256, leafKey };
}

/** What each certificate may be used for (RFC 5280, 6.1.4 k-n and 6.1.5): a leaf must not be able to issue another. */
function checkConstraints(certificates: readonly Certificate[]): void {
  const last = certificates.length - 1;
  for (const [position, { where, ca, pathLength, keyUsage }] of certificates.entries()) {
    if (position === last) {
      if (ca) throw refused('attestation/leaf-is-ca', where, `${where} signs documents, yet is a CA certificate`);
      if (keyUsage?.digitalSignature !== true) {
        throw refused('attestation/key-usage', where, `${where} may not sign documents (key usage digitalSignature)`);
      }
      continue;
    }
    if (!ca) throw refused('attestation/not-a-ca', where, `${where} is not a CA certificate, yet issues the next one`);
    if (keyUsage?.keyCertSign !== true) {
      throw refused('attestation/key-usage', where, `${where} may not sign certificates (key usage keyCertSign)`);
    }
    const below = last - 1 - position;
    if (pathLength !== undefined && below > pathLength) {
      const what = `${where} allows ${pathLength} CA certificates below it; there are ${below}`;
      throw refused('attestation/path-length', where, what);
    }
  }
}

/** Each certificate names the one above it as its issuer, byte for byte; the root names itself. */
function checkNames(certificates: readonly Certificate[]): void {
  for (const [issuer, subject] of links(certificates)) {
    if (sameBytes(issuer.subject, subject.issuer)) continue;
    const what = `${subject.where} was not issued by ${issuer.where}`;
    throw refused('attestation/issuer-mismatch', subject.where, what);
  }
}

/** All at once: the signatures do not depend on each other. The one nearest the root is reported. */
async function checkSignatures(certificates: readonly Certificate[]): Promise<void> {
  const verdicts = await Promise.all(
    links(certificates).map(async ([issuer, { where, signature, tbs }]) => {
      const key = await importKey(issuer);
      return { where, good: signature !== undefined && (await verifyEs384(key, signature, tbs)) };
    }),
  );
  const bad = verdicts.find(({ good }) => !good);
  if (bad === undefined) return;
  throw refused('attestation/certificate-signature', bad.where, `the signature of ${bad.where} is not valid`);
}

async function importKey(certificate: Certificate | undefined): Promise<CryptoKey> {
  if (certificate === undefined) throw new RangeError('a chain without certificates');
  try {
    return await importEs384(certificate.point);
  } catch {
    const { where } = certificate;
    throw refused('attestation/certificate-key', where, `the key of ${where} is not a point of P-384`);
  }
}

/** Refuses a chain that starts from another root than those the verifier trusts; returns the one that it starts from. */
export function checkRoot(chain: Chain, roots: readonly Root[]): Root {
  const root = roots.find((candidate) => candidate.sha256 === chain.rootSha256);
  if (root !== undefined) return root;
  throw refused(
    'attestation/unknown-root',
    'cabundle[0]',
    `the chain starts from a root that is not trusted (SHA-256 ${chain.rootSha256})`,
    'a local root is accepted only when it is named: --root FILE (nsm/root.der in the folder of `accord local-aws`)',
  );
}

/** Refuses a chain of which any certificate is not valid at `at` (milliseconds), give or take `skewMs`. */
export function checkValidity(chain: Chain, at: number, skewMs: number): void {
  // From the leaf upwards: it lives shortest, so its date says most.
  for (const { where, notBefore, notAfter } of chain.certificates.toReversed()) {
    if (at + skewMs < notBefore) {
      const what = `${where} is valid from ${date(notBefore)}; this is judged at ${date(at)}`;
      throw refused('attestation/not-yet-valid', where, what, 'check the clock');
    }
    if (at - skewMs > notAfter) {
      const what = `${where} expired at ${date(notAfter)}; this is judged at ${date(at)}`;
      throw refused('attestation/expired', where, what, 'ask for a fresh document, or judge at its own time');
    }
  }
}

function links(certificates: readonly Certificate[]): readonly (readonly [Certificate, Certificate])[] {
  return certificates.slice(1).flatMap((subject, at) => {
    const issuer = certificates[at];
    return issuer === undefined ? [] : [[issuer, subject] as const];
  });
}

function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  if (a.length !== b?.length) return false;
  for (let position = 0; position < a.length; position++) if (a[position] !== b[position]) return false;
  return true;
}

function date(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
