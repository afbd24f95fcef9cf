/**
 * What these tests boot, where `npm run setup:qemu` has been here: QEMU and the kernel are never made by a test. Small programs
 * are compiled now, with the toolchain that the kernel was compiled with.
 */
import { copyFileSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { defaultCacheDir } from '../../../build/cache.ts';
import { openToolchain } from '../../../build/inputs/toolchain.ts';
import { KERNEL_FILE, kernelInputs } from '../../../build/kernel/compile.ts';
import { keepMade } from '../../../build/made.ts';
import { findQemu } from '../../../orchestrator/hosts/qemu/find.ts';
import type { QemuPaths } from '../../../orchestrator/hosts/qemu/find.ts';

export const CACHE: string = defaultCacheDir(process.env);

export interface KeptKernel {
  readonly bzImage: Uint8Array;
  readonly config: string;
}

export interface Kept {
  readonly qemu: QemuPaths;
  readonly kernel: KeptKernel;
}

/** The kernel of this checkout, or in a sentence that it is missing. */
export async function keptKernel(): Promise<KeptKernel | string> {
  try {
    const make = (): Promise<never> => Promise.reject(new Error('the kernel of this version is not in the cache'));
    const { bytes, path } = await keepMade({ kind: 'kernel', inputs: kernelInputs(), file: KERNEL_FILE, make }, CACHE);
    return { bzImage: bytes, config: readFileSync(join(path, '..', '.config'), 'utf8') };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}: run npm run setup:qemu`;
  }
}

/** The kernel and QEMU, or in a sentence what is missing. */
export async function keptMachine(): Promise<Kept | string> {
  const kernel = await keptKernel();
  if (typeof kernel === 'string') return kernel;
  try {
    return { kernel, qemu: await findQemu(CACHE) };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}: run npm run setup:qemu`;
  }
}

/** Compiles C files into a static program for Linux; its path is `work/program`. */
export async function compileProgram(
  work: string,
  files: readonly string[],
  flags: readonly string[] = [],
): Promise<string> {
  const toolchain = await openToolchain({ cacheDir: CACHE });
  for (const file of files) copyFileSync(file, join(work, basename(file)));
  const sources = files.map((file) => basename(file)).filter((name) => name.endsWith('.c'));
  await toolchain.run(['musl-gcc', '-D_GNU_SOURCE', '-static', '-s', '-O1', ...flags, '-o', 'program', ...sources], {
    work,
    env: {},
  });
  return join(work, 'program');
}
