/** What goes out to KMS for the state's keys, and what the enclave makes of each answer. */
import { Agent } from 'node:https';
import { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { createKms } from '../../../enclave/kms/client.ts';
import type { Kms } from '../../../enclave/kms/client.ts';
import { KEY_ARNS } from '../harness.ts';
import { CREDENTIALS } from '../peer.ts';

const REQUEST = {
  keyArn: KEY_ARNS.alice,
  context: { 'accord:purpose': 'state', 'accord:party': 'alice' },
  credentials: CREDENTIALS,
  attestation: Uint8Array.of(1, 2, 3),
};
const ANSWER = { KeyId: KEY_ARNS.alice, CiphertextBlob: 'AQID', CiphertextForRecipient: 'BAUG', Plaintext: '' };

/** KMS that gives this answer, and what it was asked. */
function answering(status: number, body: object): { readonly kms: Kms; readonly asked: string[] } {
  const asked: string[] = [];
  const text = JSON.stringify(body);
  const head = `HTTP/1.1 ${status} x\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: ${text.length}\r\n\r\n`;
  const agent = Object.assign(new Agent(), {
    createConnection: () => {
      let heard = '';
      return new Duplex({
        read() {},
        write(chunk, _encoding, done) {
          heard += String(chunk);
          const [, length = ''] = /content-length: (\d+)/i.exec(heard) ?? [];
          const start = heard.indexOf('\r\n\r\n') + 4;
          if (start >= 4 && heard.length - start >= Number(length)) {
            asked.push(heard);
            heard = '';
            this.push(head + text);
          }
          done();
        },
      });
    },
  });
  return { kms: createKms({ trust: 'aws', agent, clockOffset: () => Promise.resolve(0) }), asked };
}

const generate = ({ kms }: { readonly kms: Kms }): Promise<unknown> =>
  kms.generateDataKey(REQUEST, new AbortController().signal);

test('a data key of 256 bits is asked for with context and document, in the name of the credentials', async () => {
  const { kms, asked } = answering(200, ANSWER);
  expect(await kms.generateDataKey(REQUEST, new AbortController().signal)).toEqual({
    keyArn: KEY_ARNS.alice,
    ciphertext: Uint8Array.of(1, 2, 3),
    envelope: Uint8Array.of(4, 5, 6),
  });
  expect(asked).toHaveLength(1);
  expect(asked[0]).toMatch(/x-amz-target: TrentService\.GenerateDataKey\r\n/i);
  expect(asked[0]).toContain(`Credential=${CREDENTIALS.accessKeyId}/`);
  expect(JSON.parse(asked[0]?.split('\r\n\r\n')[1] ?? '')).toEqual({
    KeyId: KEY_ARNS.alice,
    KeySpec: 'AES_256',
    EncryptionContext: REQUEST.context,
    Recipient: { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: 'AQID' },
  });
});

test.each([
  ['with the key in the clear', { ...ANSWER, Plaintext: 'AAAA' }],
  ['without an envelope', { KeyId: KEY_ARNS.alice, CiphertextBlob: 'AQID' }],
  ['without a ciphertext to keep', { KeyId: KEY_ARNS.alice, CiphertextForRecipient: 'BAUG' }],
  ['with a list for a ciphertext', { ...ANSWER, CiphertextBlob: [['AQID']] }],
  ['with a list for an envelope', { ...ANSWER, CiphertextForRecipient: ['BAUG'] }],
  ['with a number for the key in the clear', { ...ANSWER, Plaintext: 7 }],
])('an answer %s is none', async (_, body) => {
  await expect(generate(answering(200, body))).rejects.toMatchObject({ kind: 'refused', code: 'kms/unattested' });
});

test.each([
  [400, 'AccessDeniedException', 'kms/refused', 1],
  [400, 'DisabledException', 'kms/refused', 1],
  [400, 'KMSInvalidStateException', 'kms/refused', 1],
  [400, 'ThrottlingException', 'kms/unavailable', 2],
  [500, 'KMSInternalException', 'kms/unavailable', 2],
  [503, 'ServiceUnavailable', 'kms/unavailable', 2],
] as const)('%i %s is %s, after so many attempts: %i', async (status, name, code, attempts) => {
  const scripted = answering(status, { __type: name, message: 'no' });
  await expect(generate(scripted)).rejects.toMatchObject({ code, where: name });
  expect(scripted.asked).toHaveLength(attempts);
});
