/** The init: the C files of this folder, compiled with the toolchain's gcc and musl into one static program. */
import { copyFileSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { FetchOptions } from '../inputs/fetch.ts';
import { readInputsLock } from '../inputs/lock.ts';
import { openToolchain } from '../inputs/toolchain.ts';
import { COMMAND_LINE } from '../kernel/command-line.ts';

export const INIT_FILE = 'init';

const FLAGS = [
  '-std=gnu11',
  '-D_GNU_SOURCE',
  '-Os',
  '-Wall',
  '-Wextra',
  '-Wconversion',
  '-Werror',
  '-fstack-protector-strong',
  '-static',
  '-s',
  '-Wl,--build-id=none',
  '-Wl,-z,noexecstack',
  // musl's wrapper leaves out the kernel's own headers.
  '-idirafter/usr/include',
  '-idirafter/usr/include/x86_64-linux-gnu',
] as const;

const SOURCES: readonly string[] = readdirSync(import.meta.dirname)
  .filter((name) => /\.[ch]$/.test(name))
  .sort();

const read = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8');

/** All that the bytes of the init depend on. */
export function initInputs(commandLine: string = COMMAND_LINE): readonly unknown[] {
  const toolchain = readInputsLock().debian.toolchain.map(({ sha256 }) => sha256);
  return ['accord/v1/init', toolchain, FLAGS, commandLine, SOURCES.map((name) => [name, read(name)])];
}

/** Leaves the program in `work`, an empty folder. Seconds. Throws what fetching, unpacking and running throw. */
export async function compileInit(
  work: string,
  options: FetchOptions,
  commandLine: string = COMMAND_LINE,
): Promise<void> {
  const toolchain = await openToolchain(options);
  options.onProgress?.('compiling the init', 0, 1);
  mkdirSync(join(work, 'src'));
  for (const name of SOURCES) copyFileSync(join(import.meta.dirname, name), join(work, 'src', name));
  const files = SOURCES.filter((name) => name.endsWith('.c')).map((name) => `src/${name}`);
  const definition = `-DACCORD_COMMAND_LINE=${JSON.stringify(commandLine)}`;
  await toolchain.run(['musl-gcc', ...FLAGS, definition, '-o', INIT_FILE, ...files], {
    work,
    env: { SOURCE_DATE_EPOCH: '0' },
    ...(options.signal !== undefined && { signal: options.signal }),
  });
  options.onProgress?.('compiling the init', 1, 1);
}
