/**
 * Errors as AWS names them. One refusal is one value; each wire protocol writes it in its own shape, and the services here
 * have different names, and S3 words of its own, for the same trouble with a signature.
 */
export type Service = 'kms' | 'sts' | 'iam' | 's3';

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
export type AuthenticationFault =
  | 'missing'
  | 'incomplete'
  | 'unknown-key'
  | 'unknown-token'
  | 'scope' // signed for another day, Region or service
  | 'skew'
  | 'unsigned-header'
  | 'mismatch'
  | 'expired';

interface Wording {
  readonly code: string;
  readonly status: number;
  /** In place of the message that says what is wrong; S3 has one sentence for each. */
  readonly message?: string;
}

type Wordings = Readonly<Record<AuthenticationFault, Wording>>;

const KMS: Wordings = {
  missing: { code: 'MissingAuthenticationTokenException', status: 400 },
  incomplete: { code: 'IncompleteSignatureException', status: 400 },
  'unknown-key': { code: 'UnrecognizedClientException', status: 400 },
  'unknown-token': { code: 'UnrecognizedClientException', status: 400 },
  scope: { code: 'InvalidSignatureException', status: 400 },
  skew: { code: 'InvalidSignatureException', status: 400 },
  'unsigned-header': { code: 'InvalidSignatureException', status: 400 },
  mismatch: { code: 'InvalidSignatureException', status: 400 },
  expired: { code: 'ExpiredTokenException', status: 400 },
};

/** The Query protocol: STS and IAM. */
const QUERY: Wordings = {
  missing: { code: 'MissingAuthenticationToken', status: 403 },
  incomplete: { code: 'IncompleteSignature', status: 403 },
  'unknown-key': { code: 'InvalidClientTokenId', status: 403 },
  'unknown-token': { code: 'InvalidClientTokenId', status: 403 },
  scope: { code: 'SignatureDoesNotMatch', status: 403 },
  skew: { code: 'SignatureDoesNotMatch', status: 403 },
  'unsigned-header': { code: 'SignatureDoesNotMatch', status: 403 },
  mismatch: { code: 'SignatureDoesNotMatch', status: 403 },
  expired: { code: 'ExpiredToken', status: 403 },
};

const S3: Wordings = {
  missing: { code: 'AccessDenied', status: 403, message: 'Access Denied' },
  incomplete: { code: 'AuthorizationHeaderMalformed', status: 400 },
  'unknown-key': {
    code: 'InvalidAccessKeyId',
    status: 403,
    message: 'The AWS Access Key Id you provided does not exist in our records.',
  },
  'unknown-token': {
    code: 'InvalidToken',
    status: 400,
    message: 'The provided token is malformed or otherwise invalid.',
  },
  scope: { code: 'AuthorizationHeaderMalformed', status: 400 },
  skew: {
    code: 'RequestTimeTooSkewed',
    status: 403,
    message: 'The difference between the request time and the current time is too large.',
  },
  'unsigned-header': {
    code: 'AccessDenied',
    status: 403,
    message: 'There were headers present in the request which were not signed',
  },
  mismatch: {
    code: 'SignatureDoesNotMatch',
    status: 403,
    message:
      'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
  },
  expired: { code: 'ExpiredToken', status: 400, message: 'The provided token has expired.' },
};

const WORDINGS: Readonly<Record<Service, Wordings>> = { kms: KMS, sts: QUERY, iam: QUERY, s3: S3 };

export function authenticationError(service: Service, fault: AuthenticationFault, message: string): AwsError {
  const wording = WORDINGS[service][fault];
  return new AwsError(wording.code, wording.message ?? message, wording.status);
}

/** Understood, and deliberately absent here: never silently ignored. */
export function notInMiniature(what: string): AwsError {
  return new AwsError('UnsupportedOperationException', `${what} is not part of AWS in miniature.`);
}
