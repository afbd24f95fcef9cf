/** Whether an enclave still runs. nitro-cli has no way to wait for an end, so it is asked again and again, ever less often. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface WatchOptions {
  /** Whether nitro-cli lists it; rejects where that could not be found out. */
  readonly isListed: () => Promise<boolean>;
  /** Resolves when the enclave's own connection has ended: time to look at once. */
  readonly lifeLineEnded: Promise<void>;
  readonly pauses?: Partial<Pauses>;
}

export interface Pauses {
  readonly firstMs: number;
  readonly mostMs: number;
}

const PAUSES: Pauses = { firstMs: 250, mostMs: 15_000 };

/** Resolves when it was missing from two lists in a row: one alone may have been made while its process was busy. */
export async function untilGone({ isListed, lifeLineEnded, pauses }: WatchOptions): Promise<void> {
  const { firstMs, mostMs } = { ...PAUSES, ...pauses };
  let wake: Promise<void> | undefined = lifeLineEnded;
  let pause = firstMs;
  let absences = 0;
  for (;;) {
    const woken = await pauseUnless(pause, wake);
    if (woken) {
      wake = undefined;
      pause = firstMs;
    } else {
      pause = Math.min(pause * 2, mostMs);
    }
    const listed = await isListed().catch(() => undefined);
    if (listed === undefined) continue;
    absences = listed ? 0 : absences + 1;
    if (absences >= 2) return;
    if (absences === 1) pause = firstMs;
  }
}

/** True where `wake` came first. */
async function pauseUnless(ms: number, wake: Promise<void> | undefined): Promise<boolean> {
  if (wake === undefined) {
    await sleep(ms);
    return false;
  }
  const settled = new AbortController();
  const woken = await Promise.race([
    wake.then(() => true),
    sleep(ms, false, { signal: settled.signal }).catch(() => false),
  ]);
  settled.abort();
  return woken;
}
