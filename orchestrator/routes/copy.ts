/** Which of several enclaves a request means, or how many. */
import { Failure } from '../../policies/failure.ts';
import { MOST_COPIES } from '../fleet.ts';

export type CopyCode = 'http/request-invalid';

/** A query parameter as express or the validator read it; undefined where it is absent. */
export function copyNumber(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const number = typeof value === 'string' && /^[1-9]\d?$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= MOST_COPIES) return number;
  throw new Failure<CopyCode>('usage', 'http/request-invalid', `a collaboration has copies 1 to ${MOST_COPIES}`);
}
