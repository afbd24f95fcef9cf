/** Data keys out of a book: KMS as an argument, with the binding to key and context, and a count of what was asked. */
import type { DataKeys } from '../../../parties/kms/data-keys.ts';
import { canonicalize } from '../../../policies/canonical.ts';
import { Failure } from '../../../policies/failure.ts';

export interface BookKms extends DataKeys {
  readonly generated: number;
  /** KMS `Decrypt`: gives the key back under the key ARN and context that it was made for, and under no other. */
  decrypt(keyArn: string, ciphertext: Uint8Array, context: Readonly<Record<string, string>>): Promise<Uint8Array>;
  /** The very arrays that callers were given. */
  readonly handedOut: readonly Uint8Array[];
  /** The contexts of `generate`. */
  readonly contexts: readonly Readonly<Record<string, string>>[];
}

export function bookKms(): BookKms {
  const book = new Map<string, { readonly key: Uint8Array; readonly bound: string }>();
  const handedOut: Uint8Array[] = [];
  const contexts: Readonly<Record<string, string>>[] = [];
  let generated = 0;
  const bind = (keyArn: string, context: Readonly<Record<string, string>>): string => canonicalize([keyArn, context]);
  const handOut = (key: Uint8Array): Uint8Array => {
    const copy = new Uint8Array(key);
    handedOut.push(copy);
    return copy;
  };
  return {
    get generated() {
      return generated;
    },
    handedOut,
    contexts,
    async generate(keyArn, context) {
      generated++;
      contexts.push(context);
      const key = crypto.getRandomValues(new Uint8Array(32));
      const ciphertext = crypto.getRandomValues(new Uint8Array(180));
      book.set(ciphertext.join(), { key, bound: bind(keyArn, context) });
      return { plaintext: handOut(key), ciphertext };
    },
    async decrypt(keyArn, ciphertext, context) {
      const found = book.get(ciphertext.join());
      if (found?.bound === bind(keyArn, context)) return handOut(found.key);
      throw new Failure('refused', 'aws/refused', 'InvalidCiphertextException');
    },
  };
}
