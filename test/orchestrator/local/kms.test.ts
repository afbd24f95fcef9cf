/** KMS as the SDK sees it, over TLS. */
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateGrantCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyPairCommand,
  GenerateDataKeyWithoutPlaintextCommand,
  GenerateRandomCommand,
  GetKeyPolicyCommand,
  GetPublicKeyCommand,
  ListAliasesCommand,
  ListGrantsCommand,
  ListKeyPoliciesCommand,
  ListKeysCommand,
  ReEncryptCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ALICE, ALICE_KEY, BOB_KEY, REGION, localAws, outcome } from './fixture.ts';

const DAY = 86_400_000;
/** How far the server's clock is turned forward. */
let ahead = 0;
const fixture = localAws(() => Date.now() + ahead);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function newKey(): Promise<string> {
  const { KeyMetadata } = await fixture.kms('alice').send(new CreateKeyCommand({ Description: 'made by a test' }));
  return KeyMetadata?.Arn ?? '';
}

describe('encrypting and decrypting', () => {
  test('what was encrypted opens with the same context, whatever its order', async () => {
    const kms = fixture.kms('alice');
    const EncryptionContext = { one: '1', two: '2' };
    const made = await kms.send(
      new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes('secret'), EncryptionContext }),
    );
    expect(made.KeyId).toBe(ALICE_KEY);
    expect(made.EncryptionAlgorithm).toBe('SYMMETRIC_DEFAULT');
    const opened = await kms.send(
      new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, EncryptionContext: { two: '2', one: '1' } }),
    );
    expect(opened.Plaintext).toEqual(bytes('secret'));
    expect(opened.KeyId).toBe(ALICE_KEY);
  });

  test('the key material that was used has a name, one for each key', async () => {
    const kms = fixture.kms('alice');
    const [one, other] = [await newKey(), await newKey()];
    const named = async (KeyId: string): Promise<string | undefined> =>
      (await kms.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.CurrentKeyMaterialId;
    const material = await named(one);
    expect(material).toMatch(/^[0-9a-f]{64}$/);
    expect(await named(other)).not.toBe(material);
    const made = await kms.send(new GenerateDataKeyCommand({ KeyId: one, KeySpec: 'AES_256' }));
    expect(made.KeyMaterialId).toBe(material);
    const { CiphertextBlob } = made;
    expect((await kms.send(new DecryptCommand({ CiphertextBlob }))).KeyMaterialId).toBe(material);
    expect(await kms.send(new ReEncryptCommand({ CiphertextBlob, DestinationKeyId: other }))).toMatchObject({
      SourceKeyMaterialId: material,
      DestinationKeyMaterialId: await named(other),
    });
  });

  test('every other context, and every flipped bit, is refused', async () => {
    const kms = fixture.kms('alice');
    const made = await kms.send(
      new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes('secret'), EncryptionContext: { a: 'b' } }),
    );
    const blob = made.CiphertextBlob ?? new Uint8Array();
    for (const EncryptionContext of [{}, { a: 'c' }, { A: 'b' }, { a: 'b', c: 'd' }, { ab: '' }]) {
      const { name } = await outcome(kms.send(new DecryptCommand({ CiphertextBlob: blob, EncryptionContext })));
      expect(name, JSON.stringify(EncryptionContext)).toBe('InvalidCiphertextException');
    }
    await fc.assert(
      fc.asyncProperty(fc.nat(blob.length * 8 - 1), async (bit) => {
        const changed = blob.slice();
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const decrypt = new DecryptCommand({ CiphertextBlob: changed, EncryptionContext: { a: 'b' } });
        // A changed key id names a key that is not there; KMS does not tell that from one that may not be used.
        expect(['InvalidCiphertextException', 'AccessDeniedException']).toContain(
          (await outcome(kms.send(decrypt))).name,
        );
      }),
      { numRuns: 40 },
    );
  });

  test('Encrypt takes 4096 bytes and not one more', async () => {
    const kms = fixture.kms('alice');
    const most = await kms.send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: randomBytes(4096) }));
    expect((await kms.send(new DecryptCommand({ CiphertextBlob: most.CiphertextBlob }))).Plaintext).toHaveLength(4096);
    const more = await outcome(kms.send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: randomBytes(4097) })));
    expect(more.name).toBe('ValidationException');
    expect(more.message).toContain('Member must have length less than or equal to 4096');
    const none = await outcome(kms.send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: new Uint8Array() })));
    expect(none.name).toBe('ValidationException');
  });

  test('a named key must be the one', async () => {
    const kms = fixture.kms('alice');
    const other = await newKey();
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes('x') }));
    expect((await outcome(kms.send(new DecryptCommand({ CiphertextBlob, KeyId: other })))).name).toBe(
      'IncorrectKeyException',
    );
    expect((await outcome(kms.send(new DecryptCommand({ CiphertextBlob, KeyId: ALICE_KEY })))).name).toBe('success');
    expect((await outcome(kms.send(new DecryptCommand({ CiphertextBlob: bytes('nonsense') })))).name).toBe(
      'InvalidCiphertextException',
    );
  });

  test('re-encryption moves a plaintext between keys and contexts', async () => {
    const kms = fixture.kms('alice');
    const to = await newKey();
    const from = await kms.send(
      new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes('moved'), EncryptionContext: { at: 'first' } }),
    );
    const moved = await kms.send(
      new ReEncryptCommand({
        CiphertextBlob: from.CiphertextBlob,
        SourceEncryptionContext: { at: 'first' },
        DestinationKeyId: to,
        DestinationEncryptionContext: { at: 'second' },
      }),
    );
    expect(moved.SourceKeyId).toBe(ALICE_KEY);
    expect(moved.KeyId).toBe(to);
    const opened = await kms.send(
      new DecryptCommand({ CiphertextBlob: moved.CiphertextBlob, EncryptionContext: { at: 'second' } }),
    );
    expect(opened.Plaintext).toEqual(bytes('moved'));
  });

  test('data keys have the size that was asked for, with and without plaintext', async () => {
    const kms = fixture.kms('alice');
    const aes = await kms.send(new GenerateDataKeyCommand({ KeyId: ALICE_KEY, KeySpec: 'AES_256' }));
    expect(aes.Plaintext).toHaveLength(32);
    expect((await kms.send(new DecryptCommand({ CiphertextBlob: aes.CiphertextBlob }))).Plaintext).toEqual(
      aes.Plaintext,
    );
    const odd = await kms.send(new GenerateDataKeyCommand({ KeyId: ALICE_KEY, NumberOfBytes: 33 }));
    expect(odd.Plaintext).toHaveLength(33);
    const hidden = await kms.send(new GenerateDataKeyWithoutPlaintextCommand({ KeyId: ALICE_KEY, KeySpec: 'AES_128' }));
    expect(hidden).not.toHaveProperty('Plaintext');
    expect((await kms.send(new DecryptCommand({ CiphertextBlob: hidden.CiphertextBlob }))).Plaintext).toHaveLength(16);
    for (const wrong of [{}, { KeySpec: 'AES_256', NumberOfBytes: 32 } as const, { NumberOfBytes: 1025 }]) {
      const asked = kms.send(new GenerateDataKeyCommand({ KeyId: ALICE_KEY, ...wrong }));
      expect((await outcome(asked)).name).toBe('ValidationException');
    }
    expect((await kms.send(new GenerateRandomCommand({ NumberOfBytes: 20 }))).Plaintext).toHaveLength(20);
  });

  test('a dry run says that it would have worked, or why not', async () => {
    const kms = fixture.kms('alice');
    const encrypt = { KeyId: ALICE_KEY, Plaintext: bytes('x'), DryRun: true };
    expect((await outcome(kms.send(new EncryptCommand(encrypt)))).name).toBe('DryRunOperationException');
    expect((await outcome(fixture.kms('host').send(new EncryptCommand(encrypt)))).name).toBe('AccessDeniedException');
  });
});

describe('keys', () => {
  test('can be made, described, listed in pages and told apart by Region', async () => {
    const kms = fixture.kms('alice');
    const arn = await newKey();
    const { KeyMetadata: it } = await kms.send(new DescribeKeyCommand({ KeyId: arn.split('/')[1] }));
    expect(it).toMatchObject({
      Arn: arn,
      AWSAccountId: ALICE,
      KeySpec: 'SYMMETRIC_DEFAULT',
      KeyUsage: 'ENCRYPT_DECRYPT',
      KeyState: 'Enabled',
      Enabled: true,
      Origin: 'AWS_KMS',
      KeyManager: 'CUSTOMER',
      MultiRegion: false,
      Description: 'made by a test',
    });
    expect(it?.CreationDate).toBeInstanceOf(Date);
    const first = await kms.send(new ListKeysCommand({ Limit: 1 }));
    expect(first.Truncated).toBe(true);
    const rest = await kms.send(new ListKeysCommand({ Marker: first.NextMarker }));
    const listed = [...(first.Keys ?? []), ...(rest.Keys ?? [])].map(({ KeyArn }) => KeyArn);
    expect(listed).toContain(arn);
    expect(listed).toContain(ALICE_KEY);
    expect(new Set(listed).size).toBe(listed.length);
    expect((await fixture.kms('alice', 'us-east-1').send(new ListKeysCommand({}))).Keys).toEqual([]);
    const elsewhere = fixture.kms('alice', 'us-east-1').send(new DescribeKeyCommand({ KeyId: arn }));
    expect(await outcome(elsewhere)).toEqual({ name: 'NotFoundException', message: `Invalid arn ${REGION}` });
    expect((await kms.send(new ListKeyPoliciesCommand({ KeyId: arn }))).PolicyNames).toEqual(['default']);
  });

  test('other kinds of keys, aliases and unknown operations are refused by name', async () => {
    const kms = fixture.kms('alice');
    const refused: [string, Promise<unknown>][] = [
      ['RSA', kms.send(new CreateKeyCommand({ KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' }))],
      ['HMAC', kms.send(new CreateKeyCommand({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }))],
      ['multi-Region', kms.send(new CreateKeyCommand({ MultiRegion: true }))],
      ['imported', kms.send(new CreateKeyCommand({ Origin: 'EXTERNAL' }))],
      ['alias', kms.send(new CreateAliasCommand({ AliasName: 'alias/mine', TargetKeyId: ALICE_KEY }))],
      ['key pair', kms.send(new GenerateDataKeyPairCommand({ KeyId: ALICE_KEY, KeyPairSpec: 'RSA_2048' }))],
      ['public key', kms.send(new GetPublicKeyCommand({ KeyId: ALICE_KEY }))],
    ];
    for (const [what, call] of refused) expect((await outcome(call)).name, what).toBe('UnsupportedOperationException');
    expect((await kms.send(new ListAliasesCommand({}))).Aliases).toEqual([]);
    const byAlias = await outcome(kms.send(new DescribeKeyCommand({ KeyId: 'alias/mine' })));
    expect(byAlias).toEqual({
      name: 'NotFoundException',
      message: `Alias arn:aws:kms:${REGION}:${ALICE}:alias/mine is not found.`,
    });
  });

  test('a disabled key does nothing until it is enabled', async () => {
    const kms = fixture.kms('alice');
    const KeyId = await newKey();
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes('x') }));
    await kms.send(new DisableKeyCommand({ KeyId }));
    expect((await outcome(kms.send(new DecryptCommand({ CiphertextBlob })))).name).toBe('DisabledException');
    expect((await outcome(kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' })))).name).toBe(
      'DisabledException',
    );
    await kms.send(new EnableKeyCommand({ KeyId }));
    expect((await outcome(kms.send(new DecryptCommand({ CiphertextBlob })))).name).toBe('success');
  });

  test('a key waits before it is deleted, can be kept, and is gone afterwards', async () => {
    const kms = fixture.kms('alice');
    const KeyId = await newKey();
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes('x') }));
    const soon = await outcome(kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 6 })));
    expect(soon.name).toBe('ValidationException');
    const scheduled = await kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    expect(scheduled).toMatchObject({ KeyState: 'PendingDeletion', PendingWindowInDays: 7 });
    expect((await outcome(kms.send(new DecryptCommand({ CiphertextBlob })))).name).toBe('KMSInvalidStateException');
    expect((await outcome(kms.send(new EnableKeyCommand({ KeyId })))).name).toBe('KMSInvalidStateException');
    await kms.send(new CancelKeyDeletionCommand({ KeyId }));
    expect((await kms.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.KeyState).toBe('Disabled');
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    ahead = 8 * DAY;
    kms.config.systemClockOffset = ahead;
    try {
      const gone = await outcome(kms.send(new DescribeKeyCommand({ KeyId })));
      expect(gone).toEqual({ name: 'NotFoundException', message: `Key '${KeyId}' does not exist` });
    } finally {
      ahead = 0;
    }
  });
});

describe("another account's key", () => {
  test('is denied in the same words whether it exists or not', async () => {
    const host = fixture.kms('host');
    const { CiphertextBlob } = await fixture
      .kms('alice')
      .send(new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes('x') }));
    const words = (action: string, key: string): string =>
      `User: arn:aws:iam::999900001111:user/host is not authorized to perform: ${action} on resource: ${key} because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`;
    expect(await outcome(host.send(new DecryptCommand({ CiphertextBlob })))).toEqual({
      name: 'AccessDeniedException',
      message: words('kms:Decrypt', ALICE_KEY),
    });
    const reEncrypt = new ReEncryptCommand({ CiphertextBlob, DestinationKeyId: ALICE_KEY });
    expect((await outcome(host.send(reEncrypt))).message).toBe(words('kms:ReEncryptFrom', ALICE_KEY));
    const grant = new CreateGrantCommand({
      KeyId: ALICE_KEY,
      GranteePrincipal: 'arn:aws:iam::999900001111:user/host',
      Operations: ['Decrypt'],
    });
    expect((await outcome(host.send(grant))).message).toBe(words('kms:CreateGrant', ALICE_KEY));
    const absent = ALICE_KEY.replace('a11ce', 'a11cf');
    expect((await outcome(host.send(new DescribeKeyCommand({ KeyId: absent })))).message).toBe(
      words('kms:DescribeKey', absent),
    );
    for (const call of [
      host.send(new GetKeyPolicyCommand({ KeyId: BOB_KEY })),
      host.send(new ListGrantsCommand({ KeyId: BOB_KEY })),
      host.send(new DisableKeyCommand({ KeyId: BOB_KEY })),
    ]) {
      expect((await outcome(call)).name).toBe('AccessDeniedException');
    }
  });

  test('the log tells who tried what, and keeps no secret', async () => {
    const kms = fixture.kms('alice');
    const secret = randomBytes(24).toString('base64');
    const { CiphertextBlob } = await kms.send(
      new EncryptCommand({ KeyId: ALICE_KEY, Plaintext: bytes(secret), EncryptionContext: { for: 'the log' } }),
    );
    await outcome(
      fixture.kms('host').send(new DecryptCommand({ CiphertextBlob, EncryptionContext: { for: 'the log' } })),
    );
    const last = fixture.aws.requests().slice(-2);
    expect(last).toMatchObject([
      { operation: 'Encrypt', decisions: [{ action: 'kms:Encrypt', allowed: true }], error: null },
      {
        service: 'kms',
        operation: 'Decrypt',
        principal: 'arn:aws:iam::999900001111:user/host',
        key: ALICE_KEY,
        decisions: [{ action: 'kms:Decrypt', resource: ALICE_KEY, allowed: false }],
        encryptionContext: { for: 'the log' },
        error: { code: 'AccessDeniedException' },
      },
    ]);
    const log = JSON.stringify(fixture.aws.requests());
    expect(log).not.toContain(Buffer.from(secret).toString('base64'));
    expect(log).not.toContain(Buffer.from(CiphertextBlob ?? []).toString('base64'));
  });
});
