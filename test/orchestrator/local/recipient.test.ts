/** `Recipient`: documents of the local issuer through the whole of KMS, and the shape of what comes back. */
import {
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateRandomCommand,
  PutKeyPolicyCommand,
  ReEncryptCommand,
} from '@aws-sdk/client-kms';
import { createPublicKey, generateKeyPairSync, webcrypto } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../../enclave/crypto/digest.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { openForRecipient, readEnvelopedData } from '../../../enclave/kms/recipient.ts';
import type { RecipientKey } from '../../../enclave/kms/recipient.ts';
import { envelopeFor } from '../../../orchestrator/local/kms/envelope.ts';
import { createAttestationIssuer } from '../../../orchestrator/local/attestation-issuer.ts';
import { describeWithVectors } from '../../vectors.ts';
import { ALICE, localAws, outcome } from './fixture.ts';

const NOW = { ahead: 0 };
const fixture = localAws(() => Date.now() + NOW.ahead);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const PCR0 = new Uint8Array(48).fill(7);
const ZEROS = new Uint8Array(48);
let key: RecipientKey;

async function recipientKey(modulusLength: number): Promise<RecipientKey> {
  const pair = await webcrypto.subtle.generateKey(
    { name: 'RSA-OAEP', modulusLength, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' },
    true,
    ['encrypt', 'decrypt'],
  );
  const spki = new Uint8Array(await webcrypto.subtle.exportKey('spki', pair.publicKey));
  return { privateKey: pair.privateKey, spki, id: await sha256(spki) };
}

beforeAll(async () => {
  key = await recipientKey(2048);
});

interface Claimed {
  readonly pcr0?: Uint8Array;
  readonly publicKey?: Uint8Array | undefined;
  readonly timestamp?: number;
}

async function document({ pcr0 = PCR0, publicKey = key.spki, timestamp }: Claimed = {}): Promise<Uint8Array> {
  return await fixture.aws.issuer.sign({
    moduleId: 'i-0123456789abcdef0-enc0123456789abcdef',
    pcrs: new Map([
      [0, pcr0],
      [1, ZEROS.slice().fill(1)],
      [2, ZEROS.slice().fill(2)],
    ]),
    publicKey,
    ...(timestamp === undefined ? {} : { timestamp }),
  });
}

const recipient = (AttestationDocument: Uint8Array) =>
  ({ KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument }) as const;

/** A key that opens to one image alone, for everybody in the account. */
async function pinnedKey(pcr0: string, conditionKey = 'kms:RecipientAttestation:ImageSha384'): Promise<string> {
  const kms = fixture.kms('alice');
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
  const KeyId = KeyMetadata?.Arn ?? '';
  const Policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${ALICE}:root` }, Action: 'kms:*', Resource: '*' },
      {
        Effect: 'Deny',
        Principal: '*',
        Action: ['kms:Decrypt', 'kms:ReEncryptFrom'],
        Resource: '*',
        Condition: { StringNotEqualsIgnoreCase: { [conditionKey]: pcr0 } },
      },
    ],
  });
  await kms.send(new PutKeyPolicyCommand({ KeyId, PolicyName: 'default', Policy }));
  return KeyId;
}

const decryptWith = async (KeyId: string, attestation?: Uint8Array): Promise<{ name: string; message: string }> => {
  const kms = fixture.kms('alice');
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes('secret') }));
  const Recipient = attestation === undefined ? {} : { Recipient: recipient(attestation) };
  return await outcome(kms.send(new DecryptCommand({ CiphertextBlob, ...Recipient })));
};

describe('a request with an attestation document', () => {
  test('answers in an envelope that only the attested key opens, and without plaintext', async () => {
    const kms = fixture.kms('alice');
    const KeyId = await pinnedKey(toHex(PCR0).toUpperCase());
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes('for the enclave') }));
    const answer = await kms.send(new DecryptCommand({ CiphertextBlob, Recipient: recipient(await document()) }));
    expect(answer.Plaintext).toBeUndefined();
    expect(answer.KeyMaterialId).toBeUndefined();
    expect(answer.KeyId).toBe(KeyId);
    const envelope = answer.CiphertextForRecipient ?? new Uint8Array();
    expect(new TextDecoder().decode(await openForRecipient(envelope, key))).toBe('for the enclave');
    await expect(openForRecipient(envelope, await recipientKey(2048))).rejects.toThrow();
    expect(fixture.aws.requests().at(-1)).toMatchObject({ attestedImage: toHex(PCR0), error: null });
  });

  test('also for GenerateDataKey and GenerateRandom', async () => {
    const kms = fixture.kms('alice');
    const KeyId = await pinnedKey(toHex(PCR0));
    const made = await kms.send(
      new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', Recipient: recipient(await document()) }),
    );
    expect(made.Plaintext).toBeUndefined();
    const inside = await openForRecipient(made.CiphertextForRecipient ?? new Uint8Array(), key);
    expect(inside).toHaveLength(32);
    const again = await kms.send(
      new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, Recipient: recipient(await document()) }),
    );
    expect(await openForRecipient(again.CiphertextForRecipient ?? new Uint8Array(), key)).toEqual(inside);
    const random = await kms.send(
      new GenerateRandomCommand({ NumberOfBytes: 48, Recipient: recipient(await document()) }),
    );
    expect(random.Plaintext).toBeUndefined();
    expect(await openForRecipient(random.CiphertextForRecipient ?? new Uint8Array(), key)).toHaveLength(48);
  });

  test('4096 bytes fit, to keys of 2048 to 4096 bits', async () => {
    const kms = fixture.kms('alice');
    const KeyId = await pinnedKey(toHex(PCR0));
    const plaintext = new Uint8Array(4096).fill(9);
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: plaintext }));
    for (const bits of [2048, 3072, 4096]) {
      const own = await recipientKey(bits);
      const Recipient = recipient(await document({ publicKey: own.spki }));
      const answer = await kms.send(new DecryptCommand({ CiphertextBlob, Recipient }));
      expect(await openForRecipient(answer.CiphertextForRecipient ?? new Uint8Array(), own)).toEqual(plaintext);
    }
  });
});

describe('what is refused', () => {
  test('no document, another image, a debug image', async () => {
    const KeyId = await pinnedKey(toHex(PCR0));
    const denied = 'with an explicit deny in a resource-based policy';
    expect((await decryptWith(KeyId)).message).toContain(denied);
    expect((await decryptWith(KeyId, await document({ pcr0: new Uint8Array(48).fill(8) }))).message).toContain(denied);
    expect((await decryptWith(KeyId, await document({ pcr0: ZEROS }))).message).toContain(denied);
    expect((await decryptWith(KeyId, await document())).name).toBe('success');
  });

  test('zeros open only to a policy that names zeros', async () => {
    const KeyId = await pinnedKey(toHex(ZEROS));
    expect((await decryptWith(KeyId, await document({ pcr0: ZEROS }))).name).toBe('success');
    expect((await decryptWith(KeyId, await document())).name).toBe('AccessDeniedException');
  });

  test('other registers are compared by their own names', async () => {
    const KeyId = await pinnedKey('01'.repeat(48), 'kms:RecipientAttestation:PCR1');
    expect((await decryptWith(KeyId, await document())).name).toBe('success');
    const absent = await pinnedKey('01'.repeat(48), 'kms:RecipientAttestation:PCR8');
    expect((await decryptWith(absent, await document())).name).toBe('AccessDeniedException');
  });

  test('re-encryption, with or without a document in the request', async () => {
    const kms = fixture.kms('alice');
    const KeyId = await pinnedKey(toHex(PCR0));
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes('x') }));
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}));
    const input = { CiphertextBlob, DestinationKeyId: KeyMetadata?.Arn, Recipient: recipient(await document()) };
    expect((await outcome(kms.send(new ReEncryptCommand(input)))).message).toContain('kms:ReEncryptFrom');
  });

  test.each<[string, () => Promise<Uint8Array>]>([
    [
      'another root',
      async () => {
        const folder = await mkdtemp(join(tmpdir(), 'accord-other-root-'));
        const other = await createAttestationIssuer(folder);
        const signed = await other.sign({
          moduleId: 'i-0-enc0',
          pcrs: new Map([
            [0, PCR0],
            [1, PCR0],
            [2, PCR0],
          ]),
          publicKey: key.spki,
        });
        await rm(folder, { recursive: true, force: true });
        return signed;
      },
    ],
    [
      'a changed byte',
      async () => {
        const changed = await document();
        changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
        return changed;
      },
    ],
    ['bytes after the end', async () => Uint8Array.of(...(await document()), 0)],
    ['six minutes ago', async () => await document({ timestamp: Date.now() - 360_000 })],
    ['a minute from now', async () => await document({ timestamp: Date.now() + 60_000 })],
    [
      'no public key',
      async () =>
        await fixture.aws.issuer.sign({
          moduleId: 'i-0-enc0',
          pcrs: new Map([
            [0, PCR0],
            [1, PCR0],
            [2, PCR0],
          ]),
        }),
    ],
    [
      'a key of another kind',
      async () => {
        const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        return await document({ publicKey: publicKey.export({ format: 'der', type: 'spki' }) });
      },
    ],
    [
      'an RSA key of 1024 bits',
      async () => {
        const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
        return await document({ publicKey: publicKey.export({ format: 'der', type: 'spki' }) });
      },
    ],
    ['a key with bytes after it', async () => await document({ publicKey: Uint8Array.of(...key.spki, 0) })],
    ['not a document', async () => bytes('attested, honestly')],
  ])('a document with %s', async (_, make) => {
    const KeyId = await pinnedKey(toHex(PCR0));
    const refused = await decryptWith(KeyId, await make());
    expect(refused.name).toBe('ValidationException');
    expect(refused.message).toContain('attestation document');
  });

  test('a document whose leaf has expired', async () => {
    const KeyId = await pinnedKey(toHex(PCR0));
    const kms = fixture.kms('alice');
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes('x') }));
    const old = await document();
    NOW.ahead = 4 * 3_600_000;
    kms.config.systemClockOffset = NOW.ahead;
    try {
      const refused = await outcome(kms.send(new DecryptCommand({ CiphertextBlob, Recipient: recipient(old) })));
      expect(refused.name).toBe('ValidationException');
    } finally {
      NOW.ahead = 0;
    }
  });

  test('another algorithm', async () => {
    const kms = fixture.kms('alice');
    const KeyId = await pinnedKey(toHex(PCR0));
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes('x') }));
    const AttestationDocument = await document();
    const none = await outcome(kms.send(new DecryptCommand({ CiphertextBlob, Recipient: { AttestationDocument } })));
    expect(none.name).toBe('ValidationException');
  });
});

describeWithVectors('the envelope has the shape of real ones', (folder) => {
  /** Tags, lengths and fixed contents, in order; what is random in every envelope is left out. */
  function shape(blob: Uint8Array): string {
    const { recipient: id, encryptedKey, iv, ciphertext } = readEnvelopedData(blob);
    let text = toHex(blob);
    for (const part of [id, encryptedKey, iv, ciphertext]) {
      expect(text).toContain(toHex(part));
      text = text.replace(toHex(part), `<${part.length}>`);
    }
    return text;
  }

  test.each(['edgebit.ber', 'aws-sdk-c-1.ber'])('%s', async (name) => {
    const real = new Uint8Array(await readFile(join(folder, 'cms', name)));
    const publicKey = createPublicKey({ key: Buffer.from(key.spki), format: 'der', type: 'spki' });
    const ours = envelopeFor({ publicKey, spki: key.spki }, new Uint8Array(32));
    expect(shape(ours)).toBe(shape(real));
    expect(ours).toHaveLength(real.length);
  });
});
