/** Stage 8. PaddedAnswer -> SealedAnswer: readable by the one party at the other end of the channel. */
import type { PaddedAnswer } from '../protocol/answer.ts';
import type { SealedChannel } from '../protocol/session.ts';

const SEALED: unique symbol = Symbol('SealedAnswer');

/** The next answer of this channel. */
export interface SealedAnswer {
  readonly ciphertext: Uint8Array;
  readonly [SEALED]: true;
}

export async function seal(channel: SealedChannel, padded: PaddedAnswer): Promise<SealedAnswer> {
  return { ciphertext: await channel.seal(padded), [SEALED]: true };
}
