/** What a host driver has in hand between the start of an enclave and its first `serving`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../policies/failure.ts';
import type { RunningEnclave } from './host.ts';

export type ServingCode =
  | 'host/not-serving' // it started, but did not serve in time
  | 'host/enclave-ended'; // it ended before it served

export interface Started {
  readonly enclave: RunningEnclave;
  /** Resolves when the enclave says that it serves. */
  readonly serving: Promise<void>;
}

/** Waits for it for `ms`; one that does not serve, or is no longer wanted, is terminated first. */
export async function whenServing(
  { enclave, serving }: Started,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const settled = new AbortController();
  const stop = signal === undefined ? settled.signal : AbortSignal.any([settled.signal, signal]);
  const outcome = await Promise.race([
    serving.then(() => 'serving' as const),
    enclave.ended,
    sleep(ms, 'late' as const, { signal: stop }).catch(() => 'aborted' as const),
  ]);
  settled.abort();
  if (outcome === 'serving') return;
  if (typeof outcome === 'object') {
    const message = `the enclave ended before it served: ${outcome.reason}`;
    throw new Failure<ServingCode>('environment', 'host/enclave-ended', message);
  }
  const lines = enclave.console().slice(-3).join(' | ');
  await enclave.terminate();
  signal?.throwIfAborted();
  throw new Failure<ServingCode>(
    'environment',
    'host/not-serving',
    `the enclave did not serve within ${ms / 1000} s; it printed: ${lines === '' ? 'nothing' : lines}`,
  );
}
