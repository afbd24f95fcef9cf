/**
 * Encrypts a file under a party's KMS key, in constant memory whatever its size, and opens one's own again. The format
 * is `enclave/protocol/envelope.ts`; only an enclave that the key's policy names gets the data key from KMS.
 */
import type { RandomSource } from '../../enclave/crypto/random.ts';
import { STREAM } from '../../enclave/crypto/stream.ts';
import type { EncryptionContext } from '../../enclave/protocol/context.ts';
import { sameContext } from '../../enclave/protocol/context.ts';
import { envelopeBytes, readEnvelope, sealEnvelope } from '../../enclave/protocol/envelope.ts';
import type { EnvelopeHeader } from '../../enclave/protocol/envelope.ts';
import { Failure } from '../../policies/failure.ts';
import type { DataKeys } from './data-keys.ts';

export type PartyEnvelopeCode = 'envelope/other-key' | 'envelope/other-context';

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

export interface DecryptOptions {
  readonly dataKeys: DataKeys;
  readonly envelope: Source;
  /** The key that must have made it. */
  readonly keyArn: string;
  /** What it must have been made for; the header's own word is not taken. */
  readonly context: EncryptionContext;
  readonly signal?: AbortSignal;
}

/**
 * Opens an envelope with the caller's own right to the key, which an Accord key policy denies to everybody: for keys
 * without one, and for tests. What is yielded must not be acted on before the generator is done.
 */
export async function* decryptFile(options: DecryptOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const { dataKeys, envelope, keyArn, context, signal } = options;
  const read = await readEnvelope(envelope);
  const { header } = read;
  if (header.keyArn !== keyArn) {
    throw new Failure<PartyEnvelopeCode>('refused', 'envelope/other-key', 'the file is encrypted under another key', {
      where: header.keyArn,
    });
  }
  if (!sameContext(header.context, context)) {
    throw new Failure<PartyEnvelopeCode>(
      'refused',
      'envelope/other-context',
      'the file was encrypted for something else',
      {
        where: JSON.stringify(header.context),
        hint: 'the context names policy, party, purpose and function; each must be as it was',
      },
    );
  }
  const dataKey = await dataKeys.decrypt(keyArn, header.dataKey, context, signal);
  try {
    yield* read.open(dataKey);
  } finally {
    dataKey.fill(0);
  }
}
