/**
 * Errors as AWS names them. One refusal is one value; each wire protocol writes it in its own shape, and the two services
 * here have different names for the same trouble with a signature.
 */
export type Service = 'kms' | 'sts';

export class AwsError extends Error {
  /** AWS's name, for example `AccessDeniedException`. */
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status = 400) {
    super(message);
    this.name = 'AwsError';
    this.code = code;
    this.status = status;
  }
}

/** What can be wrong with a signature or the credentials behind it. */
export type AuthenticationFault = 'missing' | 'incomplete' | 'unknown-key' | 'mismatch' | 'expired';

/** How each service says so. */
const AUTHENTICATION: Readonly<Record<AuthenticationFault, Readonly<Record<Service, readonly [string, number]>>>> = {
  missing: { kms: ['MissingAuthenticationTokenException', 400], sts: ['MissingAuthenticationToken', 403] },
  incomplete: { kms: ['IncompleteSignatureException', 400], sts: ['IncompleteSignature', 403] },
  'unknown-key': { kms: ['UnrecognizedClientException', 400], sts: ['InvalidClientTokenId', 403] },
  mismatch: { kms: ['InvalidSignatureException', 400], sts: ['SignatureDoesNotMatch', 403] },
  expired: { kms: ['ExpiredTokenException', 400], sts: ['ExpiredToken', 403] },
};

export function authenticationError(service: Service, fault: AuthenticationFault, message: string): AwsError {
  const [code, status] = AUTHENTICATION[fault][service];
  return new AwsError(code, message, status);
}

/** Understood, and deliberately absent here: never silently ignored. */
export function notInMiniature(what: string): AwsError {
  return new AwsError('UnsupportedOperationException', `${what} is not part of AWS in miniature.`);
}
