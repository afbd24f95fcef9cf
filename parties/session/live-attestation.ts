/**
 * Attestation of the enclave that runs now: connects, says hello with a fresh nonce, judges the welcome against the
 * home's pins, and hangs up. Nothing is sent but the nonce, and no KMS is asked.
 */
import type { RandomSource } from '../../enclave/crypto/random.ts';
import { parseAttestation } from '../attestation/verify.ts';
import type { AttestationDocument, Expectation, VerifiedAttestation } from '../attestation/verify.ts';
import { verifyAttestation } from '../attestation/verify.ts';
import type { FrameChannel } from './channel.ts';
import { greet } from './handshake.ts';
import type { EnclaveExpectation } from './handshake.ts';
import { withPatience } from './patience.ts';
import { SESSION_TIMEOUTS } from './session.ts';

export interface LiveDocument {
  /** As it came over the wire. */
  readonly bytes: Uint8Array;
  readonly document: AttestationDocument;
  /** The expectation in full, with the nonce that was sent. */
  readonly expectation: Expectation;
  /** Throws `Failure<AttestationCode>` where a check says no. */
  verify(): Promise<VerifiedAttestation>;
}

export interface LiveOptions {
  readonly channel: FrameChannel;
  readonly expectation: EnclaveExpectation;
  readonly random: RandomSource;
  readonly now: () => Date;
  readonly greetMs?: number;
  readonly signal?: AbortSignal;
}

/** Fetches a fresh document and closes the channel. Judging it is a step of its own, so that a report can show both. */
export async function fetchLiveDocument(options: LiveOptions): Promise<LiveDocument> {
  const { channel, random, now, signal, greetMs = SESSION_TIMEOUTS.greetMs } = options;
  try {
    const greeting = await withPatience('reaching the enclave', greetMs, signal, (limit) =>
      greet(channel, random, limit),
    );
    const expectation: Expectation = { ...options.expectation, nonce: greeting.nonce, at: now() };
    const document = parseAttestation(greeting.document);
    return { bytes: greeting.document, document, expectation, verify: () => verifyAttestation(document, expectation) };
  } finally {
    await channel.close();
  }
}
