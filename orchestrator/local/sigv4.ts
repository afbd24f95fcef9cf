/**
 * Signature Version 4, verified as AWS verifies it: signature in the Authorization header or in the query (presigned).
 *
 *     canonical request  method \n path \n sorted query \n signed headers \n names of them \n hex(SHA-256(body))
 *     string to sign     AWS4-HMAC-SHA256 \n date \n scope \n hex(SHA-256(canonical request))
 *     key                HMAC chain: "AWS4" + secret -> day -> region -> service -> "aws4_request"
 *
 * The digest of the body is always computed here, never taken from `x-amz-content-sha256`. Every `x-amz-*` header of a
 * request must be signed, or somebody in between could add one (the operation stands in `x-amz-target`).
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Service } from './errors.ts';
import { authenticationError } from './errors.ts';

export interface SignedRequest {
  readonly method: string;
  /** Path and query as received. */
  readonly target: string;
  /** Name and value alternating, as received. */
  readonly rawHeaders: readonly string[];
  readonly body: Uint8Array;
}

/** The signature and what it claims, read but not yet verified. */
export interface Claim {
  readonly accessKeyId: string;
  readonly sessionToken: string | undefined;
  readonly region: string;
  readonly scope: readonly string[];
  /** `YYYYMMDDThhmmssZ`. */
  readonly date: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  /** Seconds; presigned requests only. */
  readonly expires: number | undefined;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const MAX_EXPIRES = 604_800;
/** How far a clock may be off: STS says "15 min." and the JSON services "5 min." in their refusals. */
const SKEW_MINUTES = { kms: 5, sts: 15 } as const satisfies Record<Service, number>;

export function readClaim(request: SignedRequest, service: Service): Claim {
  const headers = headerMap(request.rawHeaders);
  const query = new Map(queryPairs(request.target));
  const authorization = headers.get('authorization');
  const claim =
    authorization !== undefined
      ? fromHeader(authorization, headers, service)
      : query.has('X-Amz-Signature') || query.has('X-Amz-Algorithm')
        ? fromQuery(query, service)
        : undefined;
  if (claim === undefined) {
    const words = service === 'kms' ? 'Missing Authentication Token' : 'Request is missing Authentication Token';
    throw authenticationError(service, 'missing', words);
  }
  return claim;
}

/** Throws unless the request was signed with this secret, for this service and Region, just now. */
export function verifySignature(
  request: SignedRequest,
  claim: Claim,
  expected: {
    readonly service: Service;
    readonly secret: string;
    readonly regions: readonly string[];
    readonly now: number;
  },
): void {
  const { service, secret, regions, now } = expected;
  const mismatch = (message: string): Error => authenticationError(service, 'mismatch', message);
  const [day, region = '', scopedTo, terminator] = claim.scope;
  if (day !== claim.date.slice(0, 8)) {
    throw mismatch(
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${day}' != '${claim.date.slice(0, 8)}', from '${claim.date}'.`,
    );
  }
  if (!regions.includes(region)) throw mismatch('Credential should be scoped to a valid region.');
  if (scopedTo !== service) throw mismatch(`Credential should be scoped to correct service: '${service}'.`);
  if (terminator !== 'aws4_request') {
    throw mismatch(`Credential should be scoped with a valid terminator: 'aws4_request', not '${terminator}'.`);
  }
  checkTime(claim, service, now);
  checkHeaders(request, claim, service);
  const wanted = Buffer.from(signatureOf(request, claim, secret), 'hex');
  const given = Buffer.from(claim.signature, 'hex');
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
    throw mismatch(
      'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
    );
  }
}

function fromHeader(text: string, headers: ReadonlyMap<string, string>, service: Service): Claim {
  const incomplete = (what: string): Error =>
    authenticationError(service, 'incomplete', `${what} Authorization=${text.split(' ')[0]}`);
  if (!text.startsWith(`${ALGORITHM} `)) {
    throw incomplete(`Authorization header requires the algorithm ${ALGORITHM}.`);
  }
  const parts = new Map(
    text
      .slice(ALGORITHM.length)
      .split(',')
      .map((part) => part.trim())
      .map((part): [string, string] => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]),
  );
  const credential = parts.get('Credential');
  const signedHeaders = parts.get('SignedHeaders');
  const signature = parts.get('Signature');
  const date = headers.get('x-amz-date');
  if (!credential) throw incomplete("Authorization header requires 'Credential' parameter.");
  if (!signature) throw incomplete("Authorization header requires 'Signature' parameter.");
  if (!signedHeaders) throw incomplete("Authorization header requires 'SignedHeaders' parameter.");
  if (date === undefined) {
    throw incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.");
  }
  return claimOf(service, {
    credential,
    signedHeaders,
    signature,
    date,
    sessionToken: headers.get('x-amz-security-token'),
    expires: undefined,
  });
}

function fromQuery(query: ReadonlyMap<string, string>, service: Service): Claim {
  const required = (name: string): string => {
    const value = query.get(name);
    if (!value) {
      throw authenticationError(
        service,
        'incomplete',
        `AWS query-string parameters must include '${name}'. Re-examine the query-string parameters.`,
      );
    }
    return value;
  };
  if (required('X-Amz-Algorithm') !== ALGORITHM) {
    throw authenticationError(service, 'incomplete', `Unsupported AWS 'algorithm': '${query.get('X-Amz-Algorithm')}'.`);
  }
  const expires = query.get('X-Amz-Expires') ?? '900';
  if (!/^\d{1,6}$/.test(expires) || Number(expires) > MAX_EXPIRES) {
    throw authenticationError(
      service,
      'mismatch',
      `X-Amz-Expires must be less than a week in seconds; ie the given X-Amz-Expires must be less than ${MAX_EXPIRES} seconds`,
    );
  }
  return claimOf(service, {
    credential: required('X-Amz-Credential'),
    signedHeaders: required('X-Amz-SignedHeaders'),
    signature: required('X-Amz-Signature'),
    date: required('X-Amz-Date'),
    sessionToken: query.get('X-Amz-Security-Token'),
    expires: Number(expires),
  });
}

function claimOf(
  service: Service,
  from: {
    readonly credential: string;
    readonly signedHeaders: string;
    readonly signature: string;
    readonly date: string;
    readonly sessionToken: string | undefined;
    readonly expires: number | undefined;
  },
): Claim {
  const [accessKeyId = '', ...scope] = from.credential.split('/');
  if (scope.length !== 4) {
    throw authenticationError(
      service,
      'incomplete',
      `Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${from.credential}'`,
    );
  }
  if (!/^\d{8}T\d{6}Z$/.test(from.date)) {
    throw authenticationError(service, 'incomplete', `Date must be in ISO-8601 'basic format'. Got '${from.date}'.`);
  }
  return {
    accessKeyId,
    sessionToken: from.sessionToken,
    region: scope[1] ?? '',
    scope,
    date: from.date,
    signedHeaders: from.signedHeaders.split(';'),
    signature: from.signature,
    expires: from.expires,
  };
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
      'mismatch',
      `Signature expired: ${claim.date} is now earlier than ${basic(earliest)} (${basic(now)} - ${window})`,
    );
  }
  if (at > now + skew) {
    throw authenticationError(
      service,
      'mismatch',
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
      'mismatch',
      `Header '${unsigned}' must be a 'SignedHeader' in the AWS Authorization.`,
    );
  }
}

function signatureOf(request: SignedRequest, claim: Claim, secret: string): string {
  const headers = headerMap(request.rawHeaders);
  const [path = '/'] = request.target.split('?', 1);
  const canonical = [
    request.method,
    path.split('/').map(encode).join('/'),
    canonicalQuery(request.target),
    ...claim.signedHeaders.map((name) => `${name}:${headers.get(name) ?? ''}`),
    '',
    claim.signedHeaders.join(';'),
    sha256(request.body),
  ].join('\n');
  const toSign = [ALGORITHM, claim.date, claim.scope.join('/'), sha256(canonical)].join('\n');
  const key = claim.scope.reduce<Buffer>((from, part) => hmac(from, part), Buffer.from(`AWS4${secret}`));
  return hmac(key, toSign).toString('hex');
}

function canonicalQuery(target: string): string {
  return queryPairs(target)
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]): [string, string] => [encode(name), encode(value)])
    .sort(([a, x], [b, y]) => (a === b ? (x < y ? -1 : 1) : a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

/** Names and values of the query, decoded. What does not decode is left as it stands, and then cannot match. */
export function queryPairs(target: string): readonly (readonly [string, string])[] {
  const at = target.indexOf('?');
  if (at < 0 || at === target.length - 1) return [];
  return target
    .slice(at + 1)
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      return equals < 0 ? [decode(pair), ''] : [decode(pair.slice(0, equals)), decode(pair.slice(equals + 1))];
    });
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

/** RFC 3986: everything but the unreserved characters. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Lower-case names; several of one name joined with a comma; white space trimmed and collapsed. */
export function headerMap(raw: readonly string[]): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase();
    const value = (raw[i + 1] ?? '').trim().replace(/\s+/g, ' ');
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before},${value}`);
  }
  return headers;
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

function hmac(key: Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest();
}
