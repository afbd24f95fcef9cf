/**
 * Signature Version 4, verified as AWS verifies it: signature in the Authorization header or in the query (presigned).
 *
 *     canonical request  method \n path \n sorted query \n signed headers \n names of them \n hex(SHA-256(body))
 *                        (S3: as `x-amz-content-sha256` says, and the body is held to it)
 *     string to sign     AWS4-HMAC-SHA256 \n date \n scope \n hex(SHA-256(canonical request))
 *     key                HMAC chain: "AWS4" + secret -> day -> region -> service -> "aws4_request"
 *
 * For all services but S3 the digest of the body is computed here, never taken from `x-amz-content-sha256`. Every `x-amz-*` header of a
 * request must be signed, or somebody in between could add one (the operation stands in `x-amz-target`).
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Service } from './errors.ts';
import { authenticationError } from './errors.ts';
import type { Claim } from './signature-claim.ts';
import { ALGORITHM } from './signature-claim.ts';
import type { SignedRequest } from './signed-request.ts';
import { decodePath, encode, headerMap, queryPairs } from './signed-request.ts';

/** How far a clock may be off: STS says "15 min." and the JSON services "5 min." in their refusals; S3 allows 15. */
const SKEW_MINUTES = { kms: 5, sts: 15, iam: 15, s3: 15 } as const satisfies Record<Service, number>;

/**
 * Throws unless the request was signed with this secret, for this service and Region, just now. Returns the signing key,
 * with which S3's signed chunks go on.
 */
export function verifySignature(
  request: SignedRequest,
  claim: Claim,
  expected: {
    readonly service: Service;
    readonly secret: string;
    readonly regions: readonly string[];
    readonly now: number;
    /** What stands for the body in the canonical request: default its SHA-256 in hexadecimal. */
    readonly payload?: string;
  },
): Buffer {
  const { service, secret, regions, now } = expected;
  const scope = (message: string): Error => authenticationError(service, 'scope', message);
  const [day, region = '', scopedTo, terminator] = claim.scope;
  if (day !== claim.date.slice(0, 8)) {
    throw scope(
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${day}' != '${claim.date.slice(0, 8)}', from '${claim.date}'.`,
    );
  }
  if (!regions.includes(region)) throw scope('Credential should be scoped to a valid region.');
  if (scopedTo !== service) throw scope(`Credential should be scoped to correct service: '${service}'.`);
  if (terminator !== 'aws4_request') {
    throw scope(`Credential should be scoped with a valid terminator: 'aws4_request', not '${terminator}'.`);
  }
  checkTime(claim, service, now);
  checkHeaders(request, claim, service);
  const key = claim.scope.reduce<Buffer>((from, part) => hmac(from, part), Buffer.from(`AWS4${secret}`));
  const wanted = hmac(key, stringToSign(request, claim, service, expected.payload ?? sha256(request.body)));
  const given = Buffer.from(claim.signature, 'hex');
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
    throw authenticationError(
      service,
      'mismatch',
      'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
    );
  }
  return key;
}

function checkTime(claim: Claim, service: Service, now: number): void {
  const minutes = SKEW_MINUTES[service];
  const skew = minutes * 60_000;
  const at = Date.parse(claim.date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  const earliest = now - (claim.expires === undefined ? skew : claim.expires * 1000);
  if (Number.isNaN(at) || at < earliest) {
    const window = claim.expires === undefined ? `${minutes} min.` : `${claim.expires} s`;
    throw authenticationError(
      service,
      'skew',
      `Signature expired: ${claim.date} is now earlier than ${basic(earliest)} (${basic(now)} - ${window})`,
    );
  }
  if (at > now + skew) {
    throw authenticationError(
      service,
      'skew',
      `Signature not yet current: ${claim.date} is still later than ${basic(now + skew)} (${basic(now)} + ${minutes} min.)`,
    );
  }
}

function basic(time: number): string {
  return new Date(time).toISOString().replace(/[-:]|\.\d{3}/g, '');
}

function checkHeaders(request: SignedRequest, claim: Claim, service: Service): void {
  const present = headerMap(request.rawHeaders);
  if (!claim.signedHeaders.includes('host')) {
    throw authenticationError(
      service,
      'mismatch',
      "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    );
  }
  const unsigned = [...present.keys()].find((name) => name.startsWith('x-amz-') && !claim.signedHeaders.includes(name));
  if (unsigned !== undefined) {
    throw authenticationError(
      service,
      'unsigned-header',
      `Header '${unsigned}' must be a 'SignedHeader' in the AWS Authorization.`,
    );
  }
}

function stringToSign(request: SignedRequest, claim: Claim, service: Service, payload: string): string {
  const headers = headerMap(request.rawHeaders);
  const [path = '/'] = request.target.split('?', 1);
  // Paths are encoded once more on top of how they were sent, except for S3, whose keys may hold anything.
  const segments = path.split('/').map((segment) => encode(service === 's3' ? decodePath(segment) : segment));
  const canonical = [
    request.method,
    segments.join('/'),
    canonicalQuery(request.target),
    ...claim.signedHeaders.map((name) => `${name}:${headers.get(name) ?? ''}`),
    '',
    claim.signedHeaders.join(';'),
    payload,
  ].join('\n');
  return [ALGORITHM, claim.date, claim.scope.join('/'), sha256(canonical)].join('\n');
}

function canonicalQuery(target: string): string {
  return queryPairs(target)
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]): [string, string] => [encode(name), encode(value)])
    .sort(([a, x], [b, y]) => (a === b ? (x < y ? -1 : 1) : a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

export function hmac(key: Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest();
}
