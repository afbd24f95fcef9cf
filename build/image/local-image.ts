/**
 * The sections of a local image. It has the form of every image, so that everything which measures, signs, compares and
 * unpacks images is the same for it; where a real one has a kernel and an init, it says in plain text that it has none.
 */
import type { SectionInput } from '../eif/write.ts';
import { createMeasurement } from '../measure/pcr.ts';
import type { Measurement } from '../measure/pcr.ts';
import { PATHS, collaborationRamdisk, textRamdisk } from './ramdisk.ts';

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

/** Everything before the base, in the order of the file. The metadata is not measured. */
const BOOT = [
  { kind: 'kernel', content: KERNEL },
  { kind: 'cmdline', content: COMMAND_LINE },
  { kind: 'metadata', content: new Uint8Array() },
  { kind: 'ramdisk', content: INIT },
] as const satisfies readonly SectionInput[];

/** Indexes of the sections that follow. */
export const BASE_SECTION: number = BOOT.length;
export const LAST_SECTION: number = BOOT.length + 1;

/** What the local host starts, seen from the folder it unpacked to. */
export const LOCAL_COMMAND: readonly string[] = [PATHS.node, '--disallow-code-generation-from-strings', PATHS.gate];

/** A measurement that has seen all that stands before the base. */
export function measureBoot(): Measurement {
  const measurement = createMeasurement();
  for (const [index, { kind, content }] of BOOT.entries()) measurement.update(kind, index, content);
  return measurement;
}

/** The last ramdisk of a local image. */
export function localCollaboration(policy: string): Uint8Array {
  return collaborationRamdisk({ policy, transport: 'local', command: LOCAL_COMMAND });
}

/** The sections of one image, in the order of the file. */
export function localSections(
  metadata: Uint8Array,
  base: SectionInput['content'],
  collaboration: Uint8Array,
): readonly SectionInput[] {
  return [
    ...BOOT.map((section) => (section.kind === 'metadata' ? { ...section, content: metadata } : section)),
    { kind: 'ramdisk', content: base },
    { kind: 'ramdisk', content: collaboration },
  ];
}
