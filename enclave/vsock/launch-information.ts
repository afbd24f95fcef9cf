/**
 * The enclave's first question to its host. The host may not be listening yet (it starts the enclave first, or a bridge
 * is still coming up), and a connection to nobody may hang instead of failing: short attempts, and a bounded number.
 */
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { within } from '../deadline.ts';
import type { Host, LaunchInformation } from './host.ts';

const ATTEMPTS = 15;
const ATTEMPT_MS = 1_000;
const PAUSE_MS = 200;

/** Asks until the host answers. An answer that is none is final. */
export async function launchInformation(host: Host, timers: Timers): Promise<LaunchInformation> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await within(timers, ATTEMPT_MS, "the host's launch information", (signal) => host.launch(signal));
    } catch (error) {
      const isAnswer = error instanceof Failure && error.kind !== 'environment';
      if (isAnswer || attempt >= ATTEMPTS) throw error;
    }
    await new Promise<void>((resolve) => void timers(PAUSE_MS, resolve));
  }
}
