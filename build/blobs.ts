/**
 * The kernel and init that come with nitro-cli, in place of ours: the folder that NITRO_CLI_BLOBS names there, usually
 * /usr/share/nitro_enclaves/blobs. The first ramdisk is laid out as nitro-cli lays it out: an empty dev, the init, and the
 * driver of the security module where the kernel has it as a module.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Failure } from '../policies/failure.ts';
import type { BootParts } from './boot-parts.ts';
import { describeError, errorCode } from './disk.ts';
import { encodeCpio } from './image/cpio.ts';
import { FOLDER_MODE, PROGRAM_MODE } from './image/ramdisk.ts';
import { kernelVersion } from './kernel/version.ts';

export type BlobsCode = 'blobs/absent' | 'blobs/wrong';

/** Throws `blobs/absent` where a file cannot be read, `blobs/wrong` where it is not what its name says. */
export async function blobParts(folder: string): Promise<BootParts> {
  const kernel = await readBlob(folder, 'bzImage');
  const version = kernelVersion(kernel);
  if (version === undefined) throw wrong(folder, 'bzImage', 'it is not a kernel for x86-64');
  const commandLine = Buffer.from(await readBlob(folder, 'cmdline'))
    .toString('latin1')
    .trim();
  if (!/^[\x20-\x7e]{1,2047}$/.test(commandLine)) throw wrong(folder, 'cmdline', 'it is not one line of ASCII');
  const init = await readBlob(folder, 'init');
  if (!isProgram(init)) throw wrong(folder, 'init', 'it is not a program for x86-64');
  const module = await readBlob(folder, 'nsm.ko', true);
  const file = (path: string, content: Uint8Array) => ({ kind: 'file', path, mode: PROGRAM_MODE, content }) as const;
  return {
    kind: 'aws-blobs',
    kernel: resolve(folder, 'bzImage'),
    commandLine,
    init: encodeCpio([
      { kind: 'directory', path: 'dev', mode: FOLDER_MODE },
      file('init', init),
      ...(module === undefined ? [] : [file('nsm.ko', module)]),
    ]),
    identity: { kernel: { version, sha256: sha256(kernel) }, init: { sha256: sha256(init) } },
  };
}

async function readBlob(folder: string, name: string): Promise<Uint8Array>;
async function readBlob(folder: string, name: string, optional: true): Promise<Uint8Array | undefined>;
async function readBlob(folder: string, name: string, optional = false): Promise<Uint8Array | undefined> {
  try {
    return await readFile(join(folder, name));
  } catch (error) {
    if (optional && errorCode(error) === 'ENOENT') return undefined;
    throw new Failure<BlobsCode>(
      'environment',
      'blobs/absent',
      `${join(folder, name)} cannot be read: ${describeError(error)}`,
      {
        where: join(folder, name),
        hint: 'name the folder of nitro-cli that holds bzImage, cmdline, init and nsm.ko (usually /usr/share/nitro_enclaves/blobs), or leave --blobs out',
        cause: error,
      },
    );
  }
}

/** A 64-bit little-endian ELF file for x86-64. */
function isProgram(bytes: Uint8Array): boolean {
  if (bytes.length < 64) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return view.getUint32(0) === 0x7f454c46 && view.getUint16(4) === 0x0201 && view.getUint16(18, true) === 0x3e;
}

function wrong(folder: string, name: string, why: string): Failure<BlobsCode> {
  return new Failure('malformed', 'blobs/wrong', `${join(folder, name)} cannot be used: ${why}`, {
    where: join(folder, name),
    hint: 'take the folder for x86_64 of a nitro-cli package, or leave --blobs out',
  });
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
