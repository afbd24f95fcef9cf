/**
 * What is particular to a local image. It has the form of every image, so that everything which measures, signs, compares
 * and unpacks images is the same for it; where a real one has a kernel and an init, it says in plain text that it has none.
 */
import { GATE_FLAGS } from './gate-flags.ts';
import { PATHS, collaborationRamdisk, textRamdisk } from './ramdisk.ts';
import type { Boot } from './sections.ts';

const text = (lines: readonly string[]): Uint8Array => new TextEncoder().encode(`${lines.join('\n')}\n`);

const KERNEL = text([
  'There is no kernel here.',
  'This image was made by "accord build --target local". It runs as an ordinary process on the machine of whoever',
  'starts it, for trials and tests. It protects nothing from that machine.',
]);

const COMMAND_LINE = new TextEncoder().encode('accord.target=local');

const INIT = textRamdisk(
  PATHS.init,
  [
    'There is no init here.',
    "The local host of Accord plays it: it unpacks this image into a fresh folder and starts the image's own Node from",
    'there, with what stands in /cmd and /env and nothing else.',
    '',
  ].join('\n'),
);

export const LOCAL_BOOT: Boot = { kernel: KERNEL, commandLine: COMMAND_LINE, init: INIT };

/** What the local host starts, seen from the folder it unpacked to. */
const LOCAL_COMMAND: readonly string[] = [PATHS.node, ...GATE_FLAGS, PATHS.gate];

/** The last ramdisk of a local image. */
export function localCollaboration(policy: string): Uint8Array {
  return collaborationRamdisk({ policy, transport: 'local', command: LOCAL_COMMAND });
}
