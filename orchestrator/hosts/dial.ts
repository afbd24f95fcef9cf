/** A dial to a port inside an enclave: tried again until something listens there, for a while, or until the enclave is gone. */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../policies/failure.ts';

export type DialCode =
  | 'host/enclave-gone' // it has ended
  | 'host/not-listening'; // nothing inside listens on that port

export interface DialOptions {
  readonly port: number;
  /** Aborted when the enclave has ended. */
  readonly gone: AbortSignal;
  /** How long it is tried in all. */
  readonly dialMs: number;
  /** Between two tries. */
  readonly retryMs: number;
}

/** `once` gets the number of the try, from 0 on; it gives undefined where nobody answered. Throws `Failure<DialCode>`. */
export async function dialUntil(
  { port, gone, dialMs, retryMs }: DialOptions,
  once: (attempt: number) => Promise<Duplex | undefined>,
): Promise<Duplex> {
  const deadline = performance.now() + dialMs;
  for (let attempt = 0; ; attempt++) {
    if (gone.aborted) {
      throw new Failure<DialCode>('environment', 'host/enclave-gone', 'the enclave has ended', {
        hint: 'start it again with `accord run POLICY`',
      });
    }
    const connection = await once(attempt);
    if (connection !== undefined) return connection;
    if (performance.now() > deadline) {
      throw new Failure<DialCode>(
        'environment',
        'host/not-listening',
        `nothing in the enclave listens on port ${port}`,
        { hint: 'read what it printed with `accord console`' },
      );
    }
    await sleep(retryMs);
  }
}
