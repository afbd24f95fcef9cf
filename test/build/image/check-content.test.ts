/** What may stand in an image that an engine made, and what it says of everything else. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { enclaveFiles } from '../../../build/enclave-files.ts';
import { readDockerfile } from '../../../build/engine/context.ts';
import { baseCopies, expectedFiles } from '../../../build/engine/expected.ts';
import type { Expected } from '../../../build/engine/expected.ts';
import { checkContent } from '../../../build/image/check-content.ts';
import { readDockerArchive } from '../../../build/image/docker-archive.ts';
import { flattenLayers } from '../../../build/image/flatten.ts';
import { SHARED_OBJECTS } from '../../../build/inputs/base.ts';
import { elf, smallParts } from '../engine/parts.ts';
import { file, folder, hardlink, pieces, savedImage, symlink, tarOf } from './tar.ts';
import type { TarInput } from './tar.ts';

let work = '';
let runs = 0;
let expected: Expected;
let sound: readonly TarInput[];

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'accord-content-'));
  const parts = await smallParts(work);
  const { entries } = await enclaveFiles(parts.files ?? {}, { os: 'linux', cpu: 'x64' });
  const context = { entries, node: parts.node?.path ?? '', baseTar: parts.baseTar.path };
  expected = await expectedFiles(context, await readDockerfile());
  const libraries = baseCopies(await readDockerfile()).map(({ to }): TarInput => {
    if (!to.includes('.so')) return file(to, to.replace('usr/share', 'usr/share'));
    const isLoader = to.startsWith('lib64/');
    return { name: to, type: 'file', mode: isLoader ? 0o755 : 0o644, content: elf(62, isLoader ? 2_000 : 3_000) };
  });
  const ours = await Promise.all(
    entries
      .flatMap((entry) => (entry.kind === 'file' ? [entry] : []))
      .map(async ({ path, mode, content }) => ({
        name: path.slice('rootfs/'.length),
        type: 'file' as const,
        mode,
        content: content instanceof Uint8Array ? content : await readFile(content.file),
      })),
  );
  const node = { name: 'usr/bin/node', type: 'file' as const, mode: 0o755, content: await readFile(context.node) };
  sound = [...libraries, ...ours, node];
});
afterAll(() => rm(work, { recursive: true, force: true }));

async function check(entries: readonly TarInput[]): Promise<void> {
  const place = await mkdtemp(join(work, `${runs++}-`));
  const { layers } = await readDockerArchive(pieces(await savedImage([await tarOf(entries)]), 65_536), place);
  await checkContent(flattenLayers(layers), expected);
}
const without = (name: string): readonly TarInput[] => sound.filter((entry) => entry.name !== name);
const changed = (name: string, change: Partial<TarInput>): readonly TarInput[] =>
  sound.map((entry) => (entry.name === name ? { ...entry, ...change } : entry));

test('what was put in is let through', () => check(sound));

describe('an image is refused', () => {
  test.each([
    ['that has a shell', 'image/shell', [file('bin/sh', 'x', 0o755)]],
    ['that has a shell elsewhere', 'image/shell', [file('opt/tools/busybox', 'x', 0o755)]],
    ['that has a link to a shell', 'image/shell', [symlink('usr/bin/bash', 'node')]],
    ['that has a package manager', 'image/package-manager', [file('usr/bin/apt-get', 'x', 0o755)]],
    ["that has Node's package manager", 'image/package-manager', [symlink('usr/bin/npm', '../lib/npm.js')]],
    ['that has a compiler', 'image/compiler', [file('usr/bin/x86_64-linux-gnu-gcc', 'x', 0o755)]],
    ['that has an interpreter', 'image/compiler', [file('usr/bin/python3.13', 'x', 0o755)]],
    ['that has source maps', 'image/source-map', [file('accord/gate.mjs.map')]],
    ['that has a file of nobody', 'image/unexpected', [file('etc/passwd')]],
    ['that has a folder of nobody', 'image/unexpected', [folder('home')]],
    ['that has another module of ours', 'image/unexpected', [file('accord/extra.mjs')]],
    ['one of whose folders others may write to', 'image/differs', [folder('accord', 0o777)]],
  ] as const)('%s', async (_what, code, more) => {
    await expect(check([...sound, ...more])).rejects.toMatchObject({
      code,
      kind: 'refused',
      where: expect.stringContaining('/'),
      hint: expect.stringContaining('--engine'),
    });
  });

  test.each([...SHARED_OBJECTS, 'bwrap'])('without %s of the base', async (name) => {
    const path = sound.find((entry) => entry.name.endsWith(`/${name}`))?.name ?? '';
    expect(path).not.toBe('');
    await expect(check(without(path))).rejects.toMatchObject({ code: 'image/base-missing', kind: 'refused' });
  });

  test('without our base at all, as an image of somebody else', async () => {
    await expect(check([file('hello', 'x', 0o755)])).rejects.toMatchObject({ kind: 'refused' });
    await expect(check([])).rejects.toMatchObject({ code: 'image/base-missing' });
  });

  test('without Node, or without the gate', async () => {
    await expect(check(without('usr/bin/node'))).rejects.toMatchObject({ code: 'image/incomplete' });
    await expect(check(without('accord/gate.mjs'))).rejects.toMatchObject({ code: 'image/incomplete' });
  });

  test('of which one byte differs, in ours or in the base', async () => {
    await expect(check(changed('accord/gate.mjs', { content: 'export {} ;\n' }))).rejects.toMatchObject({
      code: 'image/differs',
      where: '/accord/gate.mjs',
    });
    const library = 'usr/lib/x86_64-linux-gnu/libc.so.6';
    await expect(check(changed(library, { content: elf(62, 3_001) }))).rejects.toMatchObject({ code: 'image/differs' });
  });

  test('of which a mode differs', async () => {
    await expect(check(changed('accord/gate.mjs', { mode: 0o755 }))).rejects.toMatchObject({ code: 'image/differs' });
  });

  test('in which two files are one', async () => {
    const library = 'usr/lib/x86_64-linux-gnu/libc.so.6'; // as large as the next, with the same content
    const linked = [...without(library), hardlink(library, 'usr/lib/x86_64-linux-gnu/libm.so.6')];
    await expect(check(linked)).rejects.toMatchObject({
      code: 'image/differs',
      message: expect.stringMatching(/hard link to \/usr\/lib/),
    });
  });

  test('in which a link stands for a file', async () => {
    const linked = [...without('accord/gate.mjs'), symlink('accord/gate.mjs', '../usr/bin/node')];
    await expect(check(linked)).rejects.toMatchObject({ code: 'image/differs' });
  });
});

test('the Dockerfile copies what the base has, each file once', async () => {
  const names = baseCopies(await readDockerfile()).map(({ to }) => to.slice(to.lastIndexOf('/') + 1));
  expect(names.filter((name) => name.includes('.so')).sort()).toEqual([...SHARED_OBJECTS].sort());
  const others = names.filter((name) => !name.includes('.so'));
  expect(others.filter((name) => name !== 'copyright')).toEqual(['bwrap']);
  const licences = (await readDockerfile()).match(/doc\/[^/]+\/copyright/g) ?? [];
  expect(new Set(licences).size).toBe(6);
});

test('the Dockerfile runs nothing, and ends from scratch', async () => {
  const instructions = (await readDockerfile()).split('\n').map((line) => line.split(' ')[0]);
  expect(instructions).not.toContain('RUN');
  expect((await readDockerfile()).match(/^FROM .*$/gm)).toEqual(['FROM scratch AS base', 'FROM scratch']);
});
