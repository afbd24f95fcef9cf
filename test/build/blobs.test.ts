/** nitro-cli's folder in place of our kernel and init. */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootParts } from '../../build/boot.ts';
import { encodeCpio } from '../../build/image/cpio.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-blobs-'));
  const kernel = new Uint8Array(0x1000);
  kernel.set(Buffer.from('HdrS'), 0x202);
  new DataView(kernel.buffer).setUint16(0x20e, 0x600, true);
  kernel.set(Buffer.from('4.14.256-209.484.amzn2.x86_64 (mockbuild)\0'), 0x800);
  await writeFile(join(folder, 'bzImage'), kernel);
  await writeFile(join(folder, 'cmdline'), 'reboot=k panic=30 pci=off console=ttyS0\n');
  await writeFile(join(folder, 'init'), program(0x3e));
  await writeFile(join(folder, 'nsm.ko'), 'a module');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function program(machine: number): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  bytes[18] = machine;
  return bytes;
}

/** `dev` and these programs. */
function ramdisk(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  return encodeCpio([
    { kind: 'directory', path: 'dev', mode: 0o755 },
    ...Object.entries(files).map(([path, content]) => ({ kind: 'file', path, mode: 0o755, content }) as const),
  ]);
}

const parts = () => bootParts({ cacheDir: '/nonexistent', blobs: folder });

describe('boot parts of nitro-cli', () => {
  it('are taken as they are, the first ramdisk laid out as nitro-cli does', async () => {
    const { kind, kernel, commandLine, init, identity } = await parts();
    expect({ kind, kernel, commandLine }).toEqual({
      kind: 'aws-blobs',
      kernel: join(folder, 'bzImage'),
      commandLine: 'reboot=k panic=30 pci=off console=ttyS0',
    });
    expect(identity.kernel.version).toBe('4.14.256-209.484.amzn2.x86_64');
    expect(Buffer.from(init).equals(ramdisk({ init: program(0x3e), 'nsm.ko': Buffer.from('a module') }))).toBe(true);
  });

  it('need no module where the kernel has the driver', async () => {
    await rm(join(folder, 'nsm.ko'));
    expect(Buffer.from((await parts()).init).equals(ramdisk({ init: program(0x3e) }))).toBe(true);
  });

  it.each(['bzImage', 'cmdline', 'init'])('say that %s is absent, and where', async (name) => {
    await rm(join(folder, name));
    await expect(parts()).rejects.toMatchObject({ code: 'blobs/absent', where: join(folder, name) });
  });

  it.each<[string, () => Promise<void>]>([
    ['a kernel that is none', () => writeFile(join(folder, 'bzImage'), 'text')],
    ['the kernel for another machine', () => copyFile(join(folder, 'init'), join(folder, 'bzImage'))],
    ['an init for arm64', () => writeFile(join(folder, 'init'), program(0xb7))],
    ['an init that is a script', () => writeFile(join(folder, 'init'), '#!/bin/sh\n')],
    ['an empty command line', () => writeFile(join(folder, 'cmdline'), '\n')],
    ['a command line of two lines', () => writeFile(join(folder, 'cmdline'), 'one\ntwo\n')],
    ['a command line too long for the kernel', () => writeFile(join(folder, 'cmdline'), 'x'.repeat(2048))],
  ])('refuse %s', async (_, spoil) => {
    await spoil();
    await expect(parts()).rejects.toMatchObject({ code: 'blobs/wrong', kind: 'malformed' });
  });
});
