/**
 * The body of an S3 request, and how it is bound to the signature (S3 API reference, "Authenticating requests"). What stands
 * in `x-amz-content-sha256` is signed and says which:
 *
 *     64 hexadecimal digits                            SHA-256 of the body
 *     UNSIGNED-PAYLOAD                                 TLS alone
 *     STREAMING-UNSIGNED-PAYLOAD-TRAILER               aws-chunked, TLS alone; a checksum follows as trailer
 *     STREAMING-AWS4-HMAC-SHA256-PAYLOAD(-TRAILER)     aws-chunked, each chunk (and the trailer) signed, each over the last
 *
 *     aws-chunked   *( hex(length) [";chunk-signature=" hex] CRLF bytes CRLF ) "0" [";chunk-signature=" hex] CRLF
 *                   *( name ":" value CRLF ) ["x-amz-trailer-signature:" hex CRLF] CRLF
 */
import { timingSafeEqual } from 'node:crypto';
import type { Claim } from '../signature-claim.ts';
import { hmac, sha256 } from '../sigv4.ts';
import { S3Error } from './errors.ts';

export interface Payload {
  readonly body: Uint8Array;
  readonly trailers: ReadonlyMap<string, string>;
}

/** 1 MiB. Real S3 takes 5 GB in one PutObject; entries of anchors have about a hundred bytes. */
const MAX_OBJECT = 1_048_576;

const UNSIGNED = 'UNSIGNED-PAYLOAD';
const CHUNKED = /^STREAMING-(UNSIGNED-PAYLOAD-TRAILER|AWS4-HMAC-SHA256-PAYLOAD(?:-TRAILER)?)$/;

/** What the canonical request has in place of the body. Presigned requests leave the body open unless they say. */
export function signedPayload(headers: ReadonlyMap<string, string>, claim: Claim): string {
  const said = headers.get('x-amz-content-sha256');
  if (said !== undefined) return said;
  if (claim.expires !== undefined) return UNSIGNED;
  throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
}

/** Takes the body out of its wrapping, and refuses what is not what was signed. */
export function openPayload(
  said: string,
  raw: Uint8Array,
  headers: ReadonlyMap<string, string>,
  signed: { readonly claim: Claim; readonly key: Buffer },
): Payload {
  const payload = CHUNKED.test(said) ? chunked(said, raw, headers, signed) : { body: raw, trailers: new Map() };
  if (payload.body.length > MAX_OBJECT) {
    throw new S3Error('EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size', {
      details: { ProposedSize: String(payload.body.length), MaxSizeAllowed: String(MAX_OBJECT) },
    });
  }
  if (CHUNKED.test(said) || said === UNSIGNED) return payload;
  if (!/^[0-9a-f]{64}$/.test(said)) {
    throw new S3Error(
      'InvalidArgument',
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, or a valid sha256 value.',
    );
  }
  const computed = sha256(raw);
  if (computed !== said) {
    throw new S3Error(
      'XAmzContentSHA256Mismatch',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
      { details: { ClientComputedContentSHA256: said, S3ComputedContentSHA256: computed } },
    );
  }
  return payload;
}

function chunked(
  said: string,
  raw: Uint8Array,
  headers: ReadonlyMap<string, string>,
  { claim, key }: { readonly claim: Claim; readonly key: Buffer },
): Payload {
  const isSigned = !said.includes('UNSIGNED');
  const bytes = Buffer.from(raw.buffer, raw.byteOffset, raw.length);
  const parts: Uint8Array[] = [];
  let at = 0;
  let last = claim.signature;
  const line = (): string => {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) throw incomplete();
    const text = bytes.subarray(at, end).toString('latin1');
    at = end + 2;
    return text;
  };
  const demand = (given: string | undefined, kind: 'PAYLOAD' | 'TRAILER', content: string): void => {
    if (!isSigned) return;
    const scope = claim.scope.join('/');
    const empty = kind === 'PAYLOAD' ? [sha256('')] : [];
    const text = [`AWS4-HMAC-SHA256-${kind}`, claim.date, scope, last, ...empty, content].join('\n');
    const wanted = hmac(key, text);
    const actual = Buffer.from(given ?? '', 'hex');
    if (actual.length !== wanted.length || !timingSafeEqual(actual, wanted)) {
      throw new S3Error(
        'SignatureDoesNotMatch',
        'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
      );
    }
    last = wanted.toString('hex');
  };
  for (;;) {
    const [, size, signature] = /^([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line()) ?? [];
    if (size === undefined) throw incomplete();
    const length = Number.parseInt(size, 16);
    if (at + length > bytes.length) throw incomplete();
    const chunk = bytes.subarray(at, at + length);
    demand(signature, 'PAYLOAD', sha256(chunk));
    if (length === 0) break;
    parts.push(chunk);
    at += length;
    if (line() !== '') throw incomplete();
  }
  const body = Buffer.concat(parts);
  if (headers.get('x-amz-decoded-content-length') !== String(body.length)) throw incomplete();
  const lines: string[] = [];
  while (at < bytes.length) {
    const text = line();
    if (text !== '') lines.push(text);
  }
  const trailers = new Map(lines.map(splitHeader));
  const signature = trailers.get('x-amz-trailer-signature');
  trailers.delete('x-amz-trailer-signature');
  if (said.endsWith('-TRAILER')) {
    const canonical = [...trailers].map(([name, value]) => `${name}:${value}\n`).join('');
    demand(signature, 'TRAILER', sha256(canonical));
    demandAnnounced(trailers, headers);
  } else if (lines.length > 0) throw incomplete();
  return { body, trailers };
}

/** Every trailer was named in a header that is signed, and came. */
function demandAnnounced(trailers: ReadonlyMap<string, string>, headers: ReadonlyMap<string, string>): void {
  const announced = (headers.get('x-amz-trailer') ?? '').split(',').map((name) => name.trim().toLowerCase());
  const same = announced.length === trailers.size && announced.every((name) => trailers.has(name));
  if (same || (announced[0] === '' && trailers.size === 0)) return;
  throw new S3Error(
    'InvalidRequest',
    'The request contained trailing data that was not well-formed or did not conform to our published schema.',
  );
}

function splitHeader(text: string): [string, string] {
  const colon = text.indexOf(':');
  if (colon < 0) throw incomplete();
  return [text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()];
}

function incomplete(): S3Error {
  return new S3Error('IncompleteBody', 'The request body terminated unexpectedly');
}
