/**
 * A certificate chain shaped like the one behind genuine attestation documents: root, regional, zonal and instance
 * authority, then the leaf that signs. Every name says that it is local. Keys are P-384, signatures ES384.
 *
 *     level      lives     basicConstraints   keyUsage
 *     root       30 years  CA                 digitalSignature, keyCertSign, cRLSign
 *     regional   20 days   CA, pathLen 2      digitalSignature, keyCertSign, cRLSign
 *     zonal       6 days   CA, pathLen 1      digitalSignature, keyCertSign, cRLSign
 *     instance   24 hours  CA, pathLen 0      keyCertSign
 *     leaf        3 hours  not CA             digitalSignature, nonRepudiation (not critical)
 */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const KEY = { name: 'ECDSA', namedCurve: 'P-384' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-384' } as const;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** AWS's leaf starts about three seconds before it is first used. */
const BACKDATED_MS = 3_000;

export interface Authority {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly privateKey: CryptoKey;
  /** The subject, as `@peculiar/x509` wrote it. */
  readonly name: string;
  readonly notAfter: number;
}

export interface CertificateSpec {
  readonly subject: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** Undefined leaves the extension out. */
  readonly basicConstraints?: { readonly ca: boolean; readonly pathLength?: number };
  /** Undefined leaves the extension out. */
  readonly keyUsage?: { readonly flags: x509.KeyUsageFlags; readonly critical: boolean };
  readonly extensions?: readonly x509.Extension[];
  /** Signs with something else than ECDSA with SHA-384; for tests. */
  readonly hash?: 'SHA-256' | 'SHA-384';
}

/** One certificate for a fresh (or the given) key, signed by `issuer`, or by itself where there is none. */
export async function issueCertificate(
  spec: CertificateSpec,
  issuer?: Pick<Authority, 'name' | 'privateKey'>,
  keys?: CryptoKeyPair,
): Promise<Authority> {
  const pair = keys ?? (await crypto.subtle.generateKey(KEY, true, ['sign', 'verify']));
  const certificate = await x509.X509CertificateGenerator.create({
    subject: spec.subject,
    issuer: issuer?.name ?? spec.subject,
    notBefore: new Date(spec.notBefore),
    notAfter: new Date(spec.notAfter),
    publicKey: pair.publicKey,
    signingKey: issuer?.privateKey ?? pair.privateKey,
    signingAlgorithm: { ...SIGNATURE, hash: spec.hash ?? SIGNATURE.hash },
    extensions: await extensionsOf(spec, pair.publicKey),
  });
  return {
    certificate: new Uint8Array(certificate.rawData),
    privateKey: pair.privateKey,
    name: certificate.subject,
    notAfter: spec.notAfter,
  };
}

async function extensionsOf(spec: CertificateSpec, publicKey: CryptoKey): Promise<x509.Extension[]> {
  const { basicConstraints, keyUsage, extensions = [] } = spec;
  const found = [...extensions];
  if (basicConstraints !== undefined) {
    found.push(new x509.BasicConstraintsExtension(basicConstraints.ca, basicConstraints.pathLength, true));
  }
  if (keyUsage !== undefined) found.push(new x509.KeyUsagesExtension(keyUsage.flags, keyUsage.critical));
  if (basicConstraints?.ca === true) found.push(await x509.SubjectKeyIdentifierExtension.create(publicKey));
  return found;
}

const { digitalSignature, keyCertSign, cRLSign, nonRepudiation } = x509.KeyUsageFlags;
const AUTHORITY_USAGE: NonNullable<CertificateSpec['keyUsage']> = {
  flags: digitalSignature | keyCertSign | cRLSign,
  critical: true,
};

/** Levels below the root and above the leaf, from the top. */
const AUTHORITIES = [
  { unit: 'regional.local', livesMs: 20 * DAY, pathLength: 2, keyUsage: AUTHORITY_USAGE },
  { unit: 'zonal.local', livesMs: 6 * DAY, pathLength: 1, keyUsage: AUTHORITY_USAGE },
  { unit: 'instance.local', livesMs: DAY, pathLength: 0, keyUsage: { flags: keyCertSign, critical: true } },
] as const;
const LEAF_MS = 3 * HOUR;

function subject(name: string): string {
  return `C=XX, O=Accord, OU=local trial without Nitro hardware, CN=${name}.accord-enclaves`;
}

/** The root, self-signed. It is backdated by a day so that a clock set back a little still accepts it. */
export function rootSpec(now: number): CertificateSpec {
  return {
    subject: subject('local'),
    notBefore: now - DAY,
    notAfter: now + 30 * 365 * DAY,
    basicConstraints: { ca: true },
    keyUsage: AUTHORITY_USAGE,
  };
}

/** The three authorities below the root, from the top. */
export function authoritySpecs(now: number): readonly CertificateSpec[] {
  return AUTHORITIES.map(({ unit, livesMs, pathLength, keyUsage }) => ({
    subject: subject(unit),
    notBefore: now - BACKDATED_MS,
    notAfter: now + livesMs,
    basicConstraints: { ca: true, pathLength },
    keyUsage,
  }));
}

/** The certificate that signs for one enclave; it carries the enclave's module id. */
export function leafSpec(now: number, moduleId: string): CertificateSpec {
  return {
    subject: subject(`${moduleId}.local`),
    notBefore: now - BACKDATED_MS,
    notAfter: now + LEAF_MS,
    basicConstraints: { ca: false },
    keyUsage: { flags: digitalSignature | nonRepudiation, critical: false },
  };
}

/** Issues each certificate with the one before it. Returns them from the top, without the root. */
export async function issueBelow(root: Authority, specs: readonly CertificateSpec[]): Promise<readonly Authority[]> {
  const issued: Authority[] = [];
  for (const spec of specs) issued.push(await issueCertificate(spec, issued.at(-1) ?? root));
  return issued;
}

/** PKCS#8 in PEM, as other programs read it. */
export async function privateKeyPem({ privateKey }: Authority): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', privateKey), 'PRIVATE KEY');
}

/** An authority from its certificate (DER) and private key (PKCS#8 in PEM), as kept in a folder. */
export async function readAuthority(certificate: Uint8Array, pem: string): Promise<Authority> {
  const parsed = new x509.X509Certificate(new Uint8Array(certificate));
  const [pkcs8] = x509.PemConverter.decode(pem);
  if (pkcs8 === undefined) throw new TypeError('no private key in the file');
  return {
    certificate: new Uint8Array(parsed.rawData),
    privateKey: await crypto.subtle.importKey('pkcs8', pkcs8, KEY, true, ['sign']),
    name: parsed.subject,
    notAfter: parsed.notAfter.getTime(),
  };
}

/** ES384 over `data`: r || s, 96 bytes. */
export async function signEs384({ privateKey }: Authority, data: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.sign(SIGNATURE, privateKey, new Uint8Array(data)));
}
