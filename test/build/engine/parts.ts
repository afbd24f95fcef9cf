/** A small installation and a small base, so that building an image of them takes an engine seconds. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readDockerfile } from '../../../build/engine/context.ts';
import type { EifParts } from '../../../build/eif-builder.ts';
import { baseCopies } from '../../../build/engine/expected.ts';
import { noise, text } from '../eif/samples.ts';
import { smallBase } from '../fixture.ts';
import { file, folder, sha256, symlink, tarOf } from '../image/tar.ts';

/** The first bytes of a program for x86-64 (62) or another processor (183 is arm64), then noise. */
export function elf(machine = 62, bytes = 1_000): Uint8Array {
  const program = noise(bytes, machine);
  program.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, machine, 0]);
  return program;
}

/** All that the Dockerfile copies, with the links of a real base on the way. */
export async function smallBaseTar(): Promise<Uint8Array> {
  const paths = baseCopies(await readDockerfile()).map(({ from }) => from);
  const folders = new Set<string>();
  for (const path of paths) {
    const parts = path.split('/');
    for (let i = 1; i < parts.length; i++) folders.add(parts.slice(0, i).join('/'));
  }
  const loader = 'usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2';
  return tarOf([
    ...[...folders].sort().map((path) => folder(path)),
    symlink('lib64', 'usr/lib64'),
    { name: loader, type: 'file', mode: 0o755, content: elf(62, 2_000) },
    ...paths.map((path) => {
      if (path.startsWith('usr/lib64/')) return symlink(path, '../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2');
      return path.includes('.so') ? { ...file(path, '', 0o644), content: elf(62, 3_000) } : file(path);
    }),
  ]);
}

/** `place` is ours and empty. */
export async function smallParts(place: string): Promise<EifParts & { readonly baseTar: { readonly path: string } }> {
  const installation = join(place, 'installation');
  await mkdir(installation);
  const { node = '', ...files } = await smallBase(installation);
  await writeFile(node, elf(62, 3_000_000), { mode: 0o755 });
  const tar = await smallBaseTar();
  const path = join(place, 'base.tar');
  await writeFile(path, tar);
  const kernel = join(place, 'kernel');
  await writeFile(kernel, 'a kernel for tests');
  return {
    files,
    node: { path: node, version: '20.0.0' },
    baseTar: { path, sha256: sha256(tar) },
    boot: {
      kind: 'accord',
      kernel,
      commandLine: 'console=ttyS0',
      init: text('an init for tests'),
      identity: { kernel: { version: '6.12.0', sha256: '1'.repeat(64) }, init: { sha256: '2'.repeat(64) } },
    },
  };
}
