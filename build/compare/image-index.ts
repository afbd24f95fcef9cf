/**
 * All that two images can differ in, gathered in one pass over a file that is never loaded whole. An image whose checksum is
 * wrong is gathered too: what was changed in it is what is being asked.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { Failure } from '../../policies/failure.ts';
import type { ByteSource } from '../byte-source.ts';
import { HEADER_BYTES, SECTION_HEADER_BYTES } from '../eif/format.ts';
import type { SectionKind } from '../eif/format.ts';
import { scanEif } from '../eif/read.ts';
import type { ScanOptions } from '../eif/read.ts';
import { createRamdiskIndexer } from './ramdisk-index.ts';
import type { RamdiskIndex, RamdiskIndexer } from './ramdisk-index.ts';

export interface SectionIndex {
  readonly kind: SectionKind;
  /** Of the content, in the file. */
  readonly at: number;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
  /** Of a ramdisk. */
  readonly ramdisk?: RamdiskIndex;
}

export interface ImageIndex {
  readonly source: ByteSource;
  /** The file's first 548 bytes. */
  readonly header: Uint8Array;
  /** In the order of the file. */
  readonly sections: readonly SectionIndex[];
  /** The checksum in the header is of other bytes than these. */
  readonly isCorrupt: boolean;
}

interface Gathering {
  readonly kind: SectionKind;
  readonly at: number;
  readonly bytes: number;
  readonly hash: Hash;
  readonly ramdisk: RamdiskIndexer | undefined;
}

/** Throws `eif/…` of kind `malformed` for what is no EIF at all. */
export async function indexImage(source: ByteSource, options: ScanOptions = {}): Promise<ImageIndex> {
  const header = new Uint8Array(HEADER_BYTES);
  await source.read(0, header);
  const gathered: Gathering[] = [];
  let isCorrupt = false;
  try {
    await scanEif(
      source,
      (piece, { kind, offset, bytes }, index) => {
        const found = (gathered[index] ??= {
          kind,
          at: offset + SECTION_HEADER_BYTES,
          bytes,
          hash: createHash('sha256'),
          ramdisk: kind === 'ramdisk' ? createRamdiskIndexer() : undefined,
        });
        const read = found.ramdisk?.push(piece);
        found.hash.update(piece);
        return read;
      },
      options,
    );
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'eif/crc-mismatch') throw error;
    isCorrupt = true;
  }
  const sections = gathered.map(({ kind, at, bytes, hash, ramdisk }): SectionIndex => {
    const section = { kind, at, bytes, sha256: hash.digest('hex') };
    return ramdisk === undefined ? section : { ...section, ramdisk: ramdisk.finish() };
  });
  return { source, header, sections, isCorrupt };
}
