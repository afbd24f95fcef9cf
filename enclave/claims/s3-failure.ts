/** What S3's refusals mean, by their names. A request that got no final answer may have been done all the same. */
import { Failure } from '../../policies/failure.ts';

export type S3Code =
  | 's3/unavailable' // no answer, or none that is final: the request may have been done
  | 's3/refused' // no permission, or another refusal
  | 's3/credential' // S3 does not know the access key, or its signature does not fit
  | 's3/wrong-owner' // the bucket is of another account
  | 's3/wrong-region' // the bucket is in another Region
  | 's3/clock-skew' // S3 finds the request's time wrong
  | 's3/no-bucket'
  | 's3/no-lock' // the bucket has no Object Lock
  | 's3/oversize' // an object that is no entry
  | 's3/too-many-versions';

/** An answer that said no. */
export interface S3Answer {
  readonly status: number;
  /** `AccessDenied`, `NoSuchBucket`… */
  readonly name: string;
  /** Where the bucket is, if S3 says so. */
  readonly region?: string;
}

/** Undefined where there was no answer. */
export function answerOf(error: unknown): S3Answer | undefined {
  const status = numberAt(at(error, '$metadata'), 'httpStatusCode');
  if (status === undefined) return undefined;
  const headers = at(at(error, '$response'), 'headers');
  const region = [at(headers, 'x-amz-bucket-region'), at(error, 'Region')].find(isRegion);
  const name = error instanceof Error ? error.name : 'unknown';
  return { status, name, ...(region === undefined ? {} : { region }) };
}

const TRANSIENT = /^(SlowDown|RequestTimeout|InternalError|ServiceUnavailable|Throttling\w*|TooManyRequests\w*)$/;
const CODES: Readonly<Record<string, S3Code>> = {
  NoSuchBucket: 's3/no-bucket',
  ObjectLockConfigurationNotFoundError: 's3/no-lock',
  PermanentRedirect: 's3/wrong-region',
  TemporaryRedirect: 's3/wrong-region',
  AuthorizationHeaderMalformed: 's3/wrong-region',
  IllegalLocationConstraintException: 's3/wrong-region',
  RequestTimeTooSkewed: 's3/clock-skew',
  RequestExpired: 's3/clock-skew',
  InvalidAccessKeyId: 's3/credential',
  SignatureDoesNotMatch: 's3/credential',
  InvalidToken: 's3/credential',
  ExpiredToken: 's3/credential',
};
const MESSAGES: Readonly<Record<S3Code, string>> = {
  's3/unavailable': 'S3 could not be reached, or gave no final answer',
  's3/refused': 'S3 refused the request',
  's3/credential': 'S3 does not take the access key',
  's3/wrong-owner': 'the bucket belongs to another account',
  's3/wrong-region': 'the bucket is in another Region',
  's3/clock-skew': "S3 finds the request's time wrong",
  's3/no-bucket': 'there is no such bucket',
  's3/no-lock': 'the bucket has no Object Lock',
  's3/oversize': 'the object is larger than any entry',
  's3/too-many-versions': 'the object has more versions than are read',
};

export function s3Failure(error: unknown): Failure<S3Code> {
  const answer = answerOf(error);
  if (answer === undefined) return failed('s3/unavailable', nameOf(error), error);
  const { status, name, region } = answer;
  if (status === 301) return failed('s3/wrong-region', region ?? name, error);
  if (status >= 500 || status === 429 || status < 400 || TRANSIENT.test(name))
    return failed('s3/unavailable', name, error);
  const code = CODES[name] ?? (name === 'InvalidRequest' && /object ?lock/i.test(textOf(error)) ? 's3/no-lock' : 's3/refused'); // prettier-ignore
  return failed(code, code === 's3/wrong-region' ? (region ?? name) : name, error);
}

/** `where`: what S3 called it, or the Region in which the bucket is. */
export function failed(code: S3Code, where: string, cause?: unknown): Failure<S3Code> {
  const kind = code === 's3/unavailable' ? 'environment' : 'refused';
  return new Failure(kind, code, MESSAGES[code], { where, cause });
}

export function isS3Failure(error: unknown, ...codes: readonly S3Code[]): boolean {
  return error instanceof Failure && codes.some((code) => error.code === code);
}

/** Of what stood between: the relay's refusal, a reset, a time-out. */
function nameOf(error: unknown): string {
  if (error instanceof Failure) return error.code;
  return error instanceof Error ? error.name : 'unknown';
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : '');

function at(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function numberAt(value: unknown, name: string): number | undefined {
  const found = at(value, name);
  return typeof found === 'number' ? found : undefined;
}

function isRegion(value: unknown): value is string {
  return typeof value === 'string' && /^[a-z]{2}(-[a-z]+)+-\d$/.test(value);
}
