/** The sections of an image in the order of the file: what boots, the base, the collaboration, and perhaps a signature. */
import type { SectionInput } from '../eif/write.ts';
import { createMeasurement } from '../measure/pcr.ts';
import type { Measurement } from '../measure/pcr.ts';

/** What stands before the base. The metadata, which is not measured, comes with each image. */
export interface Boot {
  readonly kernel: Uint8Array;
  readonly commandLine: Uint8Array;
  /** The first ramdisk. */
  readonly init: Uint8Array;
}

/** Indexes of the sections that follow. */
export const BASE_SECTION = 4;
export const LAST_SECTION = 5;

/** A measurement that has seen all that stands before the base. */
export function measureBoot(boot: Boot): Measurement {
  const measurement = createMeasurement();
  for (const [index, { kind, content }] of bootSections(boot, new Uint8Array()).entries()) {
    measurement.update(kind, index, content);
  }
  return measurement;
}

export interface ImageContents {
  readonly boot: Boot;
  readonly metadata: Uint8Array;
  readonly base: SectionInput['content'];
  /** The last ramdisk. */
  readonly collaboration: Uint8Array;
  readonly signature?: Uint8Array | undefined;
}

export function imageSections({
  boot,
  metadata,
  base,
  collaboration,
  signature,
}: ImageContents): readonly SectionInput[] {
  return [
    ...bootSections(boot, metadata),
    { kind: 'ramdisk', content: base },
    { kind: 'ramdisk', content: collaboration },
    ...(signature === undefined ? [] : [{ kind: 'signature', content: signature } as const]),
  ];
}

function bootSections({ kernel, commandLine, init }: Boot, metadata: Uint8Array) {
  return [
    { kind: 'kernel', content: kernel },
    { kind: 'cmdline', content: commandLine },
    { kind: 'metadata', content: metadata },
    { kind: 'ramdisk', content: init },
  ] as const satisfies readonly SectionInput[];
}
