/** What is particular to an image for Nitro and QEMU: a machine of its own, with devices in place of sockets. */
import { readFile } from 'node:fs/promises';
import { diskFailure } from '../disk.ts';
import type { BootParts } from '../boot.ts';
import { GATE_FLAGS } from './gate-flags.ts';
import { collaborationRamdisk } from './ramdisk.ts';
import type { Boot } from './sections.ts';

/** What init starts, seen from the root that it changes to. */
export const NITRO_COMMAND: readonly string[] = ['/usr/bin/node', ...GATE_FLAGS, '/accord/gate.mjs'];

export async function nitroBoot({ kernel, commandLine, init }: BootParts): Promise<Boot> {
  try {
    return { kernel: await readFile(kernel), commandLine: new TextEncoder().encode(commandLine), init };
  } catch (error) {
    throw diskFailure(error, kernel, 'reading the kernel');
  }
}

/** The last ramdisk of an image for Nitro. */
export function nitroCollaboration(policy: string): Uint8Array {
  return collaborationRamdisk({ policy, transport: 'nitro', command: NITRO_COMMAND });
}
