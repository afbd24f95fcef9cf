/**
 * Writes an EIF in one pass. Each section's length and CRC are known beforehand, so the header is finished before the
 * first byte goes out, and the bytes that are written are the bytes that are hashed.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { changed, readAhead } from '../byte-source.ts';
import type { ByteSource } from '../byte-source.ts';
import { diskFailure } from '../disk.ts';
import { createMeasurement } from '../measure/pcr.ts';
import type { Pcrs } from '../measure/pcr.ts';
import { crc32 } from './crc32.ts';
import type { SectionEntry, SectionKind } from './format.ts';
import { planEif } from './plan.ts';
import type { HeaderFields } from './plan.ts';

export type { HeaderFields } from './plan.ts';

const PIECE_BYTES = 4 * 1024 * 1024;

/** Content that is read while it is written, with the CRC that it is known to have. */
export interface SourceContent {
  readonly source: ByteSource;
  readonly crc32: number;
}

export interface SectionInput {
  readonly kind: SectionKind;
  readonly content: Uint8Array | SourceContent;
}

export interface WriteOptions {
  /** Compute the PCRs of what is written. Default no: a caller that resumes a kept state has them already. */
  readonly measure?: boolean;
  /** Compute SHA-384 of the whole file. Default no. */
  readonly digest?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface WrittenEif {
  readonly bytes: number;
  readonly crc32: number;
  readonly sections: readonly SectionEntry[];
  readonly pcrs?: Pcrs;
  /** SHA-384 of the whole file, lower-case hex. */
  readonly sha384?: string;
}

/**
 * Creates `path` (which must not exist) with mode 0644. On any failure the file is left for the caller to remove, since
 * only the caller knows whether it is a temporary one. Throws `Failure` of kind `environment` for what the disk says.
 */
export async function writeEif(
  path: string,
  fields: HeaderFields,
  inputs: readonly SectionInput[],
  options: WriteOptions = {},
): Promise<WrittenEif> {
  const plan = planEif(
    fields,
    inputs.map(({ kind, content }) =>
      content instanceof Uint8Array
        ? { kind, bytes: content.length, crc32: crc32(content) }
        : { kind, bytes: content.source.bytes, crc32: content.crc32 },
    ),
  );
  const measurement = options.measure === true ? createMeasurement() : undefined;
  const digest = options.digest === true ? createHash('sha384') : undefined;
  const file = await open(path, 'wx', 0o644).catch((error: unknown) => {
    throw diskFailure(error, path, 'writing the image');
  });
  let done = 0;
  const put = async (
    bytes: Uint8Array,
    section?: { readonly kind: SectionKind; readonly index: number },
  ): Promise<void> => {
    options.signal?.throwIfAborted();
    const written = writeAll(file, bytes, path);
    try {
      // While the disk writes, this thread hashes.
      digest?.update(bytes);
      if (section !== undefined) measurement?.update(section.kind, section.index, bytes);
    } finally {
      await written;
    }
    done += bytes.length;
    options.onProgress?.(done, plan.fileBytes);
  };
  try {
    await put(plan.header);
    for (const [index, { kind, content }] of inputs.entries()) {
      await put(plan.sectionHeaders[index] ?? new Uint8Array());
      measurement?.update(kind, index, new Uint8Array()); // an empty section has no piece, but may be the first ramdisk
      for await (const piece of piecesOf(content)) await put(piece, { kind, index });
    }
  } finally {
    await file.close();
  }
  return {
    bytes: plan.fileBytes,
    crc32: plan.crc32,
    sections: plan.sections,
    ...(measurement === undefined ? {} : { pcrs: measurement.finish() }),
    ...(digest === undefined ? {} : { sha384: digest.digest('hex') }),
  };
}

async function writeAll(file: FileHandle, bytes: Uint8Array, path: string): Promise<void> {
  try {
    let done = 0;
    while (done < bytes.length) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done);
      done += bytesWritten;
    }
  } catch (error) {
    throw diskFailure(error, path, 'writing the image');
  }
}

async function* piecesOf(content: Uint8Array | SourceContent): AsyncGenerator<Uint8Array> {
  if (content instanceof Uint8Array) {
    for (let at = 0; at < content.length; at += PIECE_BYTES) yield content.subarray(at, at + PIECE_BYTES);
    return;
  }
  let crc = 0;
  for await (const piece of readAhead(content.source, 0, content.source.bytes)) {
    crc = crc32(piece, crc);
    yield piece;
  }
  // The header, which is written already, carries the CRC that this content was promised to have.
  if (crc !== content.crc32) throw changed(content.source.name, content.source.bytes);
}
