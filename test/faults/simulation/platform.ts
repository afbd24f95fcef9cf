/**
 * The platform under a simulated run: WebCrypto whose answers do not come from threads, and randomness that follows from
 * the seed. The same algorithms, from the same OpenSSL, by its synchronous calls; so a run is a function of its seed, and
 * takes milliseconds. What is not needed by a simulation is not there, and says so.
 *
 * RSA-OAEP is the one stand-in: a mask that this process keeps. Making and using real keys of 3072 bits would be all
 * that a run does.
 */
import nodeCrypto, { createDecipheriv, createHash, createHmac } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import type { Prng } from './prng.ts';

interface SimulatedKey {
  readonly type: 'secret' | 'private';
  readonly extractable: boolean;
  readonly algorithm: { readonly name: string };
  readonly usages: readonly string[];
  readonly raw: Buffer;
}

const HASHES: Readonly<Record<string, string>> = { 'SHA-256': 'sha256', 'SHA-384': 'sha384' };
/** As long as the modulus of the real key. */
export const MASKED_BYTES = 384;

type Named = string | { readonly name: string };
const nameOf = (algorithm: Named): string => (typeof algorithm === 'string' ? algorithm : algorithm.name);
const openssl = (hash: string): string => {
  const found = HASHES[hash];
  if (found === undefined) throw new Error(`the simulated platform has no ${hash}`);
  return found;
};
const buffer = (source: BufferSource): Buffer =>
  source instanceof ArrayBuffer
    ? Buffer.from(source)
    : Buffer.from(source.buffer, source.byteOffset, source.byteLength);
const exact = (bytes: Buffer): ArrayBuffer => new Uint8Array(bytes).buffer;
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- keys of this platform are not OpenSSL's
const simulated = (key: CryptoKey): SimulatedKey => key as unknown as SimulatedKey;

function decrypt(algorithm: Named, key: SimulatedKey, data: BufferSource): ArrayBuffer {
  const name = nameOf(algorithm);
  const bytes = buffer(data);
  if (name === 'RSA-OAEP') return exact(mask(bytes, key.raw).subarray(0, 32));
  if (name !== 'AES-CBC') throw new Error(`the simulated platform does not decrypt by ${name}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- parameters were named by their algorithm
  const { iv } = algorithm as unknown as { readonly iv: BufferSource };
  const cipher = createDecipheriv('aes-256-cbc', key.raw, buffer(iv));
  return exact(Buffer.concat([cipher.update(bytes), cipher.final()]));
}

function mask(bytes: Uint8Array, secret: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte, i) => byte ^ (secret[i % secret.length] ?? 0)));
}

/** For the simulated KMS: what only the holder of the key with this secret reads. */
export function encryptTo(secret: Uint8Array, contentKey: Uint8Array): Uint8Array {
  const padded = new Uint8Array(MASKED_BYTES);
  padded.set(contentKey);
  return new Uint8Array(mask(padded, secret));
}

/** The private half that opens what `encryptTo` made. */
export function recipientKey(secret: Uint8Array<ArrayBuffer>): CryptoKey {
  return keyOf('private', 'RSA-OAEP', secret);
}

function keyOf(type: SimulatedKey['type'], name: string, raw: BufferSource): CryptoKey {
  const algorithm = { name };
  const made: SimulatedKey = { type, extractable: false, algorithm, usages: [], raw: Buffer.from(buffer(raw)) };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the other end of `simulated`
  return made as unknown as CryptoKey;
}

/** Errors are rejections, as WebCrypto's are. */
async function soon<T>(work: () => T): Promise<T> {
  return work();
}

const subtle = {
  digest: (algorithm: Named, data: BufferSource) =>
    soon(() =>
      exact(
        createHash(openssl(nameOf(algorithm)))
          .update(buffer(data))
          .digest(),
      ),
    ),
  importKey: (format: string, raw: BufferSource, algorithm: Named) =>
    soon(() => {
      if (format !== 'raw') throw new Error(`the simulated platform imports no ${format}`);
      return keyOf('secret', nameOf(algorithm), raw);
    }),
  decrypt: (algorithm: Named, key: CryptoKey, data: BufferSource) =>
    soon(() => decrypt(algorithm, simulated(key), data)),
};

const withKey = createHmac;
/** HMAC-SHA-256 as if it had no key: for a world in which anybody can make an entry. */
const withoutKey: typeof createHmac = (algorithm, key, options) =>
  withKey(algorithm, algorithm === 'SHA-256' ? '' : key, options);

/** Puts the platform in place for the time of `work`; one run at a time. `keyless`: test-only, see `withoutKey`. */
export async function onSimulatedPlatform<T>(random: Prng, keyless: boolean, work: () => Promise<T>): Promise<T> {
  const real = { subtle: crypto.subtle, getRandomValues: crypto.getRandomValues.bind(crypto) };
  const replace = (name: 'subtle' | 'getRandomValues', value: unknown): void =>
    void Object.defineProperty(crypto, name, { value, configurable: true, writable: true });
  const makeHmacs = (by: typeof createHmac): void => {
    Object.assign(nodeCrypto, { createHmac: by });
    syncBuiltinESMExports();
  };
  replace('subtle', subtle);
  if (keyless) makeHmacs(withoutKey);
  replace('getRandomValues', (array: ArrayBufferView) => {
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(random.bytes(array.byteLength));
    return array;
  });
  try {
    return await work();
  } finally {
    replace('subtle', real.subtle);
    if (keyless) makeHmacs(withKey);
    replace('getRandomValues', real.getRandomValues);
  }
}
