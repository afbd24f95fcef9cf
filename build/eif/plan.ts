/** Lays a new EIF out: both kinds of header, from no more than the length and CRC of each content. */
import { combineCrc32, crc32 } from './crc32.ts';
import {
  CRC_OFFSET,
  FLAG_AARCH64,
  HEADER_BYTES,
  MAGIC,
  MAX_SECTIONS,
  OFFSETS_AT,
  SECTION_HEADER_BYTES,
  SECTION_RULES,
  SIZES_AT,
  WRITTEN_VERSION,
} from './format.ts';
import type { SectionEntry, SectionKind } from './format.ts';
import { checkLayout, refuse } from './layout.ts';

/** A section as it will be written: its content's length and CRC are all that the headers need. */
export interface PlannedSection {
  readonly kind: SectionKind;
  readonly bytes: number;
  readonly crc32: number;
}

export interface Plan {
  /** The finished file header, with its CRC. */
  readonly header: Uint8Array;
  readonly sectionHeaders: readonly Uint8Array[];
  readonly sections: readonly SectionEntry[];
  readonly fileBytes: number;
  readonly crc32: number;
}

export interface HeaderFields {
  readonly architecture: 'x86_64' | 'aarch64';
  /** Bytes. */
  readonly defaultMemory: bigint;
  readonly defaultCpus: bigint;
}

/** Lays a file out. The CRC is combined from those of the contents, so no content is looked at again. */
export function planEif(fields: HeaderFields, planned: readonly PlannedSection[]): Plan {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  header.set(MAGIC);
  view.setUint16(4, WRITTEN_VERSION);
  view.setUint16(6, fields.architecture === 'aarch64' ? FLAG_AARCH64 : 0);
  view.setBigUint64(8, fields.defaultMemory);
  view.setBigUint64(16, fields.defaultCpus);
  view.setUint16(0x1a, planned.length);

  const sections: SectionEntry[] = [];
  const sectionHeaders: Uint8Array[] = [];
  let next = HEADER_BYTES;
  for (const [i, { kind, bytes }] of planned.entries()) {
    if (i >= MAX_SECTIONS) throw refuse('eif/section-count', 'the new image', 0x1a, `${planned.length} sections`);
    const { type, maxBytes } = SECTION_RULES[kind];
    if (bytes > maxBytes)
      throw refuse(
        'eif/oversize',
        'the new image',
        next,
        `the ${kind} section has ${bytes} bytes; the limit is ${maxBytes}`,
      );
    view.setBigUint64(OFFSETS_AT + 8 * i, BigInt(next));
    view.setBigUint64(SIZES_AT + 8 * i, BigInt(bytes));
    const sectionHeader = new Uint8Array(SECTION_HEADER_BYTES);
    const sectionView = new DataView(sectionHeader.buffer);
    sectionView.setUint16(0, type);
    sectionView.setBigUint64(4, BigInt(bytes));
    sectionHeaders.push(sectionHeader);
    sections.push({ kind, offset: next, bytes });
    next += SECTION_HEADER_BYTES + bytes;
  }
  checkLayout(sections, WRITTEN_VERSION, 'the new image');

  let crc = crc32(header.subarray(0, CRC_OFFSET));
  for (const [i, section] of planned.entries()) {
    crc = crc32(sectionHeaders[i] ?? new Uint8Array(), crc);
    crc = combineCrc32(crc, section.crc32, section.bytes);
  }
  view.setUint32(CRC_OFFSET, crc);
  return { header, sectionHeaders, sections, fileBytes: next, crc32: crc };
}
