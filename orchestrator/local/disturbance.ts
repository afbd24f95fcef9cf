/**
 * Trouble on demand, for tests in this process: a request is answered with an error in place of being done, or although it
 * was done; or the connection ends without an answer. `accord local-aws` never disturbs anything.
 */
import { AwsError } from './errors.ts';
import type { Service } from './errors.ts';

export interface DisturbedRequest {
  readonly service: Service;
  /** For example `PutObject`. */
  readonly operation: string;
  /** ARN of the caller. */
  readonly principal: string;
  /** Of S3, else empty. */
  readonly bucket: string;
  readonly key: string;
}

/** The code decides the service's answer: `InternalError` 500, `SlowDown` 503, `ConditionalRequestConflict` 409. */
export interface Refusal {
  readonly code: string;
  readonly status: number;
  readonly message?: string;
}

export interface Disturbance {
  /** Whether the request is done all the same. */
  readonly done: boolean;
  readonly answer: Refusal | 'hang-up';
}

/** Asked once the signature holds; may wait before it answers. Undefined lets the request be. */
export type Disturb = (request: DisturbedRequest) => Disturbance | undefined | Promise<Disturbance | undefined>;

/** Two conditional writes of one key at once: S3 lets one through and may tell the other to come again. */
export const CONFLICT: Refusal = {
  code: 'ConditionalRequestConflict',
  status: 409,
  message: 'The conditional request cannot succeed due to a conflicting operation against this resource.',
};

export function refusalError({ code, status, message }: Refusal): AwsError {
  return new AwsError(code, message ?? 'We encountered an internal error. Please try again.', status);
}
