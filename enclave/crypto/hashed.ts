import type { Hash } from 'node:crypto';

/** Hands the parts on, and has `hash` see each. */
export async function* hashed(
  source: AsyncIterable<Uint8Array>,
  hash: Hash,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const part of source) {
    hash.update(part);
    yield part;
  }
}
