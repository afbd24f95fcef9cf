/** `accord anchor` against AWS in miniature, and what its policies stop there. */
import { ListAccessKeysCommand, PutUserPolicyCommand } from '@aws-sdk/client-iam';
import type { PutObjectCommandInput } from '@aws-sdk/client-s3';
import {
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  GetBucketPolicyCommand,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3';
import { DecryptCommand } from '@aws-sdk/client-kms';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAnchorCredential } from '../../../enclave/claims/anchor-credential.ts';
import type { AnchorCredential } from '../../../enclave/claims/anchor-credential.ts';
import { openS3Anchor } from '../../../enclave/claims/open-anchor.ts';
import { sha256 } from '../../../enclave/crypto/digest.ts';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { anchorContext } from '../../../enclave/protocol/context.ts';
import { readEnvelope } from '../../../enclave/protocol/envelope.ts';
import { verb } from '../../../parties/cli/anchor.ts';
import type { PolicyDigest } from '../../../policies/model.ts';
import { realTimers } from '../../enclave/real-timers.ts';
import { ALICE, REGION, localAws } from '../../orchestrator/local/fixture.ts';
import { runVerb } from '../cli/run-verb.ts';
import type { Outcome } from '../cli/run-verb.ts';
import { anchoredHome } from './anchored.ts';

const fixture = localAws();
const BUCKET = 'alice-accord-anchor';
const USER = `accord-anchor-${BUCKET}`;
const ANCHORS = `{ alice: { s3: "s3://${BUCKET}" }, bob: { s3: "s3://bob-accord-anchor" } }`;
const live = (): AbortSignal => new AbortController().signal;

let cwd: string;
let digest: PolicyDigest;
let server: Server;
const stored = new Map<string, Uint8Array>();
let takes = true;

beforeAll(async () => {
  server = createServer((request, response) => {
    void (async () => {
      const body = new Uint8Array(await buffer(request));
      if (!takes) {
        response.writeHead(503, { 'content-type': 'application/problem+json' }).end('{"title":"not now"}');
        return;
      }
      stored.set(request.url ?? '', body);
      const answer = { function: 'anchor.alice', bytes: body.length, sha256: toHex(await sha256(body)) };
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    })();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  cwd = await mkdtemp(join(tmpdir(), 'accord-anchor-'));
  digest = await anchoredHome(cwd, ANCHORS, `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`);
});
afterAll(async () => {
  server.close();
  await rm(cwd, { recursive: true, force: true });
});

const anchor = (...argv: readonly string[]): Promise<Outcome> =>
  runVerb('anchor', verb, argv, { cwd, env: fixture.env });
const s3 = () => fixture.s3('alice');
const policyInForce = async (): Promise<string> =>
  (await s3().send(new GetBucketPolicyCommand({ Bucket: BUCKET }))).Policy ?? '';
const accessKeys = async (): Promise<readonly string[]> =>
  ((await fixture.iam('alice').send(new ListAccessKeysCommand({ UserName: USER }))).AccessKeyMetadata ?? [])
    .map(({ AccessKeyId }) => AccessKeyId ?? '')
    .sort();

describe('accord anchor make', () => {
  test('with --dry-run says what it will do, and does nothing', async () => {
    const { code, out } = await anchor('make', 'policy.yaml', '--party', 'alice', '--profile', 'alice', '--dry-run');
    expect(code).toBe(0);
    expect(out).toMatch(/make the bucket alice-accord-anchor in eu-west-1, with Object Lock and versioning/);
    expect(out).toMatch(/make the IAM user accord-anchor-alice-accord-anchor/);
    expect(out).toMatch(/"Sid": "OnlyWhatIsAbsent"/);
    const { code: lint, out: found } = await anchor('lint');
    expect(lint).toBe(10);
    expect(found).toMatch(/there is no bucket/);
    expect(found).toMatch(/there is no IAM user/);
  });

  test('makes it, and the same again changes nothing', async () => {
    const first = await anchor('make');
    expect([first.code, first.out]).toEqual([0, `s3://${BUCKET}/accord/\n`]);
    const policy = await policyInForce();
    const again = await anchor('make');
    expect(again.err).toMatch(/nothing changed/);
    expect(await policyInForce()).toBe(policy);
    const { code, out } = await anchor('lint');
    expect(out).toMatch(/no way around this anchor was found/);
    expect(code).toBe(0);
    expect(out).toMatch(/note: .*Closing the account would/);
  });

  test('lets named readers read, of another account too', async () => {
    const reader = 'arn:aws:iam::444455556666:user/bob';
    const { code, err } = await anchor('make', '--reader', reader);
    expect([code, err]).toEqual([0, expect.stringContaining("put the bucket's policy")]);
    const listing = fixture.s3('bob').send(new ListObjectVersionsCommand({ Bucket: BUCKET, Prefix: 'accord/' }));
    expect((await listing).Versions ?? []).toEqual([]);
    expect((await anchor('lint', '--reader', reader)).code).toBe(0);
    // Whoever does not know of him is told.
    const { code: lint, out } = await anchor('lint');
    expect([lint, out]).toEqual([10, expect.stringContaining('user/bob')]);
    expect((await anchor('make')).err).toContain(`${reader} will no longer read (--reader keeps them)`);
    await expect(
      fixture.s3('bob').send(new ListObjectVersionsCommand({ Bucket: BUCKET, Prefix: 'accord/' })),
    ).rejects.toMatchObject({ name: 'AccessDenied' });
  });

  test.each([
    [['make', '--profile', 'bob'], /credentials belong to account 444455556666/, 10],
    [['make', '--reader', 'bob'], /ARN of a user or a role/, 2],
    [['lint', '--dry-run'], /--dry-run is for make/, 2],
    [[], /say what to do/, 2],
    [['make', 'policy.yaml'], /--party NAME is missing/, 2],
    [['make', 'policy.yaml', '--party', 'carol'], /no party carol/, 2],
    [['contribute', 'policy.yaml'], /takes no policy/, 2],
  ] as const)('%j is refused', async (argv, message, wanted) => {
    const { code, err } = await anchor(...argv);
    expect([code, err]).toEqual([wanted, expect.stringMatching(message)]);
  });

  test('a name that another account has taken', async () => {
    const argv = ['make', 'policy.yaml', '--party', 'bob', '--profile', 'bob'] as const;
    const { code } = await anchor(...argv);
    expect(code).toBe(0);
    const yaml = (await readFile(join(cwd, 'policy.yaml'), 'utf8')).replace(`s3://${BUCKET}"`, 's3://bob-accord-anchor/x"').replace('bob: { s3: "s3://bob-accord-anchor" }', `bob: { s3: "s3://${BUCKET}" }`); // prettier-ignore
    await writeFile(join(cwd, 'swapped.yaml'), yaml);
    const taken = await anchor('make', 'swapped.yaml', '--party', 'bob', '--profile', 'bob');
    expect([taken.code, taken.err]).toEqual([10, expect.stringMatching(/of another account[^]*choose another name/)]);
  });
});

describe('accord anchor lint', () => {
  test.each([
    ['OnlyTheEnclaveWrites', /others whom IAM allows it can write/],
    ['OnlyWhatIsAbsent', /can be written over/],
    ['OnlyLocked', /can be removed again/],
    ['RetentionIsBounded', /for as long as it likes/],
    ['NothingIsRemoved', /delete markers/],
    ['OnlyUnderThePrefix', /outside of accord\//],
    ['OnlyOverTls', /without TLS/],
  ])('says what is open without %s', async (sid, message) => {
    const whole = await policyInForce();
    const document: { Statement: { Sid: string }[] } = JSON.parse(whole);
    const Statement = document.Statement.filter(({ Sid }) => Sid !== sid);
    expect(Statement).toHaveLength(document.Statement.length - 1);
    await s3().send(new PutBucketPolicyCommand({ Bucket: BUCKET, Policy: JSON.stringify({ ...document, Statement }) }));
    const { code, out } = await anchor('lint');
    expect([code, out]).toEqual([10, expect.stringMatching(message)]);
    expect((await anchor('make')).code).toBe(0);
    expect((await anchor('lint')).code).toBe(0);
  });

  test('says that there is no policy, that one says more, and that the user may do more', async () => {
    const whole: { Statement: object[] } = JSON.parse(await policyInForce());
    await s3().send(new DeleteBucketPolicyCommand({ Bucket: BUCKET }));
    expect((await anchor('lint')).out).toMatch(/the bucket has no policy/);
    const open = { Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${BUCKET}/*` };
    const Policy = JSON.stringify({ ...whole, Statement: [...whole.Statement, open] });
    await s3().send(new PutBucketPolicyCommand({ Bucket: BUCKET, Policy }));
    const more = await anchor('lint', '--json');
    expect(JSON.parse(more.out)).toMatchObject({ ways: [{ code: 'policy-statement-allows' }] });
    const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 's3:*', Resource: '*' }] }); // prettier-ignore
    await fixture.iam('alice').send(new PutUserPolicyCommand({ UserName: USER, PolicyName: 'accord-anchor', PolicyDocument })); // prettier-ignore
    expect((await anchor('lint')).out).toMatch(/not what the enclave needs, no more and no less/);
    await anchor('make');
    expect((await anchor('lint')).code).toBe(0);
  });
});

describe('accord anchor contribute', () => {
  let credential: AnchorCredential;

  async function handedOver(): Promise<AnchorCredential> {
    const bytes = stored.get('/v1/collaborations/c1/contributions/anchor.alice') ?? new Uint8Array(0);
    const envelope = await readEnvelope([bytes]);
    const { header } = envelope;
    const context = anchorContext({ policyDigest: digest, party: 'alice' });
    expect(header.context).toEqual(context);
    const command = new DecryptCommand({ CiphertextBlob: header.dataKey, EncryptionContext: { ...context } });
    const { Plaintext: dataKey = new Uint8Array(0) } = await fixture.kms('alice').send(command);
    const parts: Uint8Array[] = [];
    for await (const part of envelope.open(dataKey)) parts.push(part);
    return parseAnchorCredential(new Uint8Array(Buffer.concat(parts)));
  }

  test('hands a credential to the enclave that is nowhere else', async () => {
    const { code, out, err } = await anchor('contribute');
    expect([code, err]).toEqual([0, expect.stringContaining('with your next session')]);
    credential = await handedOver();
    expect(out).toBe(`${credential.accessKeyId}\n`);
    expect(await accessKeys()).toEqual([credential.accessKeyId]);
    const home = join(cwd, '.accord', 'alice');
    const files = (await readdir(home, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    for (const { parentPath, name } of files)
      expect(await readFile(join(parentPath, name), 'latin1')).not.toContain(credential.secretAccessKey);
    expect(out + err).not.toContain(credential.secretAccessKey);
  });

  test('with it the enclave can do what it must, and nothing else', async () => {
    const { url, caPem } = fixture.aws;
    const held = openS3Anchor({
      aws: {
        trust: { attestationRoot: '', tlsRoots: [], endpoints: { kms: url, sts: url, s3: url } },
        agent: new Agent({ ca: caPem }),
        clockOffset: () => Promise.resolve(0),
      },
      timers: realTimers,
      store: { owner: 'alice', s3: { bucket: BUCKET, prefix: 'accord/', region: REGION } },
      account: ALICE,
      credential,
      until: '2027-06-30',
    });
    await held.check(live());
    const entry = new Uint8Array(101).fill(1);
    expect(await held.claim('tickets/ab/classify/alice', 0, entry, live())).toEqual(entry);
    expect(await held.claim('tickets/ab/classify/alice', 0, new Uint8Array(101).fill(2), live())).toEqual(entry);
    expect(await held.holder('tickets/ab/classify/alice', 0, live())).toEqual(entry);
    expect(await held.holder('tickets/ab/classify/alice', 1, live())).toBeUndefined();
  });

  const LOCKED = {
    Bucket: BUCKET,
    Key: 'accord/x',
    Body: 'x',
    IfNoneMatch: '*',
    ObjectLockMode: 'COMPLIANCE',
    ObjectLockRetainUntilDate: new Date(Date.now() + 86_400_000),
  } as const;
  test.each<readonly [string, Partial<PutObjectCommandInput>]>([
    ['outside of its prefix', { Key: 'elsewhere/x' }],
    ['over what is there', { IfNoneMatch: undefined }],
    ['without a lock', { ObjectLockMode: undefined, ObjectLockRetainUntilDate: undefined }],
    ['with a lock that can be ended', { ObjectLockMode: 'GOVERNANCE' }],
    ['for a hundred years', { ObjectLockRetainUntilDate: new Date('2126-01-01') }],
  ])('neither it nor the owner writes %s', async (_, change) => {
    const input: PutObjectCommandInput = { ...LOCKED, ...change };
    await expect(fixture.s3(credential).send(new PutObjectCommand(input))).rejects.toMatchObject({
      name: 'AccessDenied',
    });
    await expect(s3().send(new PutObjectCommand(input))).rejects.toMatchObject({ name: 'AccessDenied' });
  });

  test('the owner writes nothing at all, and nobody hides or prolongs an entry', async () => {
    await expect(s3().send(new PutObjectCommand(LOCKED))).rejects.toMatchObject({ name: 'AccessDenied' });
    const at = { Bucket: BUCKET, Key: 'accord/tickets/ab/classify/alice/0' };
    const Retention = { Mode: 'COMPLIANCE', RetainUntilDate: new Date('2126-01-01') } as const;
    for (const client of [s3(), fixture.s3(credential)]) {
      await expect(client.send(new DeleteObjectCommand(at))).rejects.toMatchObject({ name: 'AccessDenied' });
      await expect(client.send(new PutObjectRetentionCommand({ ...at, Retention }))).rejects.toMatchObject({
        name: 'AccessDenied',
      });
    }
  });

  test('again: a new key, the one before stays for the enclave that runs, and the oldest goes', async () => {
    const first = credential.accessKeyId;
    const second: { accessKeyId: string; removed?: string } = JSON.parse((await anchor('contribute', '--json')).out);
    expect(second.removed).toBeUndefined();
    expect(await accessKeys()).toEqual([first, second.accessKeyId].sort());
    const third: { accessKeyId: string; removed?: string } = JSON.parse((await anchor('contribute', '--json')).out);
    expect(third.removed).toBe(first);
    expect(await accessKeys()).toEqual([second.accessKeyId, third.accessKeyId].sort());
  });

  test('that fails leaves no key behind', async () => {
    const before = await accessKeys();
    takes = false;
    const { code } = await anchor('contribute');
    takes = true;
    expect(code).toBe(40);
    const after = await accessKeys();
    expect(after).toHaveLength(1); // the oldest made room
    expect(before).toContain(after[0]);
    expect(await readdir(join(cwd, '.accord', 'alice', 'outbox'))).toEqual([]);
  });

  test('before make says what to do first', async () => {
    const other = await mkdtemp(join(tmpdir(), 'accord-anchor-'));
    await anchoredHome(other, '{ alice: { s3: "s3://not-made-yet" }, bob: { s3: "s3://b" } }'.replace('s3://b"', 's3://bob-b"'), 'http://127.0.0.1:1'); // prettier-ignore
    const { code, err } = await runVerb('anchor', verb, ['contribute'], { cwd: other, env: fixture.env });
    expect([code, err]).toEqual([10, expect.stringMatching(/there is no bucket not-made-yet[^]*accord anchor make/)]);
    await rm(other, { recursive: true, force: true });
  });
});
