/** The committed lock, and locks that are not what they should be. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readInputsLock } from '../../../build/inputs/lock.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'accord-lock-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('the committed lock names each package once, from the main pocket', () => {
  const { debian, node, qemu } = readInputsLock();
  for (const list of [debian.base, debian.toolchain]) {
    const names = list.map(({ name }) => name);
    expect(names).toEqual([...new Set(names)].sort());
  }
  const packages = [...debian.base, ...debian.toolchain, debian.kernelSource, qemu.vhostDeviceVsock];
  for (const { name, path } of packages) {
    expect(path.split('/').at(-1)?.startsWith(`${name}_`), path).toBe(true);
    expect(path).toMatch(/_(amd64|all)\.deb$/);
  }
  expect(debian.base.map(({ name }) => name)).toEqual([
    'bubblewrap',
    'gcc-14-base',
    'libc6',
    'libcap2',
    'libgcc-s1',
    'libpcre2-8-0',
    'libselinux1',
    'libstdc++6',
  ]);
  expect(debian.kernelSource.version).toMatch(/^6\.12\.\d+-\d+$/);
  expect(qemu.source.map(({ name }) => name.replace(/^.*(?=\.(dsc|orig|debian))/, ''))).toEqual([
    '.dsc',
    '.orig.tar.xz',
    '.debian.tar.xz',
  ]);
  expect(node.version).toMatch(/^20\./);
});

test('what the base and the toolchain share is of one version', () => {
  const { base, toolchain } = readInputsLock().debian;
  const ofToolchain = new Map(toolchain.map((one) => [one.name, one]));
  const shared = base.filter(({ name }) => ofToolchain.has(name));
  expect(shared.map(({ name }) => name)).toContain('libc6');
  for (const one of shared) expect(ofToolchain.get(one.name)).toEqual(one);
});

test('the toolchain has what compiles a kernel and a static program', () => {
  const names = readInputsLock().debian.toolchain.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(['bc', 'binutils', 'bison', 'cpio', 'dash', 'flex', 'gcc-14', 'libelf-dev', 'make', 'mawk']),
  );
  expect(names).toEqual(expect.arrayContaining(['musl-tools', 'perl-base', 'sed', 'tar', 'xz-utils', 'zstd']));
  expect(names).not.toContain('dpkg');
});

type Json = Record<string, unknown>;
const sound = (): Json => ({ ...readInputsLock() });
const pkg = (): Json => ({ ...readInputsLock().debian.kernelSource });
const withKernel = (change: Json): Json => ({
  ...sound(),
  debian: { ...readInputsLock().debian, kernelSource: { ...pkg(), ...change } },
});

test.each<readonly [string, () => unknown, string]>([
  ['another version of the form', () => ({ ...sound(), apiVersion: 'accord/v2' }), 'apiVersion'],
  ['a key too many', () => ({ ...sound(), extra: 1 }), 'extra'],
  ['a key too few', () => ({ ...sound(), qemu: undefined }), 'qemu'],
  ['a list that is none', () => ({ ...sound(), debian: { ...readInputsLock().debian, base: {} } }), 'debian.base'],
  ['a path that climbs', () => withKernel({ path: 'pool/main/../../secret' }), 'debian.kernelSource.path'],
  ['a path of another pocket', () => withKernel({ path: 'pool/updates/main/l/linux.deb' }), 'debian.kernelSource.path'],
  ['a digest in capitals', () => withKernel({ sha256: 'A'.repeat(64) }), 'debian.kernelSource.sha256'],
  ['a length that is none', () => withKernel({ bytes: 1.5 }), 'debian.kernelSource.bytes'],
  ['a name that is an option', () => withKernel({ name: '--help' }), 'debian.kernelSource.name'],
  ['a list in place of an object', () => [], 'it is not an object'],
  ['null', () => null, 'it is not an object'],
])('%s is refused, with its place', (_, lock, where) => {
  const file = join(folder, 'lock.json');
  writeFileSync(file, JSON.stringify(lock()));
  expect(() => readInputsLock(file)).toThrow(
    expect.objectContaining({
      kind: 'malformed',
      code: 'inputs/lock',
      where: file,
      message: expect.stringContaining(where),
      hint: expect.stringContaining('renew.mjs'),
    }),
  );
});

test('a lock that is absent or no JSON is told', () => {
  expect(() => readInputsLock(join(folder, 'absent'))).toThrow(expect.objectContaining({ code: 'inputs/lock' }));
  writeFileSync(join(folder, 'text'), 'not JSON');
  expect(() => readInputsLock(join(folder, 'text'))).toThrow(expect.objectContaining({ code: 'inputs/lock' }));
});
