import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verb as attest } from '../../../parties/cli/attest.ts';
import { verb as check } from '../../../parties/cli/check.ts';
import { verb as explain } from '../../../parties/cli/explain.ts';
import { verb as init } from '../../../parties/cli/init.ts';
import { verb as keyPolicy } from '../../../parties/cli/key-policy.ts';
import { verb as measure } from '../../../parties/cli/measure.ts';
import type { Verb } from '../../../parties/cli/verb.ts';
import { ALICE_KEY } from '../home/new-home.ts';
import { runVerb } from './run-verb.ts';

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-files-'));
  await mkdir(join(cwd, 'folder'));
  await writeFile(join(cwd, 'bytes'), new Uint8Array([0xff, 0xfe]));
  await writeFile(join(cwd, 'closed'), '');
  await chmod(join(cwd, 'closed'), 0);
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

const isRoot = process.getuid?.() === 0;
if (isRoot) process.stderr.write('skipped: files that may not be read: this runs as root, who may read all\n');

const PLACE = ['--orchestrator', 'http://127.0.0.1:1', '--collaboration', 'x'];
const ARN = 'arn:aws:iam::111122223333:user/alice';
/** Every verb that reads a file which it is given, as it is called with one. */
const READERS: readonly (readonly [string, Verb, (file: string) => readonly string[]])[] = [
  ['check', check, (file) => [file]],
  ['explain', explain, (file) => [file]],
  ['attest', attest, (file) => ['--document', file]],
  ['measure', measure, (file) => [file]],
  ['init', init, (file) => ['--party', 'alice', '--key', ALICE_KEY, ...PLACE, '--measurements', file]],
  [
    'key-policy',
    keyPolicy,
    (file) => ['--key', ALICE_KEY, '--caller', ARN, '--contributor', ARN, '--measurements', file],
  ],
];

describe.each(READERS)('accord %s', (name, verb, argv) => {
  test.each(['absent', 'folder', 'bytes/below'])(
    'takes a file that is none for a slip in the command: %s',
    async (file) => {
      const { code, out, err } = await runVerb(name, verb, argv(file), { cwd });
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(err).toContain('file/absent');
      expect(err).toContain(file);
    },
  );

  test.skipIf(isRoot)('says that a file may not be read, and is to be tried again', async () => {
    const { code, err } = await runVerb(name, verb, argv('closed'), { cwd });
    expect(code).toBe(40);
    expect(err).toMatch(/closed cannot be read: .*\(EACCES\)/);
  });
});

test.each([READERS[0], READERS[4], READERS[5]].filter((row) => row !== undefined))(
  'accord %s takes no bytes that are no text',
  async (name, verb, argv) => {
    const { code, err } = await runVerb(name, verb, argv('bytes'), { cwd });
    expect(code).toBe(30);
    expect(err).toContain('file/not-text');
  },
);
