/**
 * Reads an EIF in one pass, a piece at a time, so that an image of any size costs a few megabytes of memory. All headers
 * are checked before any content is looked at, and the CRC when all of it has gone by: what a caller did with the pieces
 * counts only once `scanEif` has returned.
 */
import { changed, readAhead } from '../byte-source.ts';
import type { ByteSource } from '../byte-source.ts';
import { crc32 } from './crc32.ts';
import { CRC_OFFSET, HEADER_BYTES, SECTION_HEADER_BYTES } from './format.ts';
import type { EifHeader, SectionEntry } from './format.ts';
import { checkLayout, readHeader, readSectionHeader, refuse } from './layout.ts';

export type { EifCode, EifHeader, SectionEntry, SectionKind } from './format.ts';

export interface EifLayout {
  readonly header: EifHeader;
  readonly sections: readonly SectionEntry[];
}

/**
 * Sees every piece of every section's content once, in the order of the file; of an empty section one empty piece. The bytes are the callee's until the
 * returned promise is settled, and may be overwritten afterwards. `index` counts sections from 0.
 */
export type PieceVisitor = (piece: Uint8Array, section: SectionEntry, index: number) => Promise<void> | void;

export interface ScanOptions {
  readonly signal?: AbortSignal;
  /** Bytes read so far, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Throws `Failure<EifCode>` of kind `malformed`, with the offset, for anything but a sound EIF of version 2, 3 or 4. */
export async function scanEif(source: ByteSource, visit: PieceVisitor, options: ScanOptions = {}): Promise<EifLayout> {
  const headerBytes = new Uint8Array(HEADER_BYTES);
  const got = await source.read(0, headerBytes);
  const { header, table } = readHeader(headerBytes.subarray(0, got), source.bytes, source.name);

  const sectionHeaders: Uint8Array[] = [];
  const sections: SectionEntry[] = [];
  for (const claimed of table) {
    const bytes = new Uint8Array(SECTION_HEADER_BYTES);
    if ((await source.read(claimed.offset, bytes)) < bytes.length) throw changed(source.name, claimed.offset);
    sections.push(readSectionHeader(bytes, claimed, header.version, source.name));
    sectionHeaders.push(bytes);
  }
  checkLayout(sections, header.version, source.name);

  let crc = crc32(headerBytes.subarray(0, CRC_OFFSET));
  for (const [index, section] of sections.entries()) {
    crc = crc32(sectionHeaders[index] ?? new Uint8Array(), crc);
    const start = section.offset + SECTION_HEADER_BYTES;
    // An empty section counts too: which ramdisk is the first depends on it.
    if (section.bytes === 0) await visit(new Uint8Array(), section, index);
    for await (const piece of readAhead(source, start, section.bytes)) {
      options.signal?.throwIfAborted();
      const seen = visit(piece, section, index);
      crc = crc32(piece, crc);
      await seen;
      options.onProgress?.(start, source.bytes);
    }
    options.onProgress?.(start + section.bytes, source.bytes);
  }
  if (crc !== header.crc32) {
    const [stored, computed] = [header.crc32, crc].map((value) => value.toString(16).padStart(8, '0'));
    throw refuse(
      'eif/crc-mismatch',
      source.name,
      CRC_OFFSET,
      `the header says CRC ${stored}, the content has ${computed}`,
    );
  }
  return { header, sections };
}
