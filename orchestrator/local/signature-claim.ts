/** What a request claims about who signed it: in the Authorization header, or in the query (presigned). */
import type { Service } from './errors.ts';
import { authenticationError } from './errors.ts';
import type { SignedRequest } from './signed-request.ts';
import { headerMap, queryPairs } from './signed-request.ts';

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

export const ALGORITHM = 'AWS4-HMAC-SHA256';
/** Seconds; a week. */
const MAX_EXPIRES = 604_800;

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
