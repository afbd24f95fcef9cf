/** The init's bytes depend on its inputs alone. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { initRamdisk } from '../../../build/boot.ts';
import { compileInit, initInputs } from '../../../build/init/compile.ts';
import { neededLibraries } from '../../../build/elf.ts';
import { CACHE, keptKernel } from './kept.ts';

const kept = await keptKernel();
if (typeof kept === 'string') console.log(`skipped, compiling the init: ${kept}`);

describe.skipIf(typeof kept === 'string')('the init', { timeout: 120_000 }, () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'accord-compile-'))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const compile = async (name: string, commandLine?: string): Promise<Uint8Array> => {
    const work = join(folder, name);
    mkdirSync(work, { recursive: true });
    await compileInit(work, { cacheDir: CACHE }, commandLine);
    return readFileSync(join(work, 'init'));
  };

  it('is the same bytes in another folder, with another umask, locale, time zone and home', async () => {
    const first = await compile('one');
    const before = { umask: process.umask(0o077), env: { ...process.env } };
    Object.assign(process.env, {
      LANG: 'de_DE.UTF-8',
      LC_ALL: 'tr_TR.UTF-8',
      TZ: 'Asia/Tokyo',
      HOME: '/nowhere',
      USER: 'x',
    });
    try {
      expect(digest(await compile('another/folder with a name'))).toBe(digest(first));
    } finally {
      process.umask(before.umask);
      process.env = before.env;
    }
  });

  it('is another program for another command line', async () => {
    expect(digest(await compile('line', 'console=ttyS1'))).not.toBe(digest(await compile('again')));
    expect(initInputs('console=ttyS1')).not.toEqual(initInputs());
  });

  it('is static and small, and does nothing but as the first process', async () => {
    const bytes = await compile('whole');
    expect(bytes.length).toBeLessThan(64 * 1024);
    expect(initRamdisk(bytes).length).toBeLessThan(65 * 1024);
    const program = join(folder, 'whole/init');
    expect(neededLibraries(program)).toEqual([]);
    expect(spawnSync(program).status).toBe(1);
  });
});

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
