import { expect, test } from 'vitest';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { inputContext, modelContext } from '../../../enclave/protocol/context.ts';
import { readEnvelope } from '../../../enclave/protocol/envelope.ts';
import { encryptFile } from '../../../parties/kms/envelope.ts';
import type { EncryptOptions } from '../../../parties/kms/envelope.ts';
import { Failure } from '../../../policies/failure.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { expectSameBytes } from '../../same-bytes.ts';
import { ALICE_KEY } from '../home/new-home.ts';
import { bookKms } from './book-kms.ts';
import { openFile } from './open-file.ts';

const digest = await policyDigest('{}');
const CONTEXT = inputContext({ policyDigest: digest, party: 'alice', function: 'classify' });
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

const collect = async (source: AsyncIterable<Uint8Array>): Promise<Uint8Array> => {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return concat(...parts);
};

async function make(plaintext: Uint8Array, changes: Partial<EncryptOptions> = {}) {
  const kms = bookKms();
  const options = { dataKeys: kms, keyArn: ALICE_KEY, context: CONTEXT, plaintext: [plaintext], random, ...changes };
  const encrypted = await encryptFile(options);
  return { kms, encrypted, envelope: await collect(encrypted.content) };
}

test('a file comes back whole, with one data key of its own', async () => {
  const plaintext = random(60_000);
  const { kms, encrypted, envelope } = await make(plaintext, { plaintextBytes: plaintext.length });
  expect(envelope).toHaveLength(encrypted.bytes ?? 0);
  expect(kms.generated).toBe(1);
  expect((await readEnvelope([envelope])).header.context).toEqual(CONTEXT);
  const back = openFile(kms, [envelope], CONTEXT);
  expectSameBytes(await collect(back), plaintext);
});

test('the plaintext does not show, and equal files do not look equal', async () => {
  const plaintext = new TextEncoder().encode('a text that must not show '.repeat(100));
  const [one, two] = [await make(plaintext), await make(plaintext)];
  expect(Buffer.from(one.envelope).includes('must not show')).toBe(false);
  expect(Buffer.compare(one.envelope.subarray(-500), two.envelope.subarray(-500))).not.toBe(0);
});

test('the data key is overwritten when the work is done, and when it is given up', async () => {
  const { kms } = await make(random(10));
  expect(kms.handedOut.every((key) => key.every((byte) => byte === 0))).toBe(true);
  const abandoned = bookKms();
  const { content } = await encryptFile({ dataKeys: abandoned, keyArn: ALICE_KEY, context: CONTEXT, plaintext: [random(10)], random }); // prettier-ignore
  await content.next();
  await content.return();
  expect(abandoned.handedOut[0]?.every((byte) => byte === 0)).toBe(true);
});

test('KMS binds the data key to the key and to what the file is for; the header says the same', async () => {
  const { kms, encrypted, envelope } = await make(random(10));
  expect(kms.contexts).toEqual([CONTEXT]);
  expect(encrypted.header).toMatchObject({ keyArn: ALICE_KEY, context: CONTEXT });
  const other = modelContext({ policyDigest: digest, party: 'alice', function: 'classify' });
  await expect(collect(openFile(kms, [envelope], other))).rejects.toMatchObject({ code: 'aws/refused' });
  expect(await collect(openFile(kms, [envelope], CONTEXT))).toHaveLength(10);
});

test('a file that changes its length while it is read fails', async () => {
  await expect(make(random(10), { plaintextBytes: 11 })).rejects.toMatchObject({ code: 'envelope/wrong-length' });
});

test('KMS’s own words reach the caller, and nothing was read', async () => {
  const denied = new Failure('refused', 'aws/denied', 'no');
  let read = false;
  function* source(): Generator<Uint8Array> {
    read = true;
    yield new Uint8Array(1);
  }
  const dataKeys = { ...bookKms(), generate: () => Promise.reject(denied) };
  await expect(encryptFile({ dataKeys, keyArn: ALICE_KEY, context: CONTEXT, plaintext: source(), random })).rejects.toBe(denied); // prettier-ignore
  expect(read).toBe(false);
});

test('gigabytes go through in constant memory', async () => {
  const piece = new Uint8Array(1_048_576).fill(3);
  let made = 0;
  let taken = 0;
  let furthest = 0;
  function* source(): Generator<Uint8Array> {
    for (; made < 200; made++) yield piece;
  }
  const kms = bookKms();
  const encrypted = await encryptFile({
    dataKeys: kms,
    keyArn: ALICE_KEY,
    context: CONTEXT,
    plaintext: source(),
    random,
  });
  const opened = openFile(kms, encrypted.content, CONTEXT);
  for await (const part of opened) {
    taken += part.length;
    furthest = Math.max(furthest, made * piece.length - taken);
  }
  expect(taken).toBe(200 * piece.length);
  expect(furthest).toBeLessThan(3 * piece.length);
});
