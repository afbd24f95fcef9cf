/**
 * Debian's kernel source to a bzImage, inside the toolchain. Nothing of the machine, its user or the time gets into the
 * bytes: the source lies at /work/src, and the kernel's own variables for reproducible builds are fixed.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import { fetchPackage } from '../inputs/fetch.ts';
import type { FetchOptions } from '../inputs/fetch.ts';
import { readInputsLock } from '../inputs/lock.ts';
import { openToolchain } from '../inputs/toolchain.ts';
import { unpackDebs } from '../inputs/unpack.ts';
import { readFragment, unmetOptions } from './config.ts';

export type KernelCode = 'kernel/config';

export const KERNEL_FILE = 'bzImage';

const ENVIRONMENT = {
  ARCH: 'x86_64',
  KBUILD_BUILD_USER: 'accord',
  KBUILD_BUILD_HOST: 'enclave',
  KBUILD_BUILD_VERSION: '1',
  KBUILD_BUILD_TIMESTAMP: 'Thu Jan  1 00:00:00 UTC 1970',
  SOURCE_DATE_EPOCH: '0',
  KCONFIG_ALLCONFIG: '/work/enclave.config',
} as const;

/** Two thirds of the source are for machines and devices that this kernel does not know; Kconfig files must stay. */
const LEFT_OUT = [
  'arch/[!x]*/*.[chS]',
  'arch/[!x]*/*.dts*',
  'drivers/gpu/*.[chS]',
  'drivers/media/*.[chS]',
  'drivers/net/*/*.[chS]',
  'drivers/infiniband/*.[chS]',
  'drivers/scsi/*.[chS]',
  'drivers/staging/*.[chS]',
  'sound/*.[chS]',
  'tools/testing/*',
  'tools/perf/*',
  'Documentation/*/*',
] as const;

const UNPACK = [
  'mkdir src',
  `tar -xJf deb/usr/src/linux-source-*.tar.xz -C src --strip-components=1 --no-same-owner ${LEFT_OUT.map((path) => `--exclude='*/${path}'`).join(' ')}`,
  'rm -r deb',
].join(' && ');
const CONFIGURE = 'make -C src allnoconfig';
const COMPILE = 'make -C src bzImage';
const FINISH = 'cp src/arch/x86/boot/bzImage src/.config . && rm -r src';

/** Objects that are compiled, for the progress alone. */
const OBJECTS = 770;

/** All that the bytes of the kernel depend on. */
export function kernelInputs(): readonly unknown[] {
  const { kernelSource, toolchain } = readInputsLock().debian;
  return [
    'accord/v1/kernel',
    kernelSource.sha256,
    toolchain.map(({ sha256 }) => sha256),
    readFragment(),
    ENVIRONMENT,
    [UNPACK, CONFIGURE, COMPILE],
  ];
}

/**
 * Leaves `bzImage` and `.config` in `work`, an empty folder with room for 700 MB. Minutes on two cores. Throws
 * `kernel/config` where the source does not know an option, and what fetching, unpacking and running throw.
 */
export async function compileKernel(work: string, options: FetchOptions): Promise<void> {
  const deb = await fetchPackage(readInputsLock().debian.kernelSource, options);
  const toolchain = await openToolchain(options);
  const { signal } = options;
  const run = (command: string, onLine?: (line: string) => void): Promise<void> =>
    toolchain.run(['sh', '-c', command], {
      work,
      env: ENVIRONMENT,
      ...(onLine !== undefined && { onLine }),
      ...(signal !== undefined && { signal }),
    });
  options.onProgress?.('unpacking the kernel', 0, OBJECTS);
  const fragment = readFragment();
  writeFileSync(join(work, 'enclave.config'), fragment);
  mkdirSync(join(work, 'deb'));
  await unpackDebs([deb], join(work, 'deb'), {
    keep: (path) => path.startsWith('usr/src/linux-source-'),
    ...(signal !== undefined && { signal }),
  });
  await run(UNPACK);
  await run(CONFIGURE);
  requireOptions(fragment, readFileSync(join(work, 'src/.config'), 'utf8'));
  let objects = 0;
  await run(`${COMPILE} -j${availableParallelism()}`, (line) => {
    if (!/^\s+(CC|AS)\s/.test(line)) return;
    options.onProgress?.('compiling the kernel', Math.min(++objects, OBJECTS), OBJECTS);
  });
  await run(FINISH);
}

function requireOptions(asked: string, made: string): void {
  const unmet = unmetOptions(asked, made);
  if (unmet.length === 0) return;
  throw new Failure<KernelCode>(
    'malformed',
    'kernel/config',
    `this kernel's source does not take ${unmet.join(', ')}`,
    { where: 'build/kernel/enclave.config', hint: 'look up what the option is called now, or what it depends on' },
  );
}
