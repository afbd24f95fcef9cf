/** Opens an envelope as an enclave would whose KMS is a book; the check of its context is the book's. */
import { readEnvelope } from '../../../enclave/protocol/envelope.ts';
import type { EncryptionContext } from '../../../enclave/protocol/context.ts';
import type { BookKms } from './book-kms.ts';

export async function* openFile(
  kms: BookKms,
  envelope: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  context: EncryptionContext,
): AsyncGenerator<Uint8Array, void, undefined> {
  const found = await readEnvelope(envelope);
  const { keyArn, dataKey } = found.header;
  yield* found.open(await kms.decrypt(keyArn, dataKey, context));
}
