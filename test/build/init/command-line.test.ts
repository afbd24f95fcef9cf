/** The init's reading of the kernel's command line, as an ordinary program of this machine. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileProgram, keptKernel } from './kept.ts';

const kept = await keptKernel();
if (typeof kept === 'string') console.log(`skipped, the init's reading of the command line: ${kept}`);

const SOURCES = join(import.meta.dirname, '../../../build/init');
const MEASURED = 'console=ttyS0 quiet';
const DEVICE = 'virtio_mmio.device=512@0xfeb00e00:12';

describe.skipIf(typeof kept === 'string')('the kernel’s command line', () => {
  let work: string;
  let program: string;
  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), 'accord-line-'));
    const files = [join(import.meta.dirname, 'judge-line.c'), join(SOURCES, 'command-line.c'), join(SOURCES, 'init.h')];
    program = await compileProgram(work, files, ['-DACCORD_COMMAND_LINE=""']);
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  const judge = (actual: string): string => spawnSync(program, [actual, MEASURED], { encoding: 'utf8' }).stdout.trim();

  it.each([
    MEASURED,
    `${MEASURED}\n`,
    `${MEASURED} \n`,
    `${MEASURED} ${DEVICE}\n`,
    `${MEASURED} ${DEVICE} ${DEVICE}  virtio_mmio.device=4K@0xd0000000:5 \n`,
  ])('is sound: %j', (line) => expect(judge(line)).toBe('sound'));

  it.each(['', 'console=ttyS0', `quiet ${MEASURED}`, ` ${MEASURED}`, `${DEVICE} ${MEASURED}`, MEASURED.toUpperCase()])(
    'is another line: %j',
    (line) => expect(judge(line)).toMatch(/is not the one of the image$/),
  );

  it.each([
    `${MEASURED}x`,
    `${MEASURED}${DEVICE}`,
    `${MEASURED} rdinit=/bin/sh`,
    `${MEASURED} ${DEVICE} rdinit=/bin/sh`,
    `${MEASURED} ${DEVICE}\nrdinit=/bin/sh`,
    `${MEASURED}\n\n`,
    `${MEASURED}\t${DEVICE}`,
    `${MEASURED} virtio_mmio.device=`,
    `${MEASURED} virtio_mmio.device`,
    `${MEASURED} "${DEVICE}"`,
    `${MEASURED} virtio_mmio.device="512@0x1:2 x"`,
    `${MEASURED} ${DEVICE},x`,
    `${MEASURED} ${DEVICE}=x`,
    `${MEASURED} ${DEVICE} --`,
    `${MEASURED} -- ${DEVICE}`,
  ])('holds more: %j', (line) => expect(judge(line)).toMatch(/holds more than the image measures/));
});
