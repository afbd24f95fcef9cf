/** A small image for the local host: this machine's Node and a stand-in for the gate, packed by the real writer. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeEif } from '../../build/eif/encode-eif.ts';
import { encodeCpio } from '../../../build/image/cpio.ts';

const GATE = join(import.meta.dirname, 'fake-gate.mjs');
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

export type FakeMode = 'serves' | 'dies' | 'stops' | 'silent' | 'deaf' | 'floods' | 'no-program';

let base: Promise<Uint8Array> | undefined;

async function makeBase(): Promise<Uint8Array> {
  const node = await readFile(process.execPath);
  const folder = (path: string) => ({ kind: 'directory', path, mode: 0o755 }) as const;
  return encodeCpio([
    ...['rootfs', 'rootfs/accord', 'rootfs/usr', 'rootfs/usr/bin'].map(folder),
    { kind: 'file', path: 'rootfs/accord/gate.mjs', mode: 0o644, content: await readFile(GATE) },
    { kind: 'file', path: 'rootfs/usr/bin/node', mode: 0o755, content: node },
  ]);
}

/** Writes the image of a gate that behaves in this way to `path`. */
export async function writeFakeImage(path: string, mode: FakeMode): Promise<void> {
  base ??= makeBase();
  const program = mode === 'no-program' ? 'rootfs/usr/bin/absent' : 'rootfs/usr/bin/node';
  const collaboration = encodeCpio([
    { kind: 'file', path: 'cmd', mode: 0o644, content: text(`${program}\n--no-warnings\nrootfs/accord/gate.mjs\n`) },
    { kind: 'file', path: 'env', mode: 0o644, content: text(`MODE=${mode}\nACCORD_POLICY={"a":"b c"}\n`) },
  ]);
  const image = encodeEif({ architecture: 'x86_64', defaultMemory: 1n, defaultCpus: 1n }, [
    { kind: 'kernel', content: text('none') },
    { kind: 'cmdline', content: text('none') },
    { kind: 'metadata', content: text('{}') },
    { kind: 'ramdisk', content: encodeCpio([{ kind: 'file', path: 'init', mode: 0o644, content: text('none') }]) },
    { kind: 'ramdisk', content: await base },
    { kind: 'ramdisk', content: collaboration },
  ]);
  await writeFile(path, image);
}
