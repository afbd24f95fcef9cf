/**
 * Encrypts a file under a party's KMS key, in constant memory whatever its size. The format is
 * `enclave/protocol/envelope.ts`; only an enclave that the key's policy names gets the data key from KMS.
 */
import type { RandomSource } from '../../enclave/crypto/random.ts';
import { STREAM } from '../../enclave/crypto/stream.ts';
import type { EncryptionContext } from '../../enclave/protocol/context.ts';
import { envelopeBytes, sealEnvelope } from '../../enclave/protocol/envelope.ts';
import type { EnvelopeHeader } from '../../enclave/protocol/envelope.ts';
import type { DataKeys } from './data-keys.ts';

type Source = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface EncryptOptions {
  readonly dataKeys: DataKeys;
  readonly keyArn: string;
  readonly context: EncryptionContext;
  readonly plaintext: Source;
  /** Where it is known: it is then written into the header, and a source of another length fails. */
  readonly plaintextBytes?: number;
  readonly random: RandomSource;
  readonly signal?: AbortSignal;
}

export interface EncryptedFile {
  readonly header: EnvelopeHeader;
  /** Length of the whole, where that of the plaintext is known. */
  readonly bytes: number | undefined;
  /** The envelope, piece by piece. Once; the data key is erased when it ends, however it ends. */
  readonly content: AsyncGenerator<Uint8Array, void, undefined>;
}

/** Asks KMS for a data key; the work is done as `content` is read. */
export async function encryptFile(options: EncryptOptions): Promise<EncryptedFile> {
  const { dataKeys, keyArn, context, plaintext, plaintextBytes, random, signal } = options;
  const { plaintext: dataKey, ciphertext } = await dataKeys.generate(keyArn, context, signal);
  const header: EnvelopeHeader = {
    keyArn,
    dataKey: ciphertext,
    context,
    noncePrefix: await random(STREAM.prefixBytes),
    ...(plaintextBytes === undefined ? {} : { plaintextBytes }),
  };
  const bytes = plaintextBytes === undefined ? undefined : envelopeBytes(header, plaintextBytes);
  return { header, bytes, content: sealed(header, dataKey, plaintext, signal) };
}

async function* sealed(
  header: EnvelopeHeader,
  dataKey: Uint8Array,
  plaintext: Source,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const piece of sealEnvelope(header, dataKey, plaintext)) {
      signal?.throwIfAborted();
      yield piece;
    }
  } finally {
    dataKey.fill(0);
  }
}
