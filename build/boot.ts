/**
 * What a machine boots before the image's own files: a kernel, its command line and the first ramdisk with the init. Ours,
 * compiled from the locked inputs and kept in the cache; or those of nitro-cli.
 */
import { blobParts } from './blobs.ts';
import type { BootParts } from './boot-parts.ts';
import { encodeCpio } from './image/cpio.ts';
import { PATHS, PROGRAM_MODE } from './image/ramdisk.ts';
import { INIT_FILE, compileInit, initInputs } from './init/compile.ts';
import type { FetchOptions } from './inputs/fetch.ts';
import { COMMAND_LINE } from './kernel/command-line.ts';
import { KERNEL_FILE, compileKernel, kernelInputs } from './kernel/compile.ts';
import { kernelVersion } from './kernel/version.ts';
import { keepMade } from './made.ts';

export type { BootParts } from './boot-parts.ts';

export interface BootOptions extends FetchOptions {
  /** nitro-cli's folder of kernel and init, in place of our own. */
  readonly blobs?: string;
  /** Compile again, whatever the cache holds of kernel and init. Default no. */
  readonly anew?: boolean;
}

/**
 * Minutes the first time, milliseconds after. Throws `Failure`: `blobs/…`, `inputs/…` (a package that is gone, a user who may
 * not make namespaces), `kernel/config`, `disk/…`.
 */
export async function bootParts(options: BootOptions): Promise<BootParts> {
  if (options.blobs !== undefined) return blobParts(options.blobs);
  const { cacheDir, anew } = options;
  const init = await keepMade(
    { kind: 'init', inputs: initInputs(), file: INIT_FILE, make: (work) => compileInit(work, options) },
    cacheDir,
    anew,
  );
  const kernel = await keepMade(
    { kind: 'kernel', inputs: kernelInputs(), file: KERNEL_FILE, make: (work) => compileKernel(work, options) },
    cacheDir,
    anew,
  );
  return {
    kind: 'accord',
    kernel: kernel.path,
    commandLine: COMMAND_LINE,
    init: initRamdisk(init.bytes),
    identity: {
      kernel: { version: kernelVersion(kernel.bytes) ?? 'unknown', sha256: kernel.sha256 },
      init: { sha256: init.sha256 },
    },
  };
}

/** The first ramdisk: the program and nothing else; it makes the folders that it mounts on. */
export function initRamdisk(program: Uint8Array): Uint8Array {
  return encodeCpio([{ kind: 'file', path: PATHS.init, mode: PROGRAM_MODE, content: program }]);
}
