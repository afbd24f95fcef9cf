/** Refusals of S3: code, message and status as AWS has them, and the further elements and headers that some carry. */
import { AwsError } from '../errors.ts';
import type { HttpAnswer } from '../wire/http.ts';
import { writeXml } from '../wire/xml.ts';

export class S3Error extends AwsError {
  /** Elements beside Code and Message, for example the key that is not there. */
  readonly details: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: S3Code,
    message: string,
    more: {
      readonly details?: Readonly<Record<string, string>>;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(code, message, STATUS[code]);
    this.details = more.details ?? {};
    this.headers = more.headers ?? {};
  }
}

export type S3Code =
  | 'AccessControlListNotSupported'
  | 'AccessDenied'
  | 'AuthorizationHeaderMalformed'
  | 'BadDigest'
  | 'BucketAlreadyExists'
  | 'BucketAlreadyOwnedByYou'
  | 'BucketNotEmpty'
  | 'ConditionalRequestConflict'
  | 'EntityTooLarge'
  | 'IllegalLocationConstraintException'
  | 'IncompleteBody'
  | 'InvalidArgument'
  | 'InvalidBucketName'
  | 'InvalidBucketOwnerAWSAccountID'
  | 'InvalidBucketState'
  | 'InvalidDigest'
  | 'InvalidLocationConstraint'
  | 'InvalidRequest'
  | 'KeyTooLongError'
  | 'MalformedPolicy'
  | 'MalformedXML'
  | 'MethodNotAllowed'
  | 'NoSuchBucket'
  | 'NoSuchBucketPolicy'
  | 'NoSuchKey'
  | 'NoSuchObjectLockConfiguration'
  | 'NoSuchVersion'
  | 'NotImplemented'
  | 'ObjectLockConfigurationNotFoundError'
  | 'PermanentRedirect'
  | 'PreconditionFailed'
  | 'SignatureDoesNotMatch'
  | 'XAmzContentSHA256Mismatch';

/** S3 API reference, "Error responses". */
const STATUS: Readonly<Record<S3Code, number>> = {
  AccessControlListNotSupported: 400,
  AccessDenied: 403,
  AuthorizationHeaderMalformed: 400,
  BadDigest: 400,
  BucketAlreadyExists: 409,
  BucketAlreadyOwnedByYou: 409,
  BucketNotEmpty: 409,
  ConditionalRequestConflict: 409,
  EntityTooLarge: 400,
  IllegalLocationConstraintException: 400,
  IncompleteBody: 400,
  InvalidArgument: 400,
  InvalidBucketName: 400,
  InvalidBucketOwnerAWSAccountID: 400,
  InvalidBucketState: 409,
  InvalidDigest: 400,
  InvalidLocationConstraint: 400,
  InvalidRequest: 400,
  KeyTooLongError: 400,
  MalformedPolicy: 400,
  MalformedXML: 400,
  MethodNotAllowed: 405,
  NoSuchBucket: 404,
  NoSuchBucketPolicy: 404,
  NoSuchKey: 404,
  NoSuchObjectLockConfiguration: 404,
  NoSuchVersion: 404,
  NotImplemented: 501,
  ObjectLockConfigurationNotFoundError: 404,
  PermanentRedirect: 301,
  PreconditionFailed: 412,
  SignatureDoesNotMatch: 403,
  XAmzContentSHA256Mismatch: 400,
};

export function accessDenied(message = 'Access Denied'): S3Error {
  return new S3Error('AccessDenied', message);
}

export function invalidArgument(message: string, name: string, value: string): S3Error {
  return new S3Error('InvalidArgument', message, { details: { ArgumentName: name, ArgumentValue: value } });
}

/** What S3 has and this has not: never silently ignored. */
export function notImplemented(what: string): S3Error {
  return new S3Error('NotImplemented', `A header or operation is not part of AWS in miniature: ${what}`);
}

export function errorAnswer(error: AwsError, requestId: string): HttpAnswer {
  const { details, headers } = error instanceof S3Error ? error : { details: {}, headers: {} };
  const content = { Code: error.code, Message: error.message, ...details, RequestId: requestId, HostId: HOST_ID };
  return {
    status: error.status,
    contentType: 'application/xml',
    headers,
    body: `${XML_DECLARATION}<Error>\n${writeXml(content, '  ')}</Error>\n`,
  };
}

export const XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';
/** `x-amz-id-2`: AWS names the machine that answered. */
export const HOST_ID = 'accord-local';
