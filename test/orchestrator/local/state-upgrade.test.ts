/** A data folder of an earlier version: its users go on with the keys and rights that they had. */
import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { ListKeysCommand } from '@aws-sdk/client-kms';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { initialState } from '../../../orchestrator/local/accounts.ts';
import { startLocalAws } from '../../../orchestrator/local/aws.ts';
import { createKms, createSts } from '../../../parties/kms/client.ts';
import { ALICE_ARN, REGION } from './fixture.ts';

test('version 1, where a user had one key and nameless policies', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'accord-upgrade-'));
  const now = initialState(Date.now());
  const accounts = now.accounts.map((account) => ({
    ...account,
    users: account.users.map(({ name, arn, userId, accessKeys: [key], policies }) => ({
      name,
      arn,
      userId,
      accessKey: { id: key?.id, secret: key?.secret },
      policies: policies.map(({ document }) => document),
    })),
  }));
  await writeFile(join(dataDir, 'state.json'), JSON.stringify({ ...now, version: 1, accounts }));
  const aws = await startLocalAws({ dataDir });
  try {
    const settings = { profile: 'alice', region: REGION, env: aws.environment() };
    const sts = createSts(settings);
    const kms = createKms(settings);
    expect((await sts.send(new GetCallerIdentityCommand({}))).Arn).toBe(ALICE_ARN);
    expect((await kms.send(new ListKeysCommand({}))).Keys).toHaveLength(1);
    sts.destroy();
    kms.destroy();
    expect(await readFile(join(dataDir, 'credentials'), 'utf8')).toContain(
      now.accounts[0]?.users[0]?.accessKeys[0]?.id,
    );
  } finally {
    await aws.close();
    await rm(dataDir, { recursive: true, force: true });
  }
});
