/** The stock `aws` command line against the local S3 and IAM: what the owner of an anchor might type. */
import { writeFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AwsCli } from './aws-cli.ts';
import { awsCliIsAbsent, startAwsCli } from './aws-cli.ts';
import { ALICE } from './fixture.ts';

const reason = awsCliIsAbsent();
if (reason !== undefined) process.stderr.write(`skipped: the aws command line and S3: ${reason}\n`);

const Bucket = 'typed-by-hand';
const bucket = ['--bucket', Bucket];

describe.skipIf(reason !== undefined)(`the aws command line${reason === undefined ? '' : ` (${reason})`}`, () => {
  let cli: AwsCli;
  beforeAll(async () => {
    cli = await startAwsCli();
    await ok(
      's3api',
      'create-bucket',
      ...bucket,
      '--object-lock-enabled-for-bucket',
      '--create-bucket-configuration',
      'LocationConstraint=eu-west-1',
    );
  });
  afterAll(() => cli?.stop());

  /** What it printed, as JSON, or its text. */
  async function ok(...argv: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
    const answer = await cli.run('alice', argv);
    expect(answer).toMatchObject({ exitCode: 0, stderr: '' });
    return answer.stdout.startsWith('{') ? JSON.parse(answer.stdout) : { text: answer.stdout };
  }

  async function refused(code: string, profile: string, ...argv: readonly string[]): Promise<void> {
    const answer = await cli.run(profile, argv);
    expect(answer).toMatchObject({ exitCode: 254, stdout: '' });
    expect(answer.stderr).toContain(`An error occurred (${code}) when calling the `);
  }

  test('writes under a lock, reads it, lists it, and cannot remove it', async () => {
    await writeFile(join(cli.folder, 'entry'), 'an entry of an anchor');
    const lock = ['--object-lock-mode', 'COMPLIANCE', '--object-lock-retain-until-date', '2099-01-01T00:00:00Z'];
    const put = await ok('s3api', 'put-object', ...bucket, '--key', 'accord/a b', '--body', 'entry', ...lock);
    expect(put).toMatchObject({ VersionId: expect.stringMatching(/^[\w.]{32}$/), ETag: expect.any(String) });
    const got = await ok('s3api', 'get-object', ...bucket, '--key', 'accord/a b', 'got');
    expect(got).toMatchObject({ ObjectLockMode: 'COMPLIANCE', VersionId: put['VersionId'] });
    expect(await readFile(join(cli.folder, 'got'), 'utf8')).toBe('an entry of an anchor');
    expect(await ok('s3api', 'list-object-versions', ...bucket, '--prefix', 'accord/')).toMatchObject({
      Versions: [{ Key: 'accord/a b', IsLatest: true, VersionId: put['VersionId'], Size: 21 }],
    });
    const version = [...bucket, '--key', 'accord/a b', '--version-id', String(put['VersionId'])];
    await refused('AccessDenied', 'alice', 's3api', 'delete-object', ...version);
    expect(await ok('s3api', 'get-object-retention', ...version)).toMatchObject({
      Retention: { Mode: 'COMPLIANCE', RetainUntilDate: '2099-01-01T00:00:00+00:00' },
    });
    await refused('AccessDenied', 'host', 's3api', 'get-object', ...version, 'got');
  });

  test('copies files by name, and lists them', async () => {
    await writeFile(join(cli.folder, 'copied'), 'x'.repeat(100_000));
    await ok('s3', 'cp', '--no-progress', 'copied', `s3://${Bucket}/files/copied`);
    expect((await ok('s3', 'ls', `s3://${Bucket}/files/`))['text']).toMatch(/ 100000 copied\n$/);
    await ok('s3', 'cp', '--no-progress', `s3://${Bucket}/files/copied`, 'back');
    expect(await readFile(join(cli.folder, 'back'), 'utf8')).toHaveLength(100_000);
    await ok('s3', 'rm', `s3://${Bucket}/files/copied`);
    expect((await ok('s3', 'ls'))['text']).toMatch(new RegExp(` ${Bucket}\n`));
  });

  test('reads what the bucket is, and gives it a policy', async () => {
    expect(await ok('s3api', 'get-bucket-versioning', ...bucket)).toEqual({ Status: 'Enabled' });
    expect(await ok('s3api', 'get-object-lock-configuration', ...bucket)).toEqual({
      ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled' },
    });
    const statement = {
      Effect: 'Deny',
      Principal: '*',
      Action: 's3:DeleteObject',
      Resource: `arn:aws:s3:::${Bucket}/*`,
    };
    const policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
    await ok('s3api', 'put-bucket-policy', ...bucket, '--policy', policy);
    expect(await ok('s3api', 'get-bucket-policy', ...bucket)).toEqual({ Policy: policy });
    await refused('AccessDenied', 'alice', 's3api', 'delete-object', ...bucket, '--key', 'any');
  });

  test('makes a user, a key and a policy for it', async () => {
    const user = ['--user-name', 'anchor'];
    expect(await ok('iam', 'create-user', ...user)).toMatchObject({
      User: { UserName: 'anchor', Arn: `arn:aws:iam::${ALICE}:user/anchor` },
    });
    expect(await ok('iam', 'create-access-key', ...user)).toMatchObject({
      AccessKey: { AccessKeyId: expect.stringMatching(/^AKIA/), Status: 'Active' },
    });
    const statement = { Effect: 'Allow', Action: 's3:GetObject', Resource: '*' };
    const policy = { Version: '2012-10-17', Statement: [statement] };
    const inline = [...user, '--policy-name', 'p'];
    await ok('iam', 'put-user-policy', ...inline, '--policy-document', JSON.stringify(policy));
    expect(await ok('iam', 'get-user-policy', ...inline)).toMatchObject({ PolicyDocument: policy });
    await refused('DeleteConflict', 'alice', 'iam', 'delete-user', ...user);
  });
});
