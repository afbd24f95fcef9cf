/** What verbs write: never over what they read, and over another file only with --force. */
import { link, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { verb as attest } from '../../../parties/cli/attest.ts';
import { verb as encrypt } from '../../../parties/cli/encrypt.ts';
import { demandNew, writeNew } from '../../../parties/cli/new-file.ts';
import { writeHome } from '../../../parties/home.ts';
import { newHome } from '../home/new-home.ts';
import { runVerb } from './run-verb.ts';

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-new-file-'));
  await writeHome(join(cwd, 'alice'), await newHome('alice', 'http://127.0.0.1:1/'), false);
  await writeFile(join(cwd, 'picture'), 'plaintext');
  await writeFile(join(cwd, 'kept'), 'kept');
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const content = (name: string): Promise<string> => readFile(join(cwd, name), 'utf8');

describe('accord encrypt', () => {
  // No KMS is there to be asked: what is refused is refused before.
  const run = (...argv: readonly string[]) =>
    runVerb('encrypt', encrypt, [...argv, '--purpose', 'input', '--function', 'classify', '--home', 'alice'], { cwd });

  test.each([[], ['--force']])('never replaces what it encrypts, under whatever name: %j', async (...force) => {
    await symlink('picture', join(cwd, 'soft'));
    await link(join(cwd, 'picture'), join(cwd, 'hard'));
    for (const [from, to] of [
      ['picture', 'picture'],
      ['picture', './alice/../picture'],
      ['picture', 'soft'],
      ['soft', 'picture'],
      ['picture', 'hard'],
    ] as const) {
      const { code, out, err } = await run(from, '-o', to, ...force);
      expect([code, out, err]).toEqual([2, '', expect.stringContaining('is the file that is to be encrypted')]);
    }
    expect(await content('picture')).toBe('plaintext');
  });

  test('keeps an existing file, and says so before KMS is asked', async () => {
    const { code, err } = await run('picture', '-o', 'kept');
    expect([code, err]).toEqual([2, expect.stringMatching(/kept exists already\n {2}hint: .*--force/)]);
    expect(await content('kept')).toBe('kept');
  });

  test.each([
    ['', 'picture.enc'],
    ['picture', ''],
  ])('takes no empty name: from "%s" to "%s"', async (from, to) => {
    expect(await run(from, '-o', to)).toMatchObject({ code: 2, err: expect.stringMatching(/is empty|is missing/) });
  });
});

describe('accord attest --save', () => {
  const run = (...argv: readonly string[]) => runVerb('attest', attest, argv, { cwd });

  test('keeps an existing file, and says so before the enclave is asked', async () => {
    const { code, out, err } = await run('--home', 'alice', '--save', 'kept');
    expect([code, out, err]).toEqual([2, '', expect.stringMatching(/kept exists already\n {2}hint: .*--force/)]);
    expect((await run('--home', 'alice', '--save', 'kept', '--force')).code).toBe(40);
    expect((await run('--home', 'alice', '--save', 'new')).code).toBe(40);
    expect(await content('kept')).toBe('kept');
  });

  test('--force without it is called wrongly', async () => {
    expect(await run('--home', 'alice', '--force')).toMatchObject({ code: 2, err: expect.stringMatching(/--save/) });
  });
});

describe('a new file', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

  test('is written whole, in place of another only where that is meant', async () => {
    expect(await writeNew(join(cwd, 'new'), [bytes('a'), bytes('bc')], false)).toBe(3);
    expect(await content('new')).toBe('abc');
    await expect(writeNew(join(cwd, 'kept'), [bytes('x')], false)).rejects.toMatchObject({ code: 'file/exists' });
    expect(await content('kept')).toBe('kept');
    await writeNew(join(cwd, 'kept'), [bytes('x')], true);
    expect(await content('kept')).toBe('x');
    expect((await readdir(cwd)).sort()).toEqual(['alice', 'kept', 'new', 'picture']);
  });

  test('takes the place of a file alone: not of a folder, and not of a device', async () => {
    await expect(demandNew(join(cwd, 'alice'), true)).rejects.toMatchObject({ kind: 'usage', code: 'file/absent' });
    await expect(demandNew('/dev/null', true)).rejects.toMatchObject({ kind: 'usage', code: 'file/exists' });
    await expect(demandNew(join(cwd, 'kept', 'below'), false)).rejects.toMatchObject({
      kind: 'usage',
      code: 'file/absent',
    });
    await demandNew(join(cwd, 'kept'), true);
    await demandNew(join(cwd, 'new'), false);
  });
});
