import { Failure } from '../../policies/failure.ts';

/** The code with which the work is refused; `accepted` where it is not. Any other error is thrown on. */
export function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
  return 'accepted';
}
