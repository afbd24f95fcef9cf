/**
 * Unpacks an EIF's ramdisks into a fresh folder, and measures it in the same pass: the PCRs are those of the very bytes
 * that were unpacked, so a host that swaps the file between two looks gains nothing.
 *
 * The archives are untrusted. Nothing is written but into folders that they made themselves, under names that they did not
 * use before; links stay inside; there are no devices; owners are not restored. Whatever goes wrong, the folder is
 * removed again.
 */
import { constants } from 'node:fs';
import { chmod, link, mkdir, open, readdir, rm, symlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import { diskFailure, errorCode } from '../disk.ts';
import { withFileSource } from '../byte-source.ts';
import type { ByteSource } from '../byte-source.ts';
import { scanEif } from '../eif/read.ts';
import type { ScanOptions } from '../eif/read.ts';
import { createMeasurement } from '../measure/pcr.ts';
import type { Pcrs } from '../measure/pcr.ts';
import { createCpioReader } from './cpio-read.ts';
import type { CpioHeader, CpioReader, CpioSink } from './cpio-read.ts';
import type { CpioCode } from './cpio.ts';
import { targetFault } from './entry-path.ts';
import { parseCommand, parseEnvironment } from './ramdisk.ts';

export type UnpackCode = 'unpack/folder-not-fresh' | 'unpack/no-command' | 'unpack/no-environment';

export interface UnpackedEif {
  /** The program and its arguments, as the image's `/cmd` says. */
  readonly cmd: readonly string[];
  /** The whole environment of the program, as the image's `/env` says. */
  readonly env: Readonly<Record<string, string>>;
  /** Of the bytes that were unpacked. */
  readonly pcrs: Pcrs;
}

const LIMITS = { entries: 100_000, bytes: 4 * 1024 * 1024 * 1024 } as const;
/** `/cmd` and `/env` are kept in memory too; the environment is bounded by the policy it carries. */
const MAX_KEPT_BYTES = 256 * 1024;
const KEPT = ['cmd', 'env'] as const;

/**
 * `folder` must not exist, or be empty. Throws `Failure`: `eif/…` and `cpio/…` of kind `malformed`, `disk/…` of kind
 * `environment`.
 */
export async function unpackEif(path: string, folder: string, options: ScanOptions = {}): Promise<UnpackedEif> {
  const made = await prepare(folder);
  try {
    return await withFileSource(path, (source) => unpackInto(source, folder, options));
  } catch (error) {
    await clear(folder, made);
    throw diskFailure(error, folder, 'unpacking the image');
  }
}

async function unpackInto(source: ByteSource, folder: string, options: ScanOptions): Promise<UnpackedEif> {
  const measurement = createMeasurement();
  const tree = createTree(folder);
  const readers = new Map<number, CpioReader>();
  try {
    await scanEif(
      source,
      (piece, { kind }, index) => {
        let written: Promise<void> | undefined;
        if (kind === 'ramdisk') {
          let reader = readers.get(index);
          if (reader === undefined) {
            for (const before of readers.values()) before.finish();
            reader = createCpioReader(tree.ramdisk(), LIMITS, `ramdisk ${readers.size} of ${source.name}`);
            readers.set(index, reader);
          }
          written = reader.push(piece);
        }
        measurement.update(kind, index, piece);
        return written;
      },
      options,
    );
    for (const reader of readers.values()) reader.finish();
    const [cmd, env] = KEPT.map((name) => tree.kept.get(name));
    if (cmd === undefined) throw missing('unpack/no-command', '/cmd', source.name);
    if (env === undefined) throw missing('unpack/no-environment', '/env', source.name);
    const unpacked = { cmd: parseCommand(cmd), env: parseEnvironment(env), pcrs: measurement.finish() };
    await tree.finish(); // last: folders that may not be written to could not be removed again
    return unpacked;
  } finally {
    await tree.close();
  }
}

interface Tree {
  /** A sink for one more ramdisk; inode numbers mean something within one archive only. */
  ramdisk(): CpioSink;
  /** Gives folders the modes that they should have, innermost first. */
  finish(): Promise<void>;
  close(): Promise<void>;
  readonly kept: ReadonlyMap<string, Uint8Array>;
}

function createTree(root: string): Tree {
  const seen = new Map<string, CpioHeader>();
  const kept = new Map<string, Uint8Array>();
  let file: FileHandle | undefined;

  const refuse = (code: CpioCode, path: string, why: string): Failure<CpioCode> =>
    new Failure('malformed', code, `the image cannot be unpacked: "${path}" ${why}`, {
      where: path,
      hint: 'take the image from its source again, or build it again; do not use this one',
    });

  /** An entry's folder must be one that an archive made: never a link, never something that was there before. */
  const claim = (header: CpioHeader): string => {
    if (seen.has(header.path)) throw refuse('cpio/duplicate', header.path, 'comes twice');
    if (header.parent !== '' && seen.get(header.parent)?.kind !== 'directory') {
      throw refuse('cpio/parent-missing', header.path, 'stands in a folder that the image did not make');
    }
    seen.set(header.path, header);
    return join(root, header.path);
  };

  const ramdisk = (): CpioSink => {
    const links = new Map<string, { readonly path: string; written: boolean }>();
    let current: CpioHeader | undefined;
    return {
      async directory(header) {
        const before = seen.get(header.path);
        if (before?.kind === 'directory' && before.mode === header.mode) return; // a later ramdisk names it again
        await mkdir(claim(header), { mode: 0o700 });
      },
      async symlink(header, target) {
        const why = targetFault(header.path, target);
        if (why !== undefined) throw refuse('cpio/link', header.path, `is a link that is refused: ${why}`);
        await symlink(target, claim(header));
      },
      async file(header) {
        const path = claim(header);
        const first = header.inode === undefined ? undefined : links.get(header.inode);
        if (first !== undefined) {
          if (header.bytes > 0 && first.written)
            throw refuse('cpio/link', header.path, 'gives a second content to one file');
          await link(join(root, first.path), path);
        }
        if (header.inode !== undefined) {
          links.set(header.inode, {
            path: first?.path ?? header.path,
            written: first?.written === true || header.bytes > 0,
          });
        }
        const fresh = first === undefined ? constants.O_CREAT | constants.O_EXCL : 0;
        file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW | fresh, 0o600);
        current = header;
        if (KEPT.some((name) => name === header.path)) {
          if (header.bytes > MAX_KEPT_BYTES)
            throw refuse('cpio/too-large', header.path, `has more than ${MAX_KEPT_BYTES} bytes`);
          kept.set(header.path, new Uint8Array());
        }
      },
      async content(piece) {
        const part = current === undefined ? undefined : kept.get(current.path);
        if (current !== undefined && part !== undefined) kept.set(current.path, Buffer.concat([part, piece]));
        for (let done = 0; done < piece.length;) {
          done += (await file?.write(piece, done, piece.length - done))?.bytesWritten ?? piece.length;
        }
      },
      async end() {
        await file?.chmod(current?.mode ?? 0o600); // chmod, not open's mode: no umask takes part
        await file?.close();
        file = undefined;
      },
    };
  };

  return {
    ramdisk,
    kept,
    async finish() {
      const folders = [...seen.values()].filter(({ kind }) => kind === 'directory').toReversed();
      for (const { path, mode } of folders) await chmod(join(root, path), mode);
    },
    async close() {
      await file?.close().catch(() => {});
      file = undefined;
    },
  };
}

/** True if the folder was made here. */
async function prepare(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o700 });
    return true;
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw diskFailure(error, folder, 'unpacking the image');
  }
  const inside = await readdir(folder).catch((error: unknown) => {
    throw diskFailure(error, folder, 'unpacking the image');
  });
  if (inside.length === 0) return false;
  throw new Failure<UnpackCode>('environment', 'unpack/folder-not-fresh', `${folder} is not empty`, {
    where: folder,
    hint: 'unpack into a folder that does not exist yet',
  });
}

async function clear(folder: string, made: boolean): Promise<void> {
  // Folders of the image may be unwritable by now; `rm` with force copes as far as the owner may.
  const names = made ? [''] : await readdir(folder).catch(() => []);
  for (const name of names) await rm(join(folder, name), { recursive: true, force: true }).catch(() => {});
}

function missing(code: UnpackCode, path: string, image: string): Failure<UnpackCode> {
  return new Failure('malformed', code, `${image} has no ${path}, so nobody knows what to start`, {
    where: path,
    hint: 'build the image with `accord build`',
  });
}
