/** KMS's envelope for the enclave: a CMS EnvelopedData in BER, opened with the enclave's key. */
import { openForRecipient, readEnvelopedData } from '../../../enclave/kms/recipient.ts';
import type { RecipientCode } from '../../../enclave/kms/recipient.ts';
import { envelopedParts, writeEnvelopedData } from '../../enclave/kms/enveloped-data.ts';
import type { Form } from '../../enclave/kms/enveloped-data.ts';
import { makeRecipientKey } from '../../enclave/kms/recipient-key.ts';
import { mutate } from '../mutate.ts';
import { codesOf } from '../target.ts';
import type { Target } from '../target.ts';
import { readTlv, varyTlv, writeTlv } from '../tlv.ts';

export const RECIPIENT_CODES: ReadonlySet<string> = codesOf<RecipientCode>({
  'kms/ber-malformed': true,
  'kms/envelope-malformed': true,
  'kms/envelope-unopened': true,
});

const FORMS: readonly Form[] = ['indefinite', 'definite', 'primitive', 'two-chunks'];
/** Opening costs a private RSA operation, which says little of parsing: one in so many. */
const OPENED = 64;

export async function open(): Promise<Target> {
  const key = await makeRecipientKey();
  const parts = await envelopedParts(key.spki, new Uint8Array(32).fill(7));
  const long = await envelopedParts(key.spki, new Uint8Array(4_096).fill(8));
  let turn = 0;
  return {
    codes: RECIPIENT_CODES,
    seeds: [...FORMS.map((form) => writeEnvelopedData(parts, form)), writeEnvelopedData(long)],
    vary(bytes, random) {
      const tree = readTlv(bytes);
      if (tree === undefined) return mutate(bytes, random, { others: [bytes], words: [], maxBytes: bytes.length + 8 });
      return writeTlv(varyTlv(tree, random));
    },
    maxBytes: 6_400,
    run(bytes) {
      readEnvelopedData(bytes);
      turn += 1;
      return turn % OPENED === 0 ? openForRecipient(bytes, key).then(() => 'opened') : 'read';
    },
  };
}
