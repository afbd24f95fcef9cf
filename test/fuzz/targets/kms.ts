/** Answers of KMS, from the wire to the key inside: HTTP, the SDK's reader, the gate's checks, the envelope. */
import { Agent } from 'node:https';
import { attestedKms } from '../../../enclave/kms/attested.ts';
import { createKms } from '../../../enclave/kms/client.ts';
import type { KmsCode } from '../../../enclave/kms/client.ts';
import { envelopedParts, writeEnvelopedData } from '../../enclave/kms/enveloped-data.ts';
import { makeRecipientKey } from '../../enclave/kms/recipient-key.ts';
import { allCodes, codesOf, demand } from '../target.ts';
import type { Target } from '../target.ts';
import { varyJson } from '../trees.ts';
import { RECIPIENT_CODES } from './cms.ts';
import { httpReply, mendReply, startReplies, varyReply } from './http-replies.ts';

const KEY_ARN = 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001';
const JSON_TYPE = { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': 'a-b-c' };
const WORDS = ['AccessDeniedException', 'ThrottlingException', 'KMSInternalException', '"__type"', 'HTTP/1.1 200 OK', 'HTTP/1.1 400 Bad Request', 'HTTP/1.1 301 Moved', 'transfer-encoding: chunked\r\n', 'content-encoding: gzip\r\n', 'date: never\r\n', 'x-amzn-errortype: A:B\r\n', 'null', '"Plaintext"', '"CiphertextForRecipient"', '"CiphertextBlob"']; // prettier-ignore

export async function open(): Promise<Target> {
  const replies = await startReplies();
  const key = await makeRecipientKey();
  const trust = {
    attestationRoot: '',
    tlsRoots: [],
    endpoints: { kms: replies.url, sts: replies.url, s3: replies.url },
  };
  const client = createKms({ trust, agent: new Agent(), clockOffset: async () => 0 });
  const kms = attestedKms(client, Promise.resolve(key), async () => Uint8Array.of(1, 2, 3));
  const envelope = writeEnvelopedData(await envelopedParts(key.spki, new Uint8Array(32).fill(7)));
  const CiphertextForRecipient = Buffer.from(envelope).toString('base64');
  const answer = { KeyId: KEY_ARN, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT', CiphertextForRecipient };
  const request = {
    keyArn: KEY_ARN,
    context: { purpose: 'session' },
    credentials: { accessKeyId: 'AKIA', secretAccessKey: 'secret', sessionToken: 'token' },
  };
  const json = (status: string, body: object): Uint8Array => httpReply(status, JSON.stringify(body), JSON_TYPE);
  return {
    codes: allCodes(RECIPIENT_CODES, CODES),
    refusedSeeds: ['kms/unattested', 'kms/refused'],
    seeds: [
      json('200 OK', answer),
      json('200 OK', { ...answer, CiphertextBlob: 'AQID' }),
      json('200 OK', { ...answer, Plaintext: 'AAAA' }),
      json('400 Bad Request', { __type: 'AccessDeniedException', message: 'no' }),
      json('400 Bad Request', { __type: 'com.amazonaws.kms#DisabledException', Message: 'no' }),
    ],
    vary: varyReply(varyJson),
    repair: mendReply,
    words: WORDS,
    limitMs: 10_000,
    // An SDK client is made for each request.
    limitBytes: (bytes) => 32 * 1024 * 1024 + 128 * bytes,
    async run(input) {
      replies.set(input);
      const signal = AbortSignal.timeout(15_000);
      if (!Buffer.from(input).includes('CiphertextBlob')) {
        const opened = await kms.decrypt({ ...request, ciphertext: Uint8Array.of(1) }, signal);
        return opened.length === 32 ? 'a key' : 'another plaintext';
      }
      const { plaintext, ciphertext } = await kms.generateDataKey(request, signal);
      demand(plaintext.length === 32 && ciphertext instanceof Uint8Array, 'a data key of another length');
      return 'a data key';
    },
    close: () => replies.close(),
  };
}

const CODES = codesOf<KmsCode | 'kms/other-key'>({
  'kms/refused': true,
  'kms/unavailable': true,
  'kms/unattested': true,
  'kms/other-key': true,
});
