/** Small EIFs to read, and to break in one named way each. */
import * as fc from 'fast-check';
import { crc32 } from '../../../build/eif/crc32.ts';
import { CRC_OFFSET, HEADER_BYTES } from '../../../build/eif/format.ts';
import type { SectionKind } from '../../../build/eif/format.ts';
import { encodeEif } from './encode-eif.ts';

export interface Section {
  readonly kind: SectionKind;
  readonly content: Uint8Array;
}

export const FIELDS = { architecture: 'x86_64', defaultMemory: 536_870_912n, defaultCpus: 2n } as const;
export const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Deterministic noise. */
export function noise(bytes: number, seed = 1): Uint8Array {
  const noisy = new Uint8Array(bytes);
  let state = seed;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    noisy[i] = state >>> 24;
  }
  return noisy;
}

export const SECTIONS: readonly Section[] = [
  { kind: 'kernel', content: noise(700, 1) },
  { kind: 'cmdline', content: text('reboot=k panic=30') },
  { kind: 'metadata', content: text('{}') },
  { kind: 'ramdisk', content: noise(300, 2) },
  { kind: 'ramdisk', content: noise(500, 3) },
];

export const sample = (): Uint8Array => encodeEif(FIELDS, SECTIONS);

/** Any content of the sections that every image has. */
export const anySections: fc.Arbitrary<readonly Section[]> = fc
  .record({
    kernel: fc.uint8Array({ maxLength: 300 }),
    cmdline: fc.uint8Array({ maxLength: 60 }),
    metadata: fc.uint8Array({ maxLength: 60 }),
    ramdisks: fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 6 }),
  })
  .map(({ kernel, cmdline, metadata, ramdisks }) => [
    { kind: 'kernel', content: kernel },
    { kind: 'cmdline', content: cmdline },
    { kind: 'metadata', content: metadata },
    ...ramdisks.map((content) => ({ kind: 'ramdisk' as const, content })),
  ]);

/** A copy that `change` was let at. */
export function edit(bytes: Uint8Array, change: (copy: Uint8Array, view: DataView) => void): Uint8Array {
  const copy = Uint8Array.from(bytes);
  change(copy, new DataView(copy.buffer));
  return copy;
}

/** As a hostile author would: the CRC is made right again. */
export function withRightCrc(bytes: Uint8Array): Uint8Array {
  return edit(bytes, (copy, view) => {
    const crc = crc32(copy.subarray(HEADER_BYTES), crc32(copy.subarray(0, CRC_OFFSET)));
    view.setUint32(CRC_OFFSET, crc);
  });
}

/** Sections laid out as given, however wrong their order. */
export function encodeRaw(
  version: number,
  sections: readonly { readonly type: number; readonly content: Uint8Array }[],
): Uint8Array {
  const total = sections.reduce((sum, { content }) => sum + 12 + content.length, HEADER_BYTES);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  bytes.set(text('.eif'));
  view.setUint16(4, version);
  view.setUint16(0x1a, sections.length);
  let at = HEADER_BYTES;
  for (const [i, { type, content }] of sections.entries()) {
    view.setBigUint64(0x1c + 8 * i, BigInt(at));
    view.setBigUint64(0x11c + 8 * i, BigInt(content.length));
    view.setUint16(at, type);
    view.setBigUint64(at + 4, BigInt(content.length));
    bytes.set(content, at + 12);
    at += 12 + content.length;
  }
  return withRightCrc(bytes);
}
