/**
 * HPKE (RFC 9180) in base mode, one suite and no other:
 *
 *     KEM  0x0020  DHKEM(X25519, HKDF-SHA256)
 *     KDF  0x0001  HKDF-SHA256
 *     AEAD 0x0002  AES-256-GCM
 *
 * Key pairs, the encapsulator's ephemeral one too, are derived from bytes of the given random source (RFC 9180, section
 * 7.1.3), so that randomness stays an argument and both directions can be held against the published vectors.
 */
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_X25519_HKDF_SHA256 } from 'hpke';
import type { KeyPair, RecipientContext, SenderContext } from 'hpke';
import { Failure } from '../../policies/failure.ts';
import { importAeadKey, open, seal } from './aead.ts';
import { concat } from '../encoding/bytes.ts';
import type { RandomSource } from './random.ts';

export type HpkeCode = 'hpke/bad-key' | 'hpke/bad-encapsulation';

export const HPKE = { publicKeyBytes: 32, encapsulationBytes: 32, seedBytes: 32 } as const;

export type { RecipientContext, SenderContext };

export interface HpkeKeyPair {
  /** Raw X25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Never extractable. */
  readonly pair: KeyPair<CryptoKey>;
}

/** The library's, done by `aead.ts`: in this thread. */
const aead = (): ReturnType<typeof AEAD_AES_256_GCM> => ({
  ...AEAD_AES_256_GCM(),
  Seal: async (key, nonce, aad, plaintext) => seal(await importAeadKey(key), nonce, aad, plaintext),
  Open: async (key, nonce, aad, ciphertext) => open(await importAeadKey(key), nonce, aad, ciphertext),
});

const suite = (): CipherSuite<CryptoKey> => new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, aead);

/** A fresh key pair from 32 bytes of `random`. */
export async function generateKeyPair(random: RandomSource): Promise<HpkeKeyPair> {
  const seed = concat(await random(HPKE.seedBytes));
  const pair = await suite().DeriveKeyPair(seed, false);
  seed.fill(0);
  return { publicKey: await suite().SerializePublicKey(pair.publicKey), pair };
}

/** Encapsulates to a public key of 32 bytes. Throws `hpke/bad-key` for one that no honest key generation makes. */
export async function setupSender(
  publicKey: Uint8Array,
  info: Uint8Array,
  random: RandomSource,
): Promise<{ readonly enc: Uint8Array; readonly context: SenderContext }> {
  const recipient = concat(publicKey);
  const bound = concat(info);
  const seed = concat(await random(HPKE.seedBytes));
  const kem = (): ReturnType<typeof KEM_DHKEM_X25519_HKDF_SHA256> => ({
    ...KEM_DHKEM_X25519_HKDF_SHA256(),
    GenerateKeyPair(extractable: boolean) {
      return this.DeriveKeyPair(seed, extractable);
    },
  });
  try {
    const sender = new CipherSuite(kem, KDF_HKDF_SHA256, aead);
    const key = await sender.DeserializePublicKey(recipient);
    const { encapsulatedSecret, ctx } = await sender.SetupSender(key, { info: bound });
    return { enc: encapsulatedSecret, context: ctx };
  } catch (cause) {
    throw new Failure<HpkeCode>('refused', 'hpke/bad-key', 'the public key is not a usable X25519 key', { cause });
  } finally {
    seed.fill(0);
  }
}

/** Throws `hpke/bad-encapsulation` where `enc` is not a usable X25519 key. Wrong contents show at the first `open`. */
export async function setupRecipient(keys: HpkeKeyPair, enc: Uint8Array, info: Uint8Array): Promise<RecipientContext> {
  const encapsulation = concat(enc);
  const bound = concat(info);
  try {
    return await suite().SetupRecipient(keys.pair, encapsulation, { info: bound });
  } catch (cause) {
    throw new Failure<HpkeCode>('refused', 'hpke/bad-encapsulation', 'the encapsulated key is not usable', { cause });
  }
}
