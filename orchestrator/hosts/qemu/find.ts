/**
 * Where `npm run setup:qemu` put what the qemu host runs:
 *
 *     CACHE/qemu/KEY/qemu-system-x86_64, vhost-device-vsock, firmware/, ready     KEY: SHA-256 of sources.lock.json, cut
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../../policies/failure.ts';

export type FindQemuCode =
  | 'host/qemu-absent' // not set up, or set up by another version of Accord
  | 'host/qemu-platform'; // QEMU is built for Linux on x86-64 alone

export interface QemuPaths {
  /** QEMU with the machine `nitro-enclave` and a security module that signs. */
  readonly qemu: string;
  /** Folder of `qboot.rom` and `linuxboot_dma.bin`. */
  readonly firmware: string;
  /** vhost-device-vsock. */
  readonly vsock: string;
}

export const QEMU_PROGRAM = 'qemu-system-x86_64';
export const VSOCK_PROGRAM = 'vhost-device-vsock';
const LOCK = join(import.meta.dirname, 'sources.lock.json');

/** Throws `Failure<FindQemuCode>` of kind `environment` or `unsupported`. */
export async function findQemu(cacheDir: string): Promise<QemuPaths> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Failure<FindQemuCode>(
      'unsupported',
      'host/qemu-platform',
      `the qemu host runs on Linux on x86-64 alone; this is ${process.platform} on ${process.arch}`,
      { hint: 'use --host local here' },
    );
  }
  const key = createHash('sha256')
    .update(await readFile(LOCK))
    .digest('hex')
    .slice(0, 16);
  const folder = join(cacheDir, 'qemu', key);
  const ready = await readFile(join(folder, 'ready'), 'utf8').catch(() => '');
  if (ready !== `${key}\n`) {
    throw new Failure<FindQemuCode>(
      'environment',
      'host/qemu-absent',
      'QEMU is not set up for Accord on this machine',
      {
        where: folder,
        hint: 'run `npm run setup:qemu` once, in the checkout (ten to twenty minutes on two cores; installs packages, so as root)',
      },
    );
  }
  return { qemu: join(folder, QEMU_PROGRAM), firmware: join(folder, 'firmware'), vsock: join(folder, VSOCK_PROGRAM) };
}
