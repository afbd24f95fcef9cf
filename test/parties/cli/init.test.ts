/** `accord init` and the AWS profile that it is given, with an orchestrator that serves the policy and no AWS. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { verb } from '../../../parties/cli/init.ts';
import { startScriptedOrchestrator } from '../coordinator/scripted-orchestrator.ts';
import type { ScriptedOrchestrator } from '../coordinator/scripted-orchestrator.ts';
import { newHome } from '../home/new-home.ts';
import { runVerb } from './run-verb.ts';
import type { Outcome } from './run-verb.ts';

let orchestrator: ScriptedOrchestrator;
let cwd: string;

beforeAll(async () => {
  const { config, pins, policyText } = await newHome();
  const answer = {
    id: config.collaboration,
    collaboration: 'home-test',
    policyDigest: pins.policyDigest,
    canonicalPolicy: policyText,
    state: 'running',
    contributions: [],
  };
  orchestrator = await startScriptedOrchestrator({
    http: (_, response) => void response.setHeader('content-type', 'application/json').end(JSON.stringify(answer)),
  });
  // Or the SDK asks the machine that the tests run on for its role.
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await orchestrator.stop();
});

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-init-'));
  const { pins } = await newHome();
  await writeFile(join(cwd, 'measurements.json'), JSON.stringify({ policyDigest: pins.policyDigest, ...pins.pcrs }));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

async function init(profile: string, ...more: readonly string[]): Promise<Outcome> {
  const { collaboration, keyArn } = (await newHome()).config;
  const where = ['--orchestrator', orchestrator.url, '--collaboration', collaboration];
  const argv = ['--party', 'alice', '--key', keyArn, ...where, '--measurements', 'measurements.json', '--profile', profile, ...more]; // prettier-ignore
  const files = { AWS_CONFIG_FILE: join(cwd, 'config'), AWS_SHARED_CREDENTIALS_FILE: join(cwd, 'credentials') };
  return runVerb('init', verb, argv, { cwd, env: { ...files, AWS_ENDPOINT_URL: 'http://127.0.0.1:1' } });
}

const KEYS = 'aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = none\n';

describe('a profile', () => {
  test.each(['', `[bob]\n${KEYS}[alcie2]\n${KEYS}# [alcie]\n`])(
    'that neither file names is refused, and nothing is written',
    async (credentials) => {
      if (credentials !== '') await writeFile(join(cwd, 'credentials'), credentials);
      await writeFile(join(cwd, 'config'), '[default]\nregion = eu-west-1\n[profile bob]\nregion = eu-west-1\n');
      const before = await readdir(cwd);
      const { code, out, err } = await init('alcie');
      expect([code, out]).toEqual([2, '']);
      expect(err).toContain('(aws/no-such-profile)');
      expect(err).toContain('there is no AWS profile "alcie"');
      expect(err).toContain(join(cwd, 'credentials'));
      expect(err).toContain('is the name of the profile right?');
      expect(await readdir(cwd)).toEqual(before);
    },
  );

  test.each([
    ['credentials', `[alice]\n${KEYS}`],
    ['config', `  [ profile alice ]\n${KEYS}`],
    ['config', `[profile "alice"]\n${KEYS}`],
    ['config', '[profile alice]\ncredential_source = Environment\nrole_arn = arn:aws:iam::111122223333:role/x\n'],
    ['config', '[profile alice]\nregion = eu-west-1\n'],
  ])('of the file %s makes a home where AWS is not reached, with a note', async (name, content) => {
    await writeFile(join(cwd, name), content);
    const { code, err } = await init('alice');
    expect([code, err]).toEqual([0, expect.stringContaining('it was not checked that the profile "alice"')]);
    expect(await readdir(join(cwd, '.accord'))).toEqual(['alice']);
  });

  test('that may stand in a file which cannot be read is not said to be missing', async () => {
    await mkdir(join(cwd, 'credentials'));
    expect((await init('alice')).code).toBe(0);
  });
});

test('the home of another party is not taken for a changed image', async () => {
  await writeFile(join(cwd, 'credentials'), `[alice]\n${KEYS}[bob]\n${KEYS}`);
  expect((await init('alice', '--home', 'mine')).code).toBe(0);
  const { keyArn } = (await newHome('bob')).config;
  const { code, err } = await init('bob', '--home', 'mine', '--party', 'bob', '--key', keyArn);
  expect([code, err]).toEqual([2, expect.stringContaining('mine is the home of alice, not of bob')]);
  expect(err).toContain('(home/other-party)');
});
