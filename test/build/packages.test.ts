import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EXTERNAL_PACKAGES, SOURCES } from '../../build/bundle.ts';
import { neededLibraries } from '../../build/elf.ts';
import { findPackages, packageEntries } from '../../build/packages.ts';

const X64 = { os: 'linux', cpu: 'x64' } as const;
const manifest = join(SOURCES, 'package.json');

describe('the native packages of the image', () => {
  const packages = findPackages(EXTERNAL_PACKAGES, manifest, X64);
  const paths = packageEntries(packages, 'node_modules', X64).map(({ path }) => path);

  test('come with what they need at run time and nothing that only installs them', () => {
    const names = packages.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'sharp',
        '@img/sharp-linux-x64',
        '@img/sharp-libvips-linux-x64',
        'detect-libc',
        'semver',
        'onnxruntime-node',
        'onnxruntime-common',
        'koffi',
        '@koromix/koffi-linux-x64',
      ]),
    );
    expect(names).not.toContain('adm-zip');
    expect(names).not.toContain('global-agent');
    expect(packages.every(({ version }) => /^\d+\.\d+\.\d+/.test(version))).toBe(true);
  });

  test('are stripped to what runs on this platform', () => {
    expect(paths).toContain('node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1');
    expect(paths.filter((path) => /darwin|win32|arm64|musl|cuda|tensorrt/i.test(path))).toEqual([]);
    expect(
      paths.filter((path) => /\.(d\.[cm]?ts|ts|map|md|cc|h|gyp)$|\/(script|install|src|docs?|test)\//.test(path)),
    ).toEqual([
      'node_modules/koffi/src/koffi',
      'node_modules/koffi/src/koffi/index.cjs',
      'node_modules/koffi/src/koffi/src',
      'node_modules/koffi/src/koffi/src/static.cjs',
    ]);
    expect(paths.filter((path) => /koffi.*\.\w+$/.test(path))).toEqual([
      'node_modules/@koromix/koffi-linux-x64/index.js',
      'node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node',
      'node_modules/@koromix/koffi-linux-x64/package.json',
      'node_modules/koffi/index.cjs',
      'node_modules/koffi/package.json',
      'node_modules/koffi/src/koffi/index.cjs',
      'node_modules/koffi/src/koffi/src/static.cjs',
    ]);
    expect(paths.filter((path) => path.endsWith('.node')).length).toBe(3);
  });

  test('load from what is left of them, as the enclave loads them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'accord-stripped-'));
    try {
      for (const entry of packageEntries(packages, 'node_modules', X64)) {
        if (entry.kind === 'directory') await mkdir(join(folder, entry.path), { recursive: true });
        else if (entry.kind === 'file' && !(entry.content instanceof Uint8Array)) {
          await copyFile(entry.content.file, join(folder, entry.path));
        }
      }
      const load = createRequire(join(folder, 'gate.mjs'));
      expect(load.resolve('koffi')).toBe(join(folder, 'node_modules/koffi/index.cjs'));
      // In a process of its own: the native part would otherwise be the one that is loaded already.
      const program =
        'const k = require("koffi"); console.log(k.load("libc.so.6").func("int getpid()")() === process.pid)';
      const flags = ['--disallow-code-generation-from-strings', '-e', program];
      const { stdout } = await promisify(execFile)(process.execPath, flags, { cwd: folder });
      expect(stdout).toBe('true\n');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('have their folders named before them', () => {
    for (const path of paths.filter((candidate) => candidate !== 'node_modules')) {
      expect(paths).toContain(path.slice(0, path.lastIndexOf('/')));
    }
  });

  test('that are missing are named, with who needs them', () => {
    expect(() => findPackages(['no-such-package'], manifest, X64)).toThrow(
      expect.objectContaining({ code: 'packages/missing', kind: 'environment', where: 'no-such-package' }),
    );
  });
});

describe('packages of two versions', () => {
  let folder = '';
  const add = async (path: string, fields: object): Promise<void> => {
    const at = join(folder, 'node_modules', path);
    await mkdir(at, { recursive: true });
    await writeFile(join(at, 'package.json'), JSON.stringify(fields));
    await writeFile(join(at, 'index.js'), '');
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'accord-packages-'));
    await add('a', { name: 'a', version: '1.0.0', dependencies: { b: '1', c: '1' } });
    await add('b', { name: 'b', version: '1.0.0', dependencies: { a: '1' }, optionalDependencies: { absent: '1' } });
    await add('c', { name: 'c', version: '1.0.0', dependencies: { b: '2' } });
    await add('c/node_modules/b', { name: 'b', version: '2.0.0' });
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('stand as Node will find them: the second below who needs it', () => {
    const packages = findPackages(['a'], join(folder, 'package.json'), X64);
    expect(packages.map(({ place, version }) => `${place}@${version}`)).toEqual([
      'a@1.0.0',
      'b@1.0.0',
      'c@1.0.0',
      'c/node_modules/b@2.0.0',
    ]);
    const files = packageEntries(packages, 'n', X64).filter(({ kind }) => kind === 'file');
    expect(files.map(({ path }) => path).filter((path) => path.endsWith('.js'))).toEqual([
      'n/a/index.js',
      'n/b/index.js',
      'n/c/index.js',
      'n/c/node_modules/b/index.js',
    ]);
  });
});

describe('libraries that a program takes from the machine', () => {
  test('are read from the program itself', () => {
    expect(neededLibraries(process.execPath)).toEqual(expect.arrayContaining([expect.stringMatching(/^libc\.so/)]));
  });

  test('of what is no program are none', () => {
    expect(neededLibraries(manifest)).toEqual([]);
  });
});
