/** What every verb that acts for a party does with the options that say for whom, and with a function that is none. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { verb as anchor } from '../../../parties/cli/anchor.ts';
import { verb as attest } from '../../../parties/cli/attest.ts';
import { verb as call } from '../../../parties/cli/call.ts';
import { verb as contribute } from '../../../parties/cli/contribute.ts';
import { verb as encrypt } from '../../../parties/cli/encrypt.ts';
import { verb as quota } from '../../../parties/cli/quota.ts';
import type { Verb } from '../../../parties/cli/verb.ts';
import { writeHome } from '../../../parties/home.ts';
import { newHome } from '../home/new-home.ts';
import { runVerb } from './run-verb.ts';

const AWS = { AWS_ENDPOINT_URL: 'http://127.0.0.1:1' };

let cwd: string;
beforeAll(async () => {
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  cwd = await mkdtemp(join(tmpdir(), 'accord-party-'));
  // Nobody listens there: what gets so far ends with 40.
  await writeHome(join(cwd, 'bobs'), await newHome('bob', 'http://127.0.0.1:1/'), false);
  await writeFile(join(cwd, 'file'), '');
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(cwd, { recursive: true, force: true });
});

const MODEL = ['--model', 'file', '--manifest', 'file'];
const ENCRYPTED = ['file', '-o', 'file.enc', '--purpose', 'input'];
const VERBS: readonly (readonly [string, Verb, readonly string[]])[] = [
  ['quota', quota, []],
  ['call', call, ['classify', '--input', 'file']],
  ['contribute', contribute, ['classify', ...MODEL]],
  ['encrypt', encrypt, [...ENCRYPTED, '--function', 'classify']],
  ['anchor', anchor, ['contribute']],
  ['attest', attest, []],
];

describe.each(VERBS)('accord %s', (name, verb, argv) => {
  test('does not act for Bob where Alice is named', async () => {
    for (const [more, env] of [
      [['--home', 'bobs'], {}],
      [[], { ACCORD_HOME: join(cwd, 'bobs') }],
    ] as const) {
      const { code, out, err } = await runVerb(name, verb, [...argv, ...more, '--party', 'alice'], { cwd, env });
      expect([code, out]).toEqual([2, '']);
      expect(err).toContain('bobs is the home of bob, not of alice');
      expect(err).toContain('(home/other-party)');
      expect(err).toContain('name the home of alice with --home DIR');
    }
  });

  test('takes both where they agree', async () => {
    const { err } = await runVerb(name, verb, [...argv, '--home', 'bobs', '--party', 'bob'], { cwd, env: AWS });
    expect(err).not.toContain('home/other-party');
  });
});

test.each([
  ['quota', quota, []],
  ['call', call, ['classify', '--input', 'file']],
] as const)('a copy that is no number is told with the help of %s', async (name, verb, argv) => {
  const { code, err } = await runVerb(name, verb, [...argv, '--home', 'bobs', '--copy', 'x'], { cwd });
  expect([code, err]).toEqual([2, expect.stringContaining('--copy takes a whole number from 1 to 99, not "x"')]);
  expect(err).toContain(`see accord ${name} --help`);
});

test('that no call was spent is told of a call alone', async () => {
  const hintOf = async (name: string, verb: Verb, argv: readonly string[]): Promise<string> => {
    const { code, err } = await runVerb(name, verb, [...argv, '--home', 'bobs'], { cwd });
    expect([code, err]).toEqual([10, expect.stringContaining('(call/unknown-function)')]);
    expect(err).toContain('`accord explain` lists the functions');
    return err;
  };
  expect(await hintOf('call', call, ['classfy', '--input', 'file'])).toContain('no call was spent');
  expect(await hintOf('contribute', contribute, ['classfy', ...MODEL])).not.toContain('spent');
  expect(await hintOf('encrypt', encrypt, [...ENCRYPTED, '--function', 'clasify'])).not.toContain('spent');
});
