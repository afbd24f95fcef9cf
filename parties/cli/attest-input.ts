/** What `accord attest` reads: a document, raw or base64, and a root certificate, PEM or DER. */
import { fromBase64, fromBase64url } from '../../enclave/encoding/base64url.ts';
import { DER, readDer } from '../attestation/der.ts';
import { Failure } from '../../policies/failure.ts';
import { awsRoot, localRootOf } from '../attestation/verify.ts';
import type { Root } from '../attestation/verify.ts';
import { readHead } from './files.ts';
import type { Io } from './verb.ts';

export type AttestInputCode = 'attestation/too-large' | 'attestation/root-file';

/** Far above the largest document in base64 with line ends; what is longer is not looked at. */
const MAX_FILE_BYTES = 262_144;

/** The document's own bytes. A raw one starts with a byte that is no character, so the two cannot be confused. */
export async function readDocument(io: Io, file: string): Promise<Uint8Array> {
  const bytes = await readInput(io, file);
  const text = asciiOf(bytes);
  if (text === undefined) return bytes;
  const letters = text.replaceAll(/\s/g, '').replaceAll('+', '-').replaceAll('/', '_');
  return fromBase64url(letters.replace(/={1,2}$/, ''), 'the document');
}

/** `aws`, or a file with one certificate. A file that holds the AWS root is the AWS root. */
export async function readRoot(io: Io, name: string): Promise<Root> {
  if (name === 'aws') return awsRoot;
  const bytes = await readInput(io, name);
  const der = pemOf(bytes, name) ?? bytes;
  try {
    readDer(der, DER.sequence);
  } catch (cause) {
    throw notOneCertificate(name, cause);
  }
  const root = await localRootOf(der);
  return root.sha256 === awsRoot.sha256 ? awsRoot : root;
}

function pemOf(bytes: Uint8Array, name: string): Uint8Array | undefined {
  const text = asciiOf(bytes);
  if (text === undefined) return undefined;
  const [block, ...more] = text.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g);
  if (block === undefined || more.length > 0) throw notOneCertificate(name);
  return fromBase64((block[1] ?? '').replaceAll(/\s/g, ''), name);
}

function notOneCertificate(name: string, cause?: unknown): Failure<AttestInputCode> {
  return new Failure('malformed', 'attestation/root-file', `${name} does not hold one certificate, PEM or DER`, {
    where: name,
    hint: 'give "aws", or the root certificate that `accord local-aws` wrote (nsm/root.der)',
    cause,
  });
}

/** Undefined where a byte is neither a printable character of ASCII nor white space. */
function asciiOf(bytes: Uint8Array): string | undefined {
  const isText = bytes.every((byte) => (byte >= 0x20 && byte < 0x7f) || (byte >= 0x09 && byte <= 0x0d));
  return isText ? new TextDecoder().decode(bytes) : undefined;
}

async function readInput(io: Io, file: string): Promise<Uint8Array> {
  const bytes = await readHead(io, file, MAX_FILE_BYTES);
  if (bytes.length <= MAX_FILE_BYTES) return bytes;
  const message = `${file === '-' ? 'the input' : file} has more than ${MAX_FILE_BYTES} bytes, far more than what is read here`;
  throw new Failure<AttestInputCode>('malformed', 'attestation/too-large', message, { where: file });
}
