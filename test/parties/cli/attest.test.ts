import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { encodeUserData } from '../../../enclave/protocol/user-data.ts';
import { verb } from '../../../parties/cli/attest.ts';
import type { PolicyDigest } from '../../../policies/model.ts';
import { describeWithVectors } from '../../vectors.ts';
import { CLAIMS, NOW, flipByte, makeChain, makeDocument, readVectors, rootOf } from '../attestation/testkit.ts';
import type { Chain } from '../attestation/testkit.ts';
import { runVerb } from './run-verb.ts';
import type { Outcome } from './run-verb.ts';

const attest = (cwd: string, argv: readonly string[], stdin?: Uint8Array): Promise<Outcome> =>
  runVerb('attest', verb, argv, { cwd, ...(stdin === undefined ? {} : { stdin }) });

async function asJson(cwd: string, argv: readonly string[], stdin?: Uint8Array): Promise<Record<string, unknown>> {
  const { code, out } = await attest(cwd, [...argv, '--json'], stdin);
  expect(out.endsWith('}\n')).toBe(true);
  expect(out.trim().split('\n')).toHaveLength(1);
  return { exitCode: code, ...JSON.parse(out) };
}

const DIGEST = 'ab'.repeat(48) as PolicyDigest; // oxlint-disable-line typescript/no-unsafe-type-assertion -- a test's own
const AT = new Date(NOW).toISOString();
let folder: string;
let chain: Chain;
let document: Uint8Array;
let base64: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-attest-'));
  chain = await makeChain();
  document = await makeDocument(chain, { userData: encodeUserData(DIGEST) });
  base64 = Buffer.from(document).toString('base64');
  await writeFile(join(folder, 'document'), document);
  await writeFile(join(folder, 'spoiled'), flipByte(document, -1));
  await writeFile(join(folder, 'root.der'), rootOf(chain));
  const lines = Buffer.from(rootOf(chain)).toString('base64').replaceAll(/.{64}/g, '$&\n');
  const pem = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----`;
  await writeFile(join(folder, 'root.pem'), `Subject: local\n${pem}\n`);
  await writeFile(join(folder, 'two.pem'), `${pem}\n${pem}\n`);
  await writeFile(join(folder, 'none.pem'), 'not a certificate');
  await writeFile(join(folder, 'broken.der'), rootOf(chain).subarray(1));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const LOCAL = ['--document', 'document', '--root', 'root.der'];

describe('a document that is valid', () => {
  test('as JSON, with everything it says and everything that was not checked', async () => {
    const report = await asJson(folder, [...LOCAL, '--at', 'document']);
    expect(report).toMatchObject({
      exitCode: 0,
      valid: true,
      code: 'attestation/valid',
      moduleId: CLAIMS.moduleId,
      timestamp: AT,
      at: AT,
      debug: false,
      root: { kind: 'local' },
      notChecked: ['PCR0', 'PCR1', 'PCR2', 'nonce', 'policyDigest', 'maxAge'],
      publicKey: '07'.repeat(32),
      nonce: '09'.repeat(32),
      policyDigest: DIGEST,
      userData: toHex(encodeUserData(DIGEST)),
    });
    expect(report['pcrs']).toMatchObject({ 0: '01'.repeat(48), 4: '05'.repeat(48) });
  });

  test('everything stated leaves nothing open', async () => {
    const stated = [
      '--pcr',
      `0=${'01'.repeat(48)}`,
      '--pcr',
      `PCR1=${'02'.repeat(48)}`,
      '--pcr',
      `2=${'03'.repeat(48)}`,
    ];
    const more = ['--nonce', '09'.repeat(32), '--policy-digest', DIGEST.toUpperCase(), '--max-age', '1m', '--at', AT];
    expect(await asJson(folder, [...LOCAL, ...stated, ...more])).toMatchObject({
      exitCode: 0,
      valid: true,
      notChecked: [],
    });
  });

  test('for people: a local root is named as what it is', async () => {
    const { code, out, err } = await attest(folder, [...LOCAL, '--at', 'document']);
    expect([code, err]).toStrictEqual([0, '']);
    expect(out).toMatch(/^VALID: /);
    expect(out).toContain('root         LOCAL ');
    expect(out.replaceAll(/\s+/g, ' ')).toContain('says nothing about Nitro hardware [local-root]');
    expect(out).toContain('not checked: PCR0, PCR1, PCR2, nonce, policyDigest, maxAge');
    expect(out).toContain(`policy       ${DIGEST}`);
  });

  test.each([
    ['raw', () => document],
    ['base64', () => Buffer.from(base64)],
    ['base64 in lines', () => Buffer.from(`${base64.replaceAll(/.{76}/g, '$&\r\n')}\n`)],
    ['base64url without padding', () => Buffer.from(Buffer.from(document).toString('base64url'))],
  ])('from stdin, %s', async (_, bytes) => {
    expect(await asJson(folder, ['--document', '-', '--root', 'root.pem', '--at', AT], bytes())).toMatchObject({
      exitCode: 0,
    });
  });

  test('control characters of a document do not reach the terminal', async () => {
    await writeFile(join(folder, 'escape'), await makeDocument(chain, { moduleId: 'i-\u001B[2Jé' }));
    const { out } = await attest(folder, ['--document', 'escape', '--root', 'root.der', '--at', AT]);
    expect(out).toContain('module       i-?[2J?');
  });
});

describe('a document that is refused', () => {
  const zeros = new Uint8Array(48);
  const debugDocument = () => makeDocument(chain, { pcrs: new Map([0, 1, 2].map((index) => [index, zeros])) });

  test.each([
    ['attestation/unknown-root', ['--document', 'document', '--at', 'document']],
    ['attestation/signature', ['--document', 'spoiled', '--root', 'root.der', '--at', 'document']],
    ['attestation/expired', [...LOCAL, '--at', '2030-01-01']],
    ['attestation/not-yet-valid', [...LOCAL, '--at', '2026-01-01T00:00:00+02:00']],
    ['attestation/pcr-mismatch', [...LOCAL, '--at', 'document', '--pcr', `0=${'00'.repeat(48)}`]],
    ['attestation/pcr-missing', [...LOCAL, '--at', 'document', '--pcr', `8=${'00'.repeat(48)}`]],
    ['attestation/nonce-mismatch', [...LOCAL, '--at', 'document', '--nonce', '00']],
    ['attestation/policy-mismatch', [...LOCAL, '--at', 'document', '--policy-digest', 'cd'.repeat(48)]],
    ['attestation/stale', [...LOCAL, '--at', new Date(NOW + 61_000).toISOString(), '--max-age', '60s']],
  ])('%s', async (code, argv) => {
    const report = await asJson(folder, argv);
    expect(report).toMatchObject({ exitCode: 10, valid: false, code, moduleId: CLAIMS.moduleId, timestamp: AT });
    expect(report['message']).toBeTypeOf('string');
    const people = await attest(folder, argv);
    expect(people.code).toBe(10);
    expect(people.out).toMatch(/^REFUSED: /);
    expect(people.out.replaceAll(/\s+/g, ' ')).toContain(`[${code}]`);
    expect(people.out).toContain('do not rely on it');
  });

  test('by default the time is now: a recorded document has expired', async () => {
    const old = await makeChain({ leaf: (spec) => ({ ...spec, notBefore: NOW - 2000, notAfter: NOW - 1000 }) });
    await writeFile(join(folder, 'old'), await makeDocument(old));
    await writeFile(join(folder, 'old.der'), rootOf(old));
    const argv = ['--document', 'old', '--root', 'old.der'];
    expect(await asJson(folder, [...argv, '--at', '2100-01-01'])).toMatchObject({ code: 'attestation/expired' });
    expect((await asJson(folder, argv))['exitCode']).toBe(10);
  });

  test('debug mode, unless it is allowed, and then the report says so', async () => {
    await writeFile(join(folder, 'debug'), await debugDocument());
    const argv = ['--document', 'debug', '--root', 'root.der', '--at', 'document'];
    expect(await asJson(folder, argv)).toMatchObject({ exitCode: 10, code: 'attestation/debug', debug: true });
    const allowed = await asJson(folder, [...argv, '--allow-debug']);
    expect(allowed).toMatchObject({
      exitCode: 0,
      valid: true,
      debug: true,
      weakenings: [{ code: 'local-root' }, { code: 'debug' }],
    });
  });
});

describe('what is not an attestation document', () => {
  test.each<readonly [string, string, () => Uint8Array]>([
    ['attestation/truncated', 'nothing', () => new Uint8Array()],
    ['attestation/truncated', 'a document cut short', () => document.subarray(0, -1)],
    ['attestation/truncated', 'base64 of a document cut short', () => Buffer.from(base64.slice(0, 4000))],
    ['attestation/trailing-bytes', 'a document and more', () => new Uint8Array([...document, 0])],
    ['attestation/too-large', 'a document over the limit', () => new Uint8Array(20_481)],
    ['attestation/too-large', 'something huge', () => new Uint8Array(300_000)],
    ['attestation/tag', 'a tagged document', () => new Uint8Array([0xd2, ...document])],
    ['base64/malformed', 'text that is no base64', () => Buffer.from('hello')],
    ['base64/malformed', 'a file of text', () => Buffer.from('{"hello": true}')],
  ])('%s: %s', async (code, _, bytes) => {
    const report = await asJson(folder, ['--document', '-'], bytes());
    expect(report).toMatchObject({ exitCode: 30, valid: false, code });
    expect(report).not.toHaveProperty('moduleId');
    const people = await attest(folder, ['--document', '-'], bytes());
    expect([people.code, people.out]).toStrictEqual([30, '']);
    expect(people.err).toContain(`(${code})`);
  });
});

test('a file that is none is told by its name, with what was expected', async () => {
  await writeFile(join(folder, 'policy.yaml'), '# a policy \u2014 and no document\n');
  await writeFile(join(folder, 'words'), 'hello');
  for (const file of ['policy.yaml', 'words']) {
    const { err } = await attest(folder, ['--document', file]);
    expect(err).toContain(`where: ${file}`);
    expect(err).toMatch(/hint: .*COSE_Sign1.*accord attest --save/);
  }
});

describe('a command that is wrong', () => {
  test.each([
    ['no document', []],
    ['an unknown option', [...LOCAL, '--pcrs', '0']],
    ['an argument', [...LOCAL, 'more']],
    ['a file that is not there', ['--document', 'absent']],
    ['a folder', ['--document', '.']],
    ['a time without a zone', [...LOCAL, '--at', '2026-06-01T12:00:00']],
    ['a time that does not exist', [...LOCAL, '--at', '2026-13-01']],
    ['a time in words', [...LOCAL, '--at', 'yesterday']],
    ['half a PCR', [...LOCAL, '--pcr', '0=abcd']],
    ['a PCR without an index', [...LOCAL, '--pcr', 'ab'.repeat(48)]],
    ['PCR32', [...LOCAL, '--pcr', `32=${'ab'.repeat(48)}`]],
    ['a PCR twice', [...LOCAL, '--pcr', `0=${'ab'.repeat(48)}`, '--pcr', `0=${'cd'.repeat(48)}`]],
    ['a nonce that is no hex', [...LOCAL, '--nonce', 'xyz']],
    ['half a digest', [...LOCAL, '--policy-digest', 'ab']],
    ['an age without a unit', [...LOCAL, '--max-age', '60']],
  ])('%s', async (_, argv) => {
    const { code, out, err } = await attest(folder, argv);
    expect([code, out]).toStrictEqual([2, '']);
    expect(err).toMatch(/^accord: /);
    expect(err).not.toMatch(/\n\s+at /);
  });

  test.each(['none.pem', 'two.pem', 'broken.der'])('a root file that is none: %s', async (root) => {
    const { code, err } = await attest(folder, ['--document', 'document', '--root', root]);
    expect(code).toBe(30);
    expect(err).toContain('attestation/root-file');
  });
});

describeWithVectors('accord attest on genuine documents', (vectors) => {
  const at = (file: string): string => join(vectors, 'attestation', file);
  const EXIT = { genuine: 0, 'genuine-debug': 10, 'bad-cose-signature': 10, 'malformed-truncated': 30 } as const;

  test.each(readVectors(vectors))('$file', async ({ file, kind, moduleId, pcrs }) => {
    const report = await asJson(folder, ['--document', at(file), '--at', 'document']);
    expect(report['exitCode']).toBe(EXIT[kind]);
    if (kind !== 'malformed-truncated') expect(report).toMatchObject({ moduleId, pcrs });
    const now = await asJson(folder, ['--document', at(file)]);
    expect(now['exitCode']).toBe(kind === 'malformed-truncated' ? 30 : 10);
    if (kind !== 'genuine-debug') return;
    expect(report['code']).toBe('attestation/debug');
    const allowed = await asJson(folder, ['--document', at(file), '--at', 'document', '--allow-debug']);
    expect(allowed).toMatchObject({ exitCode: 0, valid: true, debug: true });
  });

  test.each(['aws-nitro-root-g1.der', 'aws-nitro-root-g1.pem'])(
    'the AWS root from a file is the AWS root: %s',
    async (root) => {
      const [vector] = readVectors(vectors).filter(({ kind }) => kind === 'genuine');
      const argv = ['--document', at(vector?.file ?? ''), '--at', 'document', '--root', at(root)];
      expect(await asJson(folder, argv)).toMatchObject({ exitCode: 0, root: { kind: 'aws' }, weakenings: [] });
    },
  );
});
