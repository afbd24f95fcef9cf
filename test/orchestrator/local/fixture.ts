/** A local AWS of its own for a test file, and clients of it as the SDK makes them. */
import { KMSClient } from '@aws-sdk/client-kms';
import { IAMClient } from '@aws-sdk/client-iam';
import { S3Client } from '@aws-sdk/client-s3';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { AssumeRoleCommand } from '@aws-sdk/client-sts';
import { fromIni } from '@aws-sdk/credential-providers';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { Agent } from 'node:https';
import { afterAll, beforeAll } from 'vitest';
import { ENCLAVE_ROLE, WELL_KNOWN, initialState, keyArn, uniqueId } from '../../../orchestrator/local/accounts.ts';
import type { LocalAws } from '../../../orchestrator/local/aws.ts';
import { startLocalAws } from '../../../orchestrator/local/aws.ts';
import type { Disturb } from '../../../orchestrator/local/disturbance.ts';
import type { Account, State } from '../../../orchestrator/local/state.ts';
import { createKms, createSts } from '../../../parties/kms/client.ts';

export const REGION = 'eu-west-1';
export const ALICE: string = WELL_KNOWN.alice.account;
export const BOB: string = WELL_KNOWN.bob.account;
export const ALICE_KEY: string = keyArn(REGION, ALICE, WELL_KNOWN.alice.keyId);
export const BOB_KEY: string = keyArn(REGION, BOB, WELL_KNOWN.bob.keyId);
export const ALICE_ARN: string = `arn:aws:iam::${ALICE}:user/alice`;
/** A second administrator in Alice's account, who is neither caller nor contributor. */
export const MALLORY_ARN: string = `arn:aws:iam::${ALICE}:user/mallory`;
export const ALICE_ENCLAVE_ROLE: string = `arn:aws:iam::${ALICE}:role/${ENCLAVE_ROLE}`;
/** A role in Alice's account that may do everything IAM can allow. */
export const ADMIN_ROLE: string = `arn:aws:iam::${ALICE}:role/admin`;

const EVERYTHING = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }],
});
const NOTHING = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 'sts:AssumeRole', Resource: '*' }],
});

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface Fixture {
  readonly aws: LocalAws;
  readonly env: Readonly<Record<string, string>>;
  kms(profile: string, region?: string): KMSClient;
  sts(profile: string): ReturnType<typeof createSts>;
  /** Path style, retrying nothing. */
  s3(who: string | Credentials, options?: S3ClientConfig): S3Client;
  iam(who: string | Credentials): IAMClient;
  /** A client with the credentials of a role's session. */
  assume(profile: string, roleArn: string, policy?: object, session?: string): Promise<KMSClient>;
}

interface Common {
  readonly endpoint: string;
  readonly maxAttempts: number;
  readonly credentials: ReturnType<typeof fromIni> | Credentials;
  readonly requestHandler: NodeHttpHandler;
}

/** Starts before all tests of the file and stops after them. */
export function localAws(now?: () => number, disturb?: Disturb): Fixture {
  let aws: LocalAws | undefined;
  const clients: { destroy(): void }[] = [];
  const running = (): LocalAws => {
    if (aws === undefined) throw new Error('the local AWS has not started');
    return aws;
  };
  const kept = <T extends { destroy(): void }>(client: T): T => {
    clients.push(client);
    return client;
  };
  const common = (who: string | Credentials): Common => {
    const filepath = running().environment()['AWS_SHARED_CREDENTIALS_FILE'] ?? '';
    return {
      endpoint: running().url,
      maxAttempts: 1,
      credentials: typeof who === 'string' ? fromIni({ profile: who, filepath }) : who,
      requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: running().caPem, keepAlive: true }) }),
    };
  };
  const fixture: Fixture = {
    get aws() {
      return running();
    },
    get env() {
      return running().environment();
    },
    kms: (profile, region = REGION) => kept(createKms({ profile, region, env: running().environment() })),
    sts: (profile) => kept(createSts({ profile, region: REGION, env: running().environment() })),
    s3: (who, options = {}) => kept(new S3Client({ ...common(who), region: REGION, forcePathStyle: true, ...options })),
    iam: (who) => kept(new IAMClient({ ...common(who), region: 'us-east-1' })),
    assume: async (profile, roleArn, policy, session = 'test') => {
      const { Credentials: given } = await fixture.sts(profile).send(
        new AssumeRoleCommand({
          RoleArn: roleArn,
          RoleSessionName: session,
          ...(policy === undefined ? {} : { Policy: JSON.stringify(policy) }),
        }),
      );
      return kept(
        new KMSClient({
          region: REGION,
          endpoint: running().url,
          maxAttempts: 1,
          requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: running().caPem }) }),
          credentials: {
            accessKeyId: given?.AccessKeyId ?? '',
            secretAccessKey: given?.SecretAccessKey ?? '',
            sessionToken: given?.SessionToken ?? '',
          },
        }),
      );
    },
  };
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'accord-aws-'));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'state.json'), JSON.stringify(populated(initialState(now?.() ?? Date.now()))));
    aws = await startLocalAws({
      dataDir: folder,
      ...(now === undefined ? {} : { now }),
      ...(disturb === undefined ? {} : { disturb }),
    });
  });
  afterAll(async () => {
    for (const client of clients) client.destroy();
    await aws?.close();
    await rm(folder, { recursive: true, force: true });
  });
  return fixture;
}

/** Alice's account with a few more people in it: each is an attacker in some test. */
function populated(state: State): State {
  const user = (name: string, policy: string): Account['users'][number] => ({
    name,
    arn: `arn:aws:iam::${ALICE}:user/${name}`,
    userId: uniqueId('AIDA'),
    createdAt: 0,
    accessKeys: [{ id: uniqueId('AKIA'), secret: randomBytes(30).toString('base64'), createdAt: 0 }],
    policies: [{ name: 'only', document: policy }],
    profile: true,
  });
  return {
    ...state,
    accounts: state.accounts.map((account) => {
      if (account.id !== ALICE) return account;
      const [enclave] = account.roles;
      if (enclave === undefined) throw new Error('no enclave role');
      return {
        ...account,
        users: [...account.users, user('mallory', EVERYTHING), user('intern', NOTHING)],
        roles: [
          enclave,
          { ...enclave, name: 'admin', arn: ADMIN_ROLE, roleId: uniqueId('AROA'), policies: [EVERYTHING] },
        ],
      };
    }),
  };
}

export interface RecipientPair {
  readonly spki: Uint8Array;
  readonly privateKey: KeyObject;
}

export function rsaPair(modulusLength = 2048): RecipientPair {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength });
  return { spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })), privateKey };
}

/** The error that a call ends with, by AWS's name; or `success`. */
export async function outcome(call: Promise<unknown>): Promise<{ readonly name: string; readonly message: string }> {
  try {
    await call;
    return { name: 'success', message: '' };
  } catch (cause) {
    if (cause instanceof Error) return { name: cause.name, message: cause.message };
    throw cause;
  }
}
