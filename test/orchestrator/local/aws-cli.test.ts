/** The stock `aws` command line against the local AWS, over TLS: a client that we did not write, of another language. */
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultKeyPolicy } from '../../../orchestrator/local/accounts.ts';
import { keyPolicy, keyPolicyText } from '../../../parties/kms/key-policy.ts';
import type { AwsCli, CliAnswer } from './aws-cli.ts';
import { awsCliIsAbsent, startAwsCli } from './aws-cli.ts';
import { ALICE, ALICE_ARN, ALICE_KEY, BOB, BOB_KEY } from './fixture.ts';

const reason = awsCliIsAbsent();
if (reason !== undefined) process.stderr.write(`skipped: the aws command line: ${reason}\n`);

const BOB_ARN = `arn:aws:iam::${BOB}:user/bob`;
const HOST_ARN = 'arn:aws:iam::999900001111:user/host';
const CONTEXT = ['--encryption-context', 'row=this'];

describe.skipIf(reason !== undefined)(`the aws command line${reason === undefined ? '' : ` (${reason})`}`, () => {
  let cli: AwsCli;
  beforeAll(async () => {
    cli = await startAwsCli();
  });
  afterAll(() => cli?.stop());

  /** What it printed, as JSON. */
  async function ok(profile: string, ...argv: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
    const answer = await cli.run(profile, argv);
    expect(answer).toMatchObject({ exitCode: 0, stderr: '' });
    return answer.stdout === '' ? {} : JSON.parse(answer.stdout);
  }

  /** 254 is how the command line says that the service answered with an error. */
  async function refused(profile: string, code: string, ...argv: readonly string[]): Promise<void> {
    const answer = await cli.run(profile, argv);
    expect(answer).toMatchObject({ exitCode: 254, stdout: '' });
    expect(answer.stderr).toContain(`An error occurred (${code}) when calling the `);
  }

  async function file(bytes: Uint8Array | string): Promise<string> {
    const path = join(cli.folder, randomBytes(6).toString('hex'));
    await writeFile(path, bytes);
    return path;
  }

  const blobOf = async (answer: Readonly<Record<string, unknown>>): Promise<string> =>
    `fileb://${await file(Buffer.from(String(answer['CiphertextBlob']), 'base64'))}`;
  const policyArguments = (keyId: string): readonly string[] => ['--key-id', keyId, '--policy-name', 'default'];

  describe('finds the server by the exports', () => {
    test('and is who its profile says', async () => {
      expect(await ok('alice', 'sts', 'get-caller-identity')).toMatchObject({ Account: ALICE, Arn: ALICE_ARN });
      expect(await ok('host', 'sts', 'get-caller-identity')).toMatchObject({ Arn: HOST_ARN });
    });

    test('and does not trust it without AWS_CA_BUNDLE', async () => {
      const answer = await cli.run('alice', ['sts', 'get-caller-identity'], 'unset AWS_CA_BUNDLE');
      expect(answer.exitCode).toBe(255);
      expect(answer.stderr).toMatch(/SSL validation failed.*CERTIFICATE_VERIFY_FAILED/);
    });

    test('and is refused with a secret that is not its own', async () => {
      const credentials = await readFile(join(cli.folder, 'aws', 'credentials'), 'utf8');
      const wrong = await file(credentials.replaceAll(/(aws_secret_access_key = ).*/g, '$1wrong'));
      const before = `export AWS_SHARED_CREDENTIALS_FILE=${wrong}`;
      const answer = await cli.run('alice', ['sts', 'get-caller-identity'], before);
      expect(answer).toMatchObject({ exitCode: 254, stderr: expect.stringContaining('(SignatureDoesNotMatch)') });
    });
  });

  describe('in the hands of a key’s owner', () => {
    test('encrypts and decrypts, under the same context alone', async () => {
      const secret = randomBytes(100);
      const plain = `fileb://${await file(secret)}`;
      const made = await ok('alice', 'kms', 'encrypt', '--key-id', ALICE_KEY, '--plaintext', plain, ...CONTEXT);
      expect(made).toMatchObject({ KeyId: ALICE_KEY, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' });
      const blob = await blobOf(made);
      const opened = await ok('alice', 'kms', 'decrypt', '--ciphertext-blob', blob, ...CONTEXT);
      expect(opened).toMatchObject({ KeyId: ALICE_KEY, Plaintext: secret.toString('base64') });
      await refused('alice', 'InvalidCiphertextException', 'kms', 'decrypt', '--ciphertext-blob', blob);
    });

    test('makes a data key, and re-encrypts it under another key', async () => {
      const made = await ok('alice', 'kms', 'generate-data-key', '--key-id', ALICE_KEY, '--key-spec', 'AES_256');
      expect(Buffer.from(String(made['Plaintext']), 'base64')).toHaveLength(32);
      const other: { KeyMetadata?: { Arn?: string } } = await ok('alice', 'kms', 'create-key');
      const arn = other.KeyMetadata?.Arn ?? '';
      const move = ['--ciphertext-blob', await blobOf(made), '--destination-key-id', arn];
      const moved = await ok('alice', 'kms', 're-encrypt', ...move);
      expect(moved).toMatchObject({ SourceKeyId: ALICE_KEY, KeyId: arn });
      const opened = await ok('alice', 'kms', 'decrypt', '--ciphertext-blob', await blobOf(moved));
      expect(opened).toMatchObject({ KeyId: arn, Plaintext: made['Plaintext'] });
    });

    test('describes the key, and writes and reads its policy', async () => {
      expect(await ok('alice', 'kms', 'describe-key', '--key-id', ALICE_KEY)).toMatchObject({
        KeyMetadata: { Arn: ALICE_KEY, AWSAccountId: ALICE, KeyState: 'Enabled', KeySpec: 'SYMMETRIC_DEFAULT' },
      });
      const read = async (): Promise<unknown> =>
        (await ok('alice', 'kms', 'get-key-policy', ...policyArguments(ALICE_KEY)))['Policy'];
      expect(await read()).toBe(defaultKeyPolicy(ALICE));
      const text = `${JSON.stringify(JSON.parse(defaultKeyPolicy(ALICE)))}\n`;
      const policy = ['--policy', `file://${await file(text)}`];
      expect(await ok('alice', 'kms', 'put-key-policy', ...policyArguments(ALICE_KEY), ...policy)).toEqual({});
      expect(await read()).toBe(text);
    });

    test('grants, lists what was granted, and revokes it', async () => {
      const grant = ['--grantee-principal', HOST_ARN, '--operations', 'Encrypt', 'DescribeKey'];
      const made = await ok('alice', 'kms', 'create-grant', '--key-id', ALICE_KEY, ...grant);
      expect(made).toMatchObject({ GrantId: expect.stringMatching(/^[0-9a-f]{64}$/) });
      expect(await ok('host', 'kms', 'describe-key', '--key-id', ALICE_KEY)).toMatchObject({
        KeyMetadata: { Arn: ALICE_KEY },
      });
      expect(await ok('alice', 'kms', 'list-grants', '--key-id', ALICE_KEY)).toMatchObject({
        Grants: [{ GrantId: made['GrantId'], GranteePrincipal: HOST_ARN }],
      });
      const revoked = ['--key-id', ALICE_KEY, '--grant-id', String(made['GrantId'])];
      expect(await ok('alice', 'kms', 'revoke-grant', ...revoked)).toEqual({});
      await refused('host', 'AccessDeniedException', 'kms', 'describe-key', '--key-id', ALICE_KEY);
    });
  });

  describe('against the key policy of Accord', () => {
    let blob: string;
    /** Before the policy came, its owner opened what it had encrypted, and so did the host by a grant: the rest is the policy. */
    beforeAll(async () => {
      const plain = `fileb://${await file('weights')}`;
      blob = await blobOf(await ok('bob', 'kms', 'encrypt', '--key-id', BOB_KEY, '--plaintext', plain));
      const grant = ['--key-id', BOB_KEY, '--grantee-principal', HOST_ARN, '--operations', 'Decrypt'];
      await ok('bob', 'kms', 'create-grant', ...grant);
      for (const profile of ['bob', 'host']) expect(await decrypted(profile)).toMatchObject({ exitCode: 0 });
      const terms = {
        keyArn: BOB_KEY,
        account: BOB,
        pins: [{ pcr0: 'a1'.repeat(48), policyDigest: 'd1'.repeat(48) }],
        enclaveRoleArn: `arn:aws:iam::${BOB}:role/accord-enclave`,
        callerArn: BOB_ARN,
        contributorArn: BOB_ARN,
      };
      const policy = `file://${await file(keyPolicyText(keyPolicy(terms)))}`;
      await ok('bob', 'kms', 'put-key-policy', ...policyArguments(BOB_KEY), '--policy', policy);
    });

    const decrypted = async (profile: string): Promise<CliAnswer> =>
      await cli.run(profile, ['kms', 'decrypt', '--key-id', BOB_KEY, '--ciphertext-blob', blob]);

    test('the host decrypts nothing', async () => {
      const answer = await decrypted('host');
      expect(answer).toMatchObject({ exitCode: 254, stdout: '' });
      expect(answer.stderr).toContain(
        `An error occurred (AccessDeniedException) when calling the Decrypt operation: User: ${HOST_ARN} is not ` +
          `authorized to perform: kms:Decrypt on resource: ${BOB_KEY} `,
      );
    });

    test('nor does it re-encrypt to a key of its own, or grant itself the right', async () => {
      const own: { KeyMetadata?: { Arn?: string } } = await ok('host', 'kms', 'create-key');
      const move = ['--ciphertext-blob', blob, '--destination-key-id', own.KeyMetadata?.Arn ?? ''];
      await refused('host', 'AccessDeniedException', 'kms', 're-encrypt', ...move);
      const grant = ['--key-id', BOB_KEY, '--grantee-principal', HOST_ARN, '--operations', 'Decrypt'];
      await refused('host', 'AccessDeniedException', 'kms', 'create-grant', ...grant);
    });

    test('the owner decrypts nothing either, and can still change its policy', async () => {
      expect((await decrypted('bob')).stderr).toContain('(AccessDeniedException) when calling the Decrypt operation');
      await ok('bob', 'kms', 'get-key-policy', ...policyArguments(BOB_KEY));
      const before = ['--policy', `file://${await file(defaultKeyPolicy(BOB))}`];
      await ok('bob', 'kms', 'put-key-policy', ...policyArguments(BOB_KEY), ...before);
      expect(await decrypted('bob')).toMatchObject({ exitCode: 0 });
    });
  });
});
