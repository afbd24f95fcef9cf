/** The data folder: what it remembers through kill -9, and who may use it. */
import {
  CreateGrantCommand,
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  ListGrantsCommand,
  PutKeyPolicyCommand,
} from '@aws-sdk/client-kms';
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startLocalAws } from '../../../orchestrator/local/aws.ts';
import { lockDataFolder } from '../../../orchestrator/store/lock.ts';
import { createKms, createSts } from '../../../parties/kms/client.ts';
import { loadTrust } from '../../../policies/load.ts';
import { bundled } from '../bundled.ts';
import { ALICE, ALICE_ENCLAVE_ROLE, REGION, outcome } from './fixture.ts';

interface Served {
  readonly child: ChildProcess;
  readonly url: string;
  readonly environment: Record<string, string>;
  readonly parties: readonly { readonly profile: string; readonly kmsKeyArn?: string }[];
}

let program: string;
let root: string;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  program = await bundled('test/orchestrator/local/serve.ts');
  root = await mkdtemp(join(tmpdir(), 'accord-restart-'));
});
afterEach(async () => {
  for (const child of running) await kill(child);
});
afterAll(() => rm(root, { recursive: true, force: true }));

function start(...argv: string[]): ChildProcess {
  const child = spawn(process.execPath, ['--enable-source-maps', program, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  running.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function serve(dataDir: string): Promise<Served> {
  const child = start('--data', dataDir, '--port', '0', '--json');
  let errors = '';
  child.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
  return await new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error(errors)));
    child.stdout?.once('data', (data: Buffer) => resolve({ child, ...JSON.parse(data.toString()) }));
  });
}

async function failure(
  child: ChildProcess,
): Promise<{ exitCode: number | null; code: string; message: string; where: string; hint: string }> {
  let errors = '';
  child.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
  await once(child, 'close');
  return { exitCode: child.exitCode, ...JSON.parse(errors) };
}

const folder = async (name: string): Promise<string> => await mkdtemp(join(root, `${name}-`));

describe('after kill -9', () => {
  test('keys, policies, grants, sessions and roots are as they were', async () => {
    const dataDir = await folder('killed');
    const first = await serve(dataDir);
    const aws = { region: REGION, profile: 'alice', env: first.environment };
    const kms = createKms(aws);
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'kept' }));
    const KeyId = KeyMetadata?.Arn ?? '';
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: new Uint8Array([1, 2, 3]) }));
    const { GrantId } = await kms.send(
      new CreateGrantCommand({ KeyId, GranteePrincipal: ALICE_ENCLAVE_ROLE, Operations: ['Decrypt'] }),
    );
    const Policy = JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Principal: { AWS: ALICE }, Action: 'kms:*', Resource: '*' }],
    });
    const { Credentials } = await createSts(aws).send(
      new AssumeRoleCommand({ RoleArn: ALICE_ENCLAVE_ROLE, RoleSessionName: 'before' }),
    );
    const trust = await readFile(join(dataDir, 'trust.json'), 'utf8');
    const credentials = await readFile(join(dataDir, 'credentials'), 'utf8');
    // The last change before the end: answered means kept.
    await kms.send(new PutKeyPolicyCommand({ KeyId, PolicyName: 'default', Policy }));
    await kill(first.child);

    const second = await serve(dataDir);
    expect(await readFile(join(dataDir, 'trust.json'), 'utf8')).toBe(trust);
    expect(await readFile(join(dataDir, 'credentials'), 'utf8')).toBe(credentials);
    const again = createKms({ ...aws, env: second.environment });
    expect((await again.send(new DecryptCommand({ CiphertextBlob }))).Plaintext).toEqual(new Uint8Array([1, 2, 3]));
    expect((await again.send(new GetKeyPolicyCommand({ KeyId }))).Policy).toBe(Policy);
    expect((await again.send(new ListGrantsCommand({ KeyId }))).Grants).toMatchObject([{ GrantId }]);
    const session = new STSClient({
      region: REGION,
      endpoint: second.url,
      requestHandler: new NodeHttpHandler({
        httpsAgent: new Agent({ ca: await readFile(second.environment['AWS_CA_BUNDLE'] ?? '', 'utf8') }),
      }),
      credentials: {
        accessKeyId: Credentials?.AccessKeyId ?? '',
        secretAccessKey: Credentials?.SecretAccessKey ?? '',
        sessionToken: Credentials?.SessionToken ?? '',
      },
    });
    expect((await session.send(new GetCallerIdentityCommand({}))).Arn).toContain('assumed-role/accord-enclave/before');
    await kill(second.child);
  });

  test('no half-written file is taken for the state', async () => {
    const dataDir = await folder('draft');
    const aws = await startLocalAws({ dataDir });
    await aws.close();
    await writeFile(join(dataDir, 'state.json.draft'), '{"version":1,"keys":[');
    await (await startLocalAws({ dataDir })).close();
    await writeFile(join(dataDir, 'state.json'), '{"version":1,"keys":[');
    const refused = startLocalAws({ dataDir });
    await expect(refused).rejects.toMatchObject({ code: 'local-aws/state-unreadable', kind: 'environment' });
    // And the folder is free again: the state, not the lock, is what refuses once more.
    await expect(startLocalAws({ dataDir })).rejects.toMatchObject({ code: 'local-aws/state-unreadable' });
  });
});

describe('the data folder', () => {
  test('is for one process at a time', async () => {
    const dataDir = await folder('locked');
    const first = await serve(dataDir);
    const second = await failure(start('--data', dataDir, '--port', '0'));
    expect(second).toMatchObject({ exitCode: 40, code: 'store/locked', where: dataDir });
    expect(second.message).toContain(`pid ${first.child.pid}`);
    await kill(first.child);
  });

  test('keeps secrets to its owner', async () => {
    const dataDir = await folder('modes');
    await (await startLocalAws({ dataDir })).close();
    for (const file of ['state.json', 'credentials', 'tls/root.key', 'tls/server.key', 'nsm/root.json']) {
      expect((await stat(join(dataDir, file))).mode & 0o777, file).toBe(0o600);
    }
  });

  test('has a trust file that a policy takes, and says where the server is', async () => {
    const dataDir = await folder('trust');
    const aws = await startLocalAws({ dataDir });
    const trust = loadTrust(await readFile(aws.trustFile, 'utf8'), 'trust.json');
    expect(trust).toEqual(aws.trust);
    expect(trust.endpoints).toEqual({
      kms: 'https://kms.{region}.accord.test',
      sts: 'https://sts.{region}.accord.test',
      s3: 'https://s3.{region}.accord.test',
    });
    const place: unknown = JSON.parse(await readFile(join(dataDir, 'local-aws.json'), 'utf8'));
    expect(place).toMatchObject({ url: aws.url, pid: process.pid, nsmDir: aws.nsmDir });
    await aws.close();
  });
});

describe('the verb', () => {
  test('prints exports for a shell, and stops at Ctrl-C', async () => {
    const dataDir = await folder('verb');
    const child = start('--data', dataDir, '--port', '0');
    const [data]: Buffer[] = await once(child.stdout ?? child, 'data');
    const lines = String(data).trim().split('\n');
    expect(lines.map((line) => /^export ([A-Z_]+)=\S+$/.exec(line)?.[1])).toEqual([
      'AWS_CONFIG_FILE',
      'AWS_SHARED_CREDENTIALS_FILE',
      'AWS_ENDPOINT_URL',
      'AWS_CA_BUNDLE',
      'NODE_EXTRA_CA_CERTS',
    ]);
    const gone = once(child, 'exit');
    child.kill('SIGINT');
    expect(await gone).toEqual([130, null]);
    await (await lockDataFolder(dataDir)).release();
  });

  test('names the parties and their keys as JSON', async () => {
    const served = await serve(await folder('json'));
    expect(served.parties.map(({ profile }) => profile)).toEqual(['alice', 'bob', 'charlie', 'host']);
    expect(served.parties[0]?.kmsKeyArn).toBe(
      'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001',
    );
    expect(served.parties[3]).not.toHaveProperty('kmsKeyArn');
    const identity = createSts({ region: REGION, profile: 'charlie', env: served.environment });
    expect((await outcome(identity.send(new GetCallerIdentityCommand({})))).name).toBe('success');
  });

  test('says which port is in use', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const dataDir = await folder('port');
    const refused = await failure(start('--data', dataDir, '--port', String(port)));
    expect(refused).toMatchObject({ exitCode: 40, code: 'local-aws/port', where: `127.0.0.1:${port}` });
    expect(refused.hint).toContain('--port');
    taken.close();
  });

  test.each([[[]], [['--data']], [['--data', 'x', '--port', '70000']], [['--data', 'x', 'more']]])(
    'usage: %j',
    async (argv) => {
      expect((await failure(start(...argv))).exitCode).toBe(2);
    },
  );
});
