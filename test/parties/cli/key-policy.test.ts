import { DisableKeyCommand, EnableKeyCommand, GetKeyPolicyCommand } from '@aws-sdk/client-kms';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verb } from '../../../parties/cli/key-policy.ts';
import { isSamePolicy } from '../../../parties/kms/key-policy-read.ts';
import {
  ALICE,
  ALICE_ARN,
  ALICE_ENCLAVE_ROLE,
  ALICE_KEY,
  BOB_KEY,
  localAws,
} from '../../orchestrator/local/fixture.ts';
import { runVerb } from './run-verb.ts';
import type { Outcome } from './run-verb.ts';

const fixture = localAws();
const hex = (pair: string): string => pair.repeat(48);
const measurements = (pair: string): object => ({ PCR0: hex(pair), PCR1: hex('01'), PCR2: hex('02'), policyDigest: hex('dd') }); // prettier-ignore

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-key-policy-'));
  for (const pair of ['a1', 'a2']) await writeFile(join(cwd, `${pair}.json`), JSON.stringify(measurements(pair)));
  const other = { ...measurements('b1'), policyDigest: hex('bb') };
  await writeFile(join(cwd, 'b1.json'), JSON.stringify(other));
  await writeFile(join(cwd, 'no-digest.json'), JSON.stringify({ ...measurements('a1'), policyDigest: undefined }));
  await writeFile(join(cwd, 'half.json'), JSON.stringify({ ...measurements('a1'), PCR0: 'a1' }));
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

const keyPolicy = (argv: readonly string[], env: Readonly<Record<string, string>> = fixture.env): Promise<Outcome> =>
  runVerb('key-policy', verb, argv, { cwd, env });
const asAlice = (...argv: readonly string[]): Promise<Outcome> =>
  keyPolicy(['--key', ALICE_KEY, '--profile', 'alice', ...argv]);

async function inForce(): Promise<string> {
  const command = new GetKeyPolicyCommand({ KeyId: ALICE_KEY, PolicyName: 'default' });
  return (await fixture.kms('alice').send(command)).Policy ?? '';
}

describe('accord key-policy', () => {
  test('prints the policy for whom the profile belongs to, and changes nothing', async () => {
    const before = await inForce();
    const { code, out, err } = await asAlice('--measurements', 'a1.json', '--json');
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toMatchObject({
      pins: [{ pcr0: hex('a1'), policyDigest: hex('dd') }],
      callerArn: ALICE_ARN,
      contributorArn: ALICE_ARN,
      enclaveRoleArn: ALICE_ENCLAVE_ROLE,
      applied: false,
    });
    expect(await inForce()).toBe(before);
  });

  test('puts it, says so once, and keeps what was pinned with --add', async () => {
    const first = await asAlice('--measurements', 'a1.json', '--apply', '--json');
    expect(JSON.parse(first.out)).toMatchObject({ applied: true, change: { pinsAdded: [{ pcr0: hex('a1') }] } });
    expect(isSamePolicy(await inForce(), JSON.parse(first.out).policy)).toBe(true);
    expect((await asAlice('--measurements', 'a1.json', '--apply')).out).toContain('nothing changed');
    const added = JSON.parse((await asAlice('--measurements', 'a2.json', '--add', '--apply', '--json')).out);
    expect(added.pins.map(({ pcr0 }: { pcr0: string }) => pcr0)).toEqual([hex('a1'), hex('a2')]);
    expect(isSamePolicy(await inForce(), added.policy)).toBe(true);
  });

  test('says whom it shuts out where another image is pinned without --add', async () => {
    await asAlice('--measurements', 'a1.json', '--apply');
    const shown = await asAlice('--measurements', 'a2.json');
    expect(shown.err).toContain('note: the key no longer opens to an image of before');
    expect(shown.err).toContain('--add keeps them');
    expect((await asAlice('--measurements', 'a2.json', '--add')).err).not.toContain('no longer opens');
    const put = await asAlice('--measurements', 'a2.json', '--apply', '--json');
    expect(JSON.parse(put.out).warnings[0]).toContain('stops within the hour');
  });

  test('hands state over: both images are pinned, the policy says whose state the new one opens, and lint says it in words', async () => {
    await asAlice('--measurements', 'a1.json', '--apply');
    const opened = await asAlice('--measurements', 'b1.json', '--succeed', 'a1.json', '--apply');
    expect(opened.code).toBe(0);
    expect(opened.out).toContain(`and, to take over its state, under ${hex('dd')}`);
    expect(opened.out).toContain('HAND-OVER');
    const again = await asAlice('--measurements', 'b1.json', '--succeed', hex('dd'), '--apply');
    expect(again.out).toContain('nothing changed');
    const lint = await asAlice('--lint');
    expect(lint).toMatchObject({ code: 0, err: '' });
    expect(lint.out).toMatch(/HAND-OVER: the image b1b1.* may also open the state keys of policy dddd.*It makes none/);
    const done = JSON.parse((await asAlice('--measurements', 'b1.json', '--apply', '--json')).out);
    expect(done.change.pinsRemoved).toEqual([
      { pcr0: hex('a1'), policyDigest: hex('dd') },
      { pcr0: hex('b1'), policyDigest: hex('bb'), succeeds: hex('dd') },
    ]);
    const gone = await asAlice('--measurements', 'a1.json', '--succeed', hex('dd'));
    expect(gone).toMatchObject({ code: 10, err: expect.stringContaining('key-policy/succeed') });
  });

  test('names a role of another account as such', async () => {
    const role = 'arn:aws:iam::999900001111:role/accord-host';
    const { code, out } = await asAlice('--measurements', 'a1.json', '--host-role', role, '--apply');
    expect(code).toBe(0);
    expect(out).toContain('a role of ANOTHER account (999900001111)');
    expect((await asAlice('--lint')).out).toContain('open this key without you');
    const kept = await asAlice('--measurements', 'a2.json', '--add', '--json');
    expect(JSON.parse(kept.out).hostRoleArn).toBe(role);
    await asAlice('--measurements', 'a1.json', '--apply');
    expect((await asAlice('--lint')).out).not.toContain('ANOTHER');
  });

  test('lint says no to a policy that is not of Accord', async () => {
    const lint = await keyPolicy(['--key', BOB_KEY, '--profile', 'bob', '--lint']);
    expect(lint).toMatchObject({ code: 10, out: expect.stringContaining('FAULT: The policy was not written by') });
  });

  test("says no to a key of another account, and to keeping a policy that is not Accord's", async () => {
    const foreign = await keyPolicy(['--key', BOB_KEY, '--profile', 'alice', '--measurements', 'a1.json', '--apply']);
    expect(foreign).toMatchObject({ code: 10, err: expect.stringContaining('key-policy/lockout') });
    const unknown = await keyPolicy(['--key', BOB_KEY, '--profile', 'bob', '--measurements', 'a1.json', '--add']);
    expect(unknown).toMatchObject({ code: 10, err: expect.stringContaining('key-policy/add') });
  });

  test('warns of a disabled key', async () => {
    await fixture.kms('alice').send(new DisableKeyCommand({ KeyId: ALICE_KEY }));
    const { code, err } = await asAlice('--measurements', 'a1.json');
    await fixture.kms('alice').send(new EnableKeyCommand({ KeyId: ALICE_KEY }));
    expect(code).toBe(0);
    expect(err).toContain('the key is disabled');
    expect((await asAlice('--measurements', 'a1.json')).err).not.toContain('disabled');
  });

  test('asks nobody where everything is named', async () => {
    const named = ['--caller', ALICE_ARN, '--contributor', ALICE_ARN, '--measurements', 'a1.json', '--json'];
    const { code, out } = await keyPolicy(['--key', ALICE_KEY, ...named], { AWS_ENDPOINT_URL: 'http://127.0.0.1:1' });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ enclaveRoleArn: ALICE_ENCLAVE_ROLE, applied: false });
  });

  test.each([
    ['no key', ['--measurements', 'a1.json']],
    ['nothing to pin', ['--key', ALICE_KEY]],
    ['a PCR0 without its digest', ['--key', ALICE_KEY, '--pcr0', hex('a1')]],
    ['a digest without its PCR0', ['--key', ALICE_KEY, '--measurements', 'a1.json', '--policy-digest', hex('dd')]],
    ['a key by its name', ['--key', 'foo', '--lint']],
    ['an option that it does not have', ['--key', ALICE_KEY, '--measurements', 'a1.json', '--home', '.']],
  ])('takes %s for a wrong call', async (_, argv) => {
    expect(await keyPolicy(argv)).toMatchObject({ code: 2, out: '', err: expect.stringContaining('cli/arguments') });
  });

  test.each([
    ['no-digest.json', /policyDigest is missing/],
    ['half.json', /PCR0 is not of the form/],
  ])('takes no measurements from %s', async (file, message) => {
    const { code, err } = await asAlice('--measurements', file, '--apply');
    expect(code).toBe(30);
    expect(err).toMatch(message);
    expect(err).toContain('accord build writes measurements.json');
  });
});

describe('an AWS that is not there', () => {
  const apply = (profile: string, env: Readonly<Record<string, string>>): Promise<Outcome> =>
    keyPolicy(['--key', ALICE_KEY, '--profile', profile, '--measurements', 'a1.json', '--apply'], env);

  test('a profile without credentials is named, with the files that were looked in', async () => {
    const files = { AWS_CONFIG_FILE: join(cwd, 'no-config'), AWS_SHARED_CREDENTIALS_FILE: join(cwd, 'no-credentials') };
    for (const env of [files, { ...fixture.env }]) {
      const { code, out, err } = await apply('alcie', env);
      expect([code, out]).toEqual([2, '']);
      expect(err).toContain('no AWS profile "alcie"');
      expect(err).toContain(env.AWS_CONFIG_FILE);
      expect(err).toContain('paste the exports of `accord local-aws`');
      expect(err).not.toContain('where: ');
    }
  });

  test('a local one that does not run is asked for', async () => {
    const { code, err } = await apply('alice', { ...fixture.env, AWS_ENDPOINT_URL: 'http://127.0.0.1:1' });
    expect(code).toBe(40);
    expect(err).toContain('is `accord local-aws` running?');
  });
});

describe('a key that cannot carry the policy', () => {
  const USABLE = { KeySpec: 'SYMMETRIC_DEFAULT', KeyUsage: 'ENCRYPT_DECRYPT', MultiRegion: false, KeyState: 'Enabled' };
  const IDENTITY =
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>' +
    `<Arn>${ALICE_ARN}</Arn><UserId>A</UserId><Account>${ALICE}</Account>` +
    '</GetCallerIdentityResult></GetCallerIdentityResponse>';
  let server: Server;
  let env: Readonly<Record<string, string>>;
  let metadata: object | undefined;
  const asked: string[] = [];

  /** An AWS that says of Alice's key whatever a test wants. */
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const action = /\.(\w+)$/.exec(String(request.headers['x-amz-target']))?.[1] ?? /Action=(\w+)/.exec(body)?.[1];
    asked.push(String(action));
    response.setHeader('content-type', action === 'GetCallerIdentity' ? 'text/xml' : 'application/x-amz-json-1.1');
    if (action === 'GetCallerIdentity') response.end(IDENTITY);
    else if (action === 'DescribeKey') response.end(JSON.stringify({ KeyMetadata: metadata }));
    else if (action === 'GetKeyPolicy') response.end(JSON.stringify({ Policy: '{}' }));
    else response.writeHead(400).end('{"__type":"UnsupportedOperationException"}');
  }

  beforeAll(async () => {
    server = createServer((request, response) => void answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const credentials = join(cwd, 'credentials');
    await writeFile(credentials, '[alice]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = example\n');
    env = { AWS_ENDPOINT_URL: `http://127.0.0.1:${address.port}`, AWS_SHARED_CREDENTIALS_FILE: credentials };
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const apply = async (said: object | undefined): Promise<Outcome> => {
    metadata = said;
    asked.length = 0;
    return keyPolicy(['--key', ALICE_KEY, '--profile', 'alice', '--measurements', 'a1.json', '--apply'], env);
  };

  test.each([
    ['asymmetric', { KeySpec: 'RSA_2048' }, /asymmetric/],
    ['for signing', { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }, /for signing/],
    ['for MACs', { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }, /asymmetric or for signing/],
    ['of a kind that is not told', { KeySpec: undefined }, /cannot be used/],
    ['multi-Region', { MultiRegion: true }, /multi-Region/],
    ['about to be deleted', { KeyState: 'PendingDeletion' }, /waits for its deletion/],
  ])('%s: refused before anything is put', async (_, change, message) => {
    const { code, out, err } = await apply({ Arn: ALICE_KEY, KeyId: 'a', ...USABLE, ...change });
    expect([code, out]).toEqual([10, '']);
    expect(err).toContain('key-policy/key');
    expect(err).toMatch(message);
    expect(asked).toEqual(['GetCallerIdentity', 'DescribeKey']);
  });

  test('one of which nothing is said: told, and nothing is put', async () => {
    expect(await apply(undefined)).toMatchObject({ code: 40, err: expect.stringContaining('aws/incomplete') });
    expect(asked).not.toContain('PutKeyPolicy');
  });

  test('the same key without a fault is put: it is the fault that is refused', async () => {
    await apply({ Arn: ALICE_KEY, KeyId: 'a', ...USABLE });
    expect(asked).toContain('PutKeyPolicy');
  });
});

describe('a key for trials', () => {
  const offline = ['--caller', ALICE_ARN, '--contributor', ALICE_ARN];

  test('names no image, and opens to any enclave for test data, sessions and what a trial remembers', async () => {
    const { code, out } = await keyPolicy(['--key', ALICE_KEY, '--trial', ...offline, '--json']);
    expect(code).toBe(0);
    const { policy, warnings } = JSON.parse(out);
    expect(JSON.stringify(policy)).not.toContain('RecipientAttestation');
    expect(policy.Statement).toContainEqual(
      expect.objectContaining({
        Sid: 'DenyOpeningAllButTestData',
        Condition: {
          StringNotEquals: { 'kms:EncryptionContext:accord:purpose': ['session', 'test-model', 'anchor', 'state'] },
        },
      }),
    );
    expect(warnings[0]).toContain('for trials');
  });

  test('is never one that opens to an image already', async () => {
    await asAlice('--measurements', 'a1.json', '--apply');
    const before = await inForce();
    const { code, err } = await asAlice('--trial', '--apply');
    expect([code, err]).toEqual([10, expect.stringContaining('key-policy/trial')]);
    expect(await inForce()).toBe(before);
  });

  test('is put on a key that pins nothing', async () => {
    const bob = ['--key', BOB_KEY, '--profile', 'bob'];
    expect((await keyPolicy([...bob, '--trial', '--apply'])).code).toBe(0);
    expect((await keyPolicy([...bob, '--trial', '--apply'])).out).toContain('nothing changed');
  });

  test('names no image beside it', async () => {
    const { code, err } = await asAlice('--trial', '--measurements', 'a1.json');
    expect([code, err]).toEqual([2, expect.stringContaining('--trial names no image')]);
  });
});
