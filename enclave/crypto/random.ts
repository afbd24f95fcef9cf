/**
 * Randomness is an argument everywhere. Inside the enclave it is a mixture of the Nitro Secure Module's and the
 * kernel's: an enclave has no devices that would feed its kernel, and the module is trusted no further than it must be.
 */
import { concat } from '../encoding/bytes.ts';
import { hkdfExpand, hkdfExtract } from './kdf.ts';

/** So many fresh random bytes, owned by the caller. */
export type RandomSource = (bytes: number) => Promise<Uint8Array> | Uint8Array;

const LABEL = 'accord/v1/random';
const SEED_BYTES = 48;

/**
 * A source that is as good as the best of `sources`: each call takes 48 fresh bytes from every one of them, extracts
 * one key from all (HKDF-SHA-384) and expands it. At most 12,240 bytes a call.
 */
export function mixRandom(sources: readonly RandomSource[]): RandomSource {
  if (sources.length === 0) throw new RangeError('randomness needs at least one source');
  return async (bytes) => {
    const seeds = await Promise.all(sources.map(async (source) => source(SEED_BYTES)));
    for (const seed of seeds) {
      // A module that answers short would silently lower the bar.
      if (seed.length !== SEED_BYTES)
        throw new RangeError(`a source gave ${seed.length} bytes instead of ${SEED_BYTES}`);
    }
    const key = await hkdfExtract(new TextEncoder().encode(LABEL), concat(...seeds));
    return hkdfExpand(key, LABEL, bytes);
  };
}
