/**
 * A fresh attestation document of the enclave that runs now: connects, says hello with a fresh nonce, takes the welcome,
 * and hangs up. Nothing is sent but the nonce, and no KMS is asked. Judging the document is for the caller, who may want
 * to show it whatever the verdict.
 */
import type { RandomSource } from '../../enclave/crypto/random.ts';
import type { Expectation } from '../attestation/verify.ts';
import type { FrameChannel } from './channel.ts';
import { greet } from './handshake.ts';
import type { EnclaveExpectation } from './handshake.ts';
import { withPatience } from './patience.ts';
import { SESSION_TIMEOUTS } from './session.ts';

export interface LiveDocument {
  /** As it came over the wire, unjudged. */
  readonly bytes: Uint8Array;
  /** The expectation in full: with the nonce that was sent, and the time at which the document came. */
  readonly expectation: Expectation;
}

export interface LiveOptions {
  readonly channel: FrameChannel;
  readonly expectation: EnclaveExpectation;
  readonly random: RandomSource;
  readonly now: () => Date;
  readonly greetMs?: number;
  readonly signal?: AbortSignal;
}

/** Closes the channel, whatever happens. */
export async function fetchLiveDocument(options: LiveOptions): Promise<LiveDocument> {
  const { channel, random, now, signal, greetMs = SESSION_TIMEOUTS.greetMs } = options;
  try {
    const greeting = await withPatience('reaching the enclave', greetMs, signal, (limit) =>
      greet(channel, random, limit),
    );
    return { bytes: greeting.document, expectation: { ...options.expectation, nonce: greeting.nonce, at: now() } };
  } finally {
    await channel.close();
  }
}
