/** Why a jail gave no answer. Every one is one refused call; the next call meets a fresh process. */
import { Failure, type FailureKind } from '../../policies/failure.ts';

export type JailCode =
  | 'jail/input-invalid' // the caller's input is not what the function takes
  | 'jail/output-invalid' // the model's output does not fit the function's schema
  | 'jail/compute-failed' // a process died, or broke the protocol
  | 'jail/compute-timeout' // not done in time, and killed
  | 'jail/not-started'; // the processes cannot be started at all

const KINDS = {
  'jail/input-invalid': 'malformed',
  'jail/output-invalid': 'malformed',
  'jail/compute-failed': 'environment',
  'jail/compute-timeout': 'environment',
  'jail/not-started': 'environment',
} as const satisfies Record<JailCode, FailureKind>;

/** `message` is for the caller alone, to whom `padAnswer` gives its first 200 characters: never words of a jail that has seen weights. */
export function jailFailure(code: JailCode, message: string): Failure<JailCode> {
  return new Failure<JailCode>(KINDS[code], code, message);
}
