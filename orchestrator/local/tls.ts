/**
 * The server's TLS root and certificate, kept in the data folder so that the root's digest, and with it every policy that
 * trusts it, outlives a restart. The root may only name `localhost`, `127.0.0.1` and `accord.test`: putting it into a trust
 * store hands nobody anything else.
 */
import * as x509 from '@peculiar/x509';
import { X509Certificate, createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DER, context, der } from '../../parties/attestation/der.ts';
import { writeAtomically } from './files.ts';
import { serverNames } from './regions.ts';

export interface ServerTls {
  readonly rootPem: string;
  readonly rootDer: Uint8Array;
  readonly rootPemPath: string;
  readonly rootDerPath: string;
  /** PEM, for `https.createServer`. */
  readonly certificate: string;
  readonly key: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY = 86_400_000;
const ROOT_DAYS = 7300;
const SERVER_DAYS = 397;
const RENEW_DAYS = 30;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

export async function openTls(dataDir: string, now: number): Promise<ServerTls> {
  const folder = join(dataDir, 'tls');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const root = (await readPair(folder, 'root')) ?? (await makeRoot(folder, now));
  const saved = await readPair(folder, 'server');
  const server = saved !== undefined && fits(saved, root, now) ? saved : await makeServer(folder, root, now);
  return {
    rootPem: root.certificate,
    rootDer: new X509Certificate(root.certificate).raw,
    rootPemPath: join(folder, 'root.pem'),
    rootDerPath: join(folder, 'root.der'),
    certificate: `${server.certificate}\n${root.certificate}`,
    key: server.key,
  };
}

interface Pair {
  readonly certificate: string;
  readonly key: string;
}

/** The saved server certificate serves until a month before its end, if it is of this root and has all names. */
function fits(server: Pair, root: Pair, now: number): boolean {
  const certificate = new X509Certificate(server.certificate);
  const names = new Set((certificate.subjectAltName ?? '').split(', '));
  return (
    certificate.checkIssued(new X509Certificate(root.certificate)) &&
    certificate.verify(new X509Certificate(root.certificate).publicKey) &&
    Date.parse(certificate.validTo) > now + RENEW_DAYS * DAY &&
    Date.parse(certificate.validFrom) <= now &&
    serverNames().every((name) => names.has(`DNS:${name}`))
  );
}

async function makeRoot(folder: string, now: number): Promise<Pair> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=Accord local AWS TLS root ${randomBytes(4).toString('hex')}`,
    keys,
    signingAlgorithm: ALGORITHM,
    serialNumber: serial(),
    notBefore: new Date(now - DAY),
    notAfter: new Date(now + ROOT_DAYS * DAY),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      nameConstraints(),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const pair = await save(folder, 'root', certificate, keys.privateKey);
  await writeAtomically(join(folder, 'root.der'), new Uint8Array(certificate.rawData));
  return pair;
}

async function makeServer(folder: string, root: Pair, now: number): Promise<Pair> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const issuer = new x509.X509Certificate(root.certificate);
  const pkcs8 = createPrivateKey(root.key).export({ format: 'der', type: 'pkcs8' });
  const certificate = await x509.X509CertificateGenerator.create({
    subject: 'CN=Accord local AWS',
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, ALGORITHM, false, ['sign']),
    signingAlgorithm: ALGORITHM,
    serialNumber: serial(),
    notBefore: new Date(now - DAY),
    notAfter: new Date(now + SERVER_DAYS * DAY),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([SERVER_AUTH]),
      new x509.SubjectAlternativeNameExtension([
        ...serverNames().map((value) => ({ type: 'dns' as const, value })),
        { type: 'ip', value: '127.0.0.1' },
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return await save(folder, 'server', certificate, keys.privateKey);
}

/** RFC 5280 §4.2.1.10: permittedSubtrees [0] { GeneralSubtree { dNSName [2] | iPAddress [7] (address and mask) } … }. */
function nameConstraints(): x509.Extension {
  const subtree = (identifier: number, value: Uint8Array): Uint8Array => der(DER.sequence, der(identifier, value));
  const text = (name: string): Uint8Array => new TextEncoder().encode(name);
  const permitted = der(
    context(0, true),
    subtree(context(2, false), text('localhost')),
    subtree(context(2, false), text('accord.test')),
    subtree(context(7, false), Uint8Array.of(127, 0, 0, 1, 255, 255, 255, 255)),
  );
  return new x509.Extension('2.5.29.30', true, new Uint8Array(der(DER.sequence, permitted)));
}

/** 16 random bytes, positive. */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function save(
  folder: string,
  name: string,
  certificate: x509.X509Certificate,
  privateKey: webcrypto.CryptoKey,
): Promise<Pair> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', privateKey));
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' });
  const pair = { certificate: `${certificate.toString('pem')}\n`, key: key.toString() };
  await writeAtomically(join(folder, `${name}.key`), pair.key, 0o600);
  await writeAtomically(join(folder, `${name}.pem`), pair.certificate);
  return pair;
}

async function readPair(folder: string, name: string): Promise<Pair | undefined> {
  try {
    return {
      certificate: await readFile(join(folder, `${name}.pem`), 'utf8'),
      key: await readFile(join(folder, `${name}.key`), 'utf8'),
    };
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw cause;
  }
}
