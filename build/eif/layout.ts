/** Reads the two kinds of header. Nothing that a header says is acted on before it was compared with all the rest. */
import { Failure } from '../../policies/failure.ts';
import {
  CRC_OFFSET,
  FLAG_AARCH64,
  HEADER_BYTES,
  MAGIC,
  MAX_FILE_BYTES,
  MAX_SECTIONS,
  MIN_SECTIONS,
  OFFSETS_AT,
  SECTION_HEADER_BYTES,
  SECTION_KINDS,
  SECTION_RULES,
  SIZES_AT,
  WRITTEN_VERSION,
} from './format.ts';
import type { EifCode, EifHeader, SectionEntry, SectionKind } from './format.ts';

/** Offset and size of each section as the file header claims them. */
export interface TableEntry {
  readonly offset: number;
  readonly bytes: number;
}

const hexOffset = (offset: number): string => `offset 0x${offset.toString(16)}`;

/** A refusal that says where in the file and why. */
export function refuse(code: EifCode, file: string, offset: number, why: string): Failure<EifCode> {
  return new Failure('malformed', code, `${file} is not a sound EIF: at ${hexOffset(offset)}, ${why}`, {
    where: hexOffset(offset),
    hint: 'take the file from its source again, or build it again; do not use this one',
  });
}

/** Decodes the file header and checks the table of sections against the size of the file. */
export function readHeader(
  bytes: Uint8Array,
  fileBytes: number,
  file: string,
): { header: EifHeader; table: readonly TableEntry[] } {
  if (bytes.length >= MAGIC.length && MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw refuse('eif/magic', file, 0, 'the file does not start with ".eif"');
  }
  if (bytes.length < HEADER_BYTES) {
    throw refuse('eif/truncated', file, bytes.length, `the file ends inside its ${HEADER_BYTES}-byte header`);
  }
  if (fileBytes > MAX_FILE_BYTES) {
    throw refuse(
      'eif/oversize',
      file,
      MAX_FILE_BYTES,
      `the file goes on to ${fileBytes} bytes; the limit is ${MAX_FILE_BYTES}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const version = view.getUint16(4);
  // Versions 0 and 1 were never published and have no CRC; what comes after 4 is undefined.
  if (version < 2 || version > WRITTEN_VERSION) {
    throw refuse('eif/version', file, 4, `the version is ${version}; 2, 3 and 4 are known`);
  }
  const flags = view.getUint16(6);
  if ((flags & ~FLAG_AARCH64) !== 0) throw refuse('eif/flags', file, 6, `unknown flags 0x${flags.toString(16)}`);
  const count = view.getUint16(0x1a);
  if (count < MIN_SECTIONS || count > MAX_SECTIONS) {
    throw refuse(
      'eif/section-count',
      file,
      0x1a,
      `${count} sections are claimed; it must be ${MIN_SECTIONS} to ${MAX_SECTIONS}`,
    );
  }
  const header: EifHeader = {
    version,
    architecture: (flags & FLAG_AARCH64) === 0 ? 'x86_64' : 'aarch64',
    defaultMemory: view.getBigUint64(8),
    defaultCpus: view.getBigUint64(16),
    crc32: view.getUint32(CRC_OFFSET),
  };
  return { header, table: readTable(view, count, fileBytes, file) };
}

/**
 * Sections must stand one behind the other from the header to the end of the file. Loaders follow the offsets, tools read
 * straight on; only where both see the same does a measurement mean anything, so gaps and overlaps are refused.
 */
function readTable(view: DataView, count: number, fileBytes: number, file: string): readonly TableEntry[] {
  const table: TableEntry[] = [];
  let next = HEADER_BYTES;
  for (let i = 0; i < MAX_SECTIONS; i++) {
    const offset = view.getBigUint64(OFFSETS_AT + 8 * i);
    const size = view.getBigUint64(SIZES_AT + 8 * i);
    if (i >= count) {
      if (offset !== 0n)
        throw refuse(
          'eif/unused-entry',
          file,
          OFFSETS_AT + 8 * i,
          `section ${i} is beyond the section count but has an offset`,
        );
      if (size !== 0n)
        throw refuse(
          'eif/unused-entry',
          file,
          SIZES_AT + 8 * i,
          `section ${i} is beyond the section count but has a size`,
        );
      continue;
    }
    if (offset !== BigInt(next)) {
      const how =
        offset < BigInt(next)
          ? 'overlaps what stands before it'
          : offset > BigInt(fileBytes)
            ? 'lies outside of the file'
            : 'leaves a gap';
      throw refuse(
        'eif/section-offset',
        file,
        OFFSETS_AT + 8 * i,
        `section ${i} claims offset ${offset} but should start at ${next}: it ${how}`,
      );
    }
    const end = offset + BigInt(SECTION_HEADER_BYTES) + size;
    if (end > BigInt(fileBytes)) {
      throw refuse(
        'eif/truncated',
        file,
        fileBytes,
        `the file ends inside section ${i}, which claims to go on to ${end}`,
      );
    }
    table.push({ offset: next, bytes: Number(size) });
    next = Number(end);
  }
  if (next !== fileBytes) {
    throw refuse('eif/trailing-bytes', file, next, `${fileBytes - next} bytes follow the last section`);
  }
  return table;
}

/** Decodes one section header and compares it with what the file header said. */
export function readSectionHeader(bytes: Uint8Array, claimed: TableEntry, version: number, file: string): SectionEntry {
  const view = new DataView(bytes.buffer, bytes.byteOffset, SECTION_HEADER_BYTES);
  const type = view.getUint16(0);
  const kind = SECTION_KINDS.find((candidate) => SECTION_RULES[candidate].type === type);
  if (kind === undefined || SECTION_RULES[kind].since > version) {
    throw refuse('eif/section-type', file, claimed.offset, `section type ${type} does not exist in version ${version}`);
  }
  const flags = view.getUint16(2);
  if (flags !== 0) throw refuse('eif/flags', file, claimed.offset + 2, `unknown section flags 0x${flags.toString(16)}`);
  const size = view.getBigUint64(4);
  if (size !== BigInt(claimed.bytes)) {
    throw refuse(
      'eif/section-size',
      file,
      claimed.offset + 4,
      `the section claims ${size} bytes, the file header ${claimed.bytes}`,
    );
  }
  const { maxBytes } = SECTION_RULES[kind];
  if (claimed.bytes > maxBytes) {
    throw refuse(
      'eif/oversize',
      file,
      claimed.offset + 4,
      `the ${kind} section has ${size} bytes; the limit is ${maxBytes}`,
    );
  }
  return { kind, offset: claimed.offset, bytes: claimed.bytes };
}

/**
 * One kernel, then one command line, then the ramdisks: the published format leaves more order free, but then one
 * program hashes in the order of the file and another by kind, and the same file has two PCR0s.
 */
export function checkLayout(sections: readonly SectionEntry[], version: number, file: string): void {
  const seen = new Map<SectionKind, number>();
  for (const { kind, offset } of sections) {
    if (kind !== 'ramdisk' && seen.has(kind)) {
      throw refuse('eif/section-duplicate', file, offset, `a second ${kind} section`);
    }
    const early =
      kind === 'cmdline' ? !seen.has('kernel') : kind === 'ramdisk' && !(seen.has('kernel') && seen.has('cmdline'));
    const late = kind === 'cmdline' && seen.has('ramdisk');
    if (early || late) {
      throw refuse(
        'eif/section-order',
        file,
        offset,
        `the ${kind} section is out of order; it must be kernel, command line, ramdisks`,
      );
    }
    seen.set(kind, offset);
  }
  const needed: readonly SectionKind[] =
    version >= 4 ? ['kernel', 'cmdline', 'ramdisk', 'metadata'] : ['kernel', 'cmdline', 'ramdisk'];
  for (const kind of needed) {
    if (!seen.has(kind)) throw refuse('eif/section-missing', file, 0x1a, `there is no ${kind} section`);
  }
}
