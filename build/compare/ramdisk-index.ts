/**
 * What stands in a ramdisk: every entry with its digest and its place in the archive, so that two ramdisks can be compared
 * file by file. Places follow from the format (`image/cpio.ts`): header and name padded to four, then the content, padded.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { Failure } from '../../policies/failure.ts';
import { createCpioReader } from '../image/cpio-read.ts';
import type { CpioHeader, CpioReader, CpioSink } from '../image/cpio-read.ts';
import { CPIO_HEADER_BYTES, padded } from '../image/cpio.ts';

export interface RamdiskEntry {
  readonly path: string;
  readonly kind: CpioHeader['kind'];
  /** Permission bits. */
  readonly mode: number;
  readonly bytes: number;
  /** Of a file's content, hex. */
  readonly sha256?: string;
  /** Of a symbolic link. */
  readonly target?: string;
  /** The first name of a hard-linked file, where this is another. */
  readonly sameAs?: string;
  /** Where its header starts in the archive. */
  readonly headerAt: number;
  /** Where its content starts in the archive. */
  readonly contentAt: number;
}

export interface RamdiskIndex {
  /** In the order of the archive. */
  readonly entries: readonly RamdiskEntry[];
  /** Why the rest of the archive could not be read. */
  readonly fault?: string;
}

export interface RamdiskIndexer {
  push(piece: Uint8Array): Promise<void>;
  finish(): RamdiskIndex;
}

const LIMITS = { entries: 100_000, bytes: 4 * 1024 * 1024 * 1024 } as const;

export function createRamdiskIndexer(): RamdiskIndexer {
  const entries: RamdiskEntry[] = [];
  const reader: CpioReader = createCpioReader(collect(entries), LIMITS, 'the ramdisk');
  let fault: string | undefined;
  const guarded = async (work: () => Promise<void> | void): Promise<void> => {
    if (fault !== undefined) return;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      fault = error.message;
    }
  };
  return {
    push: (piece) => guarded(() => reader.push(piece)),
    finish() {
      try {
        if (fault === undefined) reader.finish();
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        fault = error.message;
      }
      return { entries, ...(fault === undefined ? {} : { fault }) };
    },
  };
}

function collect(entries: RamdiskEntry[]): CpioSink {
  const firstNames = new Map<string, string>();
  let at = 0;
  let open: { readonly header: CpioHeader; readonly hash: Hash } | undefined;
  const add = (
    { path, kind, mode, bytes }: CpioHeader,
    more: Pick<RamdiskEntry, 'sha256' | 'target' | 'sameAs'>,
  ): void => {
    const contentAt = at + padded(CPIO_HEADER_BYTES + Buffer.byteLength(path) + 1, 4);
    entries.push({ path, kind, mode, bytes, ...more, headerAt: at, contentAt });
    at = contentAt + padded(bytes, 4);
  };
  return {
    async directory(header) {
      add(header, {});
    },
    async symlink(header, target) {
      add(header, { target });
    },
    async file(header) {
      open = { header, hash: createHash('sha256') };
    },
    async content(piece) {
      open?.hash.update(piece);
    },
    async end() {
      if (open === undefined) return;
      const { header, hash } = open;
      const first = header.inode === undefined ? undefined : firstNames.get(header.inode);
      if (header.inode !== undefined && first === undefined) firstNames.set(header.inode, header.path);
      add(header, { sha256: hash.digest('hex'), ...(first === undefined ? {} : { sameAs: first }) });
      open = undefined;
    },
  };
}
