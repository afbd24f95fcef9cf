import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verb as attest } from '../../../parties/cli/attest.ts';
import { verb as check } from '../../../parties/cli/check.ts';
import { verb as explain } from '../../../parties/cli/explain.ts';
import { verb as init } from '../../../parties/cli/init.ts';
import { verb as keyPolicy } from '../../../parties/cli/key-policy.ts';
import { verb as measure } from '../../../parties/cli/measure.ts';
import type { Verb } from '../../../parties/cli/verb.ts';
import { BOUNDS } from '../../../policies/bounds.ts';
import { ALICE_KEY } from '../home/new-home.ts';
import { runVerb } from './run-verb.ts';

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-files-'));
  await mkdir(join(cwd, 'folder'));
  await writeFile(join(cwd, 'bytes'), new Uint8Array([0xff, 0xfe]));
  await writeFile(join(cwd, 'closed'), '');
  await chmod(join(cwd, 'closed'), 0);
  await promisify(execFile)('mkfifo', [join(cwd, 'pipe')]);
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

  test('takes an empty name for a slip, and not for the folder where it is run', async () => {
    const { code, err } = await runVerb(name, verb, argv(''), { cwd });
    expect([code, err]).toEqual([2, expect.stringContaining('the name of a file is empty')]);
  });

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

/** All but `measure`, which takes no pipe and an image of any size. */
const WHOLE = READERS.filter(([name]) => name !== 'measure');

describe.each(WHOLE)('accord %s', (name, verb, argv) => {
  test('reads no more than it takes of a file without an end, and says what the limit is', async () => {
    const { code, err } = await runVerb(name, verb, argv('/dev/zero'), { cwd });
    expect(code).toBe(30);
    expect(err).toMatch(/\/dev\/zero has more than (262144|1048576) (bytes|characters)/);
  });

  test('is ended by Ctrl-C while it waits for whoever writes to a pipe', async () => {
    const interruption = new AbortController();
    const outcome = runVerb(name, verb, argv('pipe'), { cwd, signal: interruption.signal });
    setTimeout(() => interruption.abort(new Error('interrupted')), 200);
    expect(await outcome).toMatchObject({ code: 130, out: '' });
  });
});

test('accord measure does not wait for a pipe', async () => {
  const { code, err } = await runVerb('measure', measure, ['pipe'], { cwd });
  expect([code, err]).toEqual([40, expect.stringContaining('pipe cannot be read: it is not a regular file')]);
});

const EXAMPLE = join(import.meta.dirname, '../../../policies/examples/skin-lesion-screening/policy.yaml');

test.each([
  ['check', check],
  ['explain', explain],
])('accord %s reads a policy from a pipe, once', async (name, verb) => {
  const outcome = runVerb(name, verb, ['pipe'], { cwd });
  await writeFile(join(cwd, 'pipe'), await readFile(EXAMPLE));
  const { code, out } = await outcome;
  expect([code, out]).toEqual([0, expect.stringMatching(/^skin-lesion-screening/)]);
});

test('a policy may have as many characters as the limit says, of three bytes each', async () => {
  const policy = await readFile(EXAMPLE, 'utf8');
  const room = BOUNDS.textBytes - policy.length - 3;
  await writeFile(join(cwd, 'full.yaml'), `\u{feff}${policy}\n# ${'\u20ac'.repeat(room)}`);
  expect(await runVerb('check', check, ['full.yaml'], { cwd })).toMatchObject({ code: 0 });
  await writeFile(join(cwd, 'over.yaml'), `${policy}\n# ${'\u20ac'.repeat(room + 1)}`);
  const { code, err } = await runVerb('check', check, ['over.yaml'], { cwd });
  expect([code, err]).toEqual([30, expect.stringContaining('more than 262144 characters')]);
});

test.each([
  ['closed', 'is a file'],
  ['closed/below', 'is below a file'],
])('accord init takes no file for a home, and asks nobody before it says so: %s', async (home, what) => {
  const argv = ['--party', 'alice', '--key', ALICE_KEY, ...PLACE, '--measurements', 'absent', '--home', home];
  const { code, err } = await runVerb('init', init, argv, { cwd });
  expect([code, err]).toEqual([2, expect.stringContaining(`${home} ${what}\n  hint: name a folder`)]);
});
