import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../build/byte-source.ts';
import { scanEif } from '../../../build/eif/read.ts';
import { readEif } from './read-eif.ts';
import { encodeEif } from './encode-eif.ts';
import { Failure } from '../../../policies/failure.ts';
import { describeWithVectors } from '../../vectors.ts';
import { FIELDS, SECTIONS, anySections, edit, encodeRaw, noise, sample, text, withRightCrc } from './samples.ts';

const refusal = async (bytes: Uint8Array): Promise<{ code: string; kind: string; where: string | undefined }> => {
  try {
    await readEif(bytes, 'x.eif');
  } catch (error) {
    if (error instanceof Failure) return { code: String(error.code), kind: error.kind, where: error.where };
    throw error;
  }
  return { code: 'accepted', kind: '', where: undefined };
};

describe('reading an EIF', () => {
  test('gives back what was written', async () => {
    await fc.assert(
      fc.asyncProperty(anySections, fc.bigInt(0n, 2n ** 64n - 1n), async (sections, defaultMemory) => {
        const { header, sections: read } = await readEif(encodeEif({ ...FIELDS, defaultMemory }, sections));
        expect(header).toMatchObject({ version: 4, architecture: 'x86_64', defaultMemory, defaultCpus: 2n });
        expect(read.map(({ kind, content }) => ({ kind, content }))).toEqual(
          sections.map(({ kind, content }) => ({ kind, content: Uint8Array.from(content) })),
        );
      }),
    );
  });

  test('shows each byte of each section once, in order', async () => {
    const bytes = sample();
    const source = bytesSource(bytes, 'x');
    const seen = new Map<number, number[]>();
    await scanEif(source, (piece, _section, index) => void seen.set(index, [...(seen.get(index) ?? []), ...piece]));
    expect([...seen.values()].map((content) => Uint8Array.from(content))).toEqual(
      SECTIONS.map(({ content }) => content),
    );
  });

  test('knows versions 2 and 3, which are version 4 without metadata', async () => {
    const old = [
      { type: 1, content: noise(9) },
      { type: 2, content: text('quiet') },
      { type: 3, content: noise(8) },
    ];
    expect((await readEif(encodeRaw(2, old))).header.version).toBe(2);
    expect((await readEif(encodeRaw(3, [...old, { type: 4, content: noise(7) }]))).sections.at(-1)?.kind).toBe(
      'signature',
    );
    expect(await refusal(encodeRaw(2, [...old, { type: 4, content: noise(7) }]))).toMatchObject({
      code: 'eif/section-type',
    });
    expect(await refusal(encodeRaw(3, [...old, { type: 5, content: noise(7) }]))).toMatchObject({
      code: 'eif/section-type',
    });
    expect(await refusal(encodeRaw(4, old))).toMatchObject({ code: 'eif/section-missing' });
  });
});

describe('a hostile or damaged EIF is refused with the offset and the reason', () => {
  const good = sample();
  const last = good.length - 500 - 12; // the last section's header
  const kernel = { type: 1, content: noise(9) };
  const cmdline = { type: 2, content: text('x') };
  const metadata = { type: 5, content: text('{}') };
  const ramdisk = { type: 3, content: noise(8) };

  const cases: readonly (readonly [name: string, bytes: Uint8Array, code: string, where: string])[] = [
    ['empty file', new Uint8Array(), 'eif/truncated', 'offset 0x0'],
    ['only the magic', good.slice(0, 4), 'eif/truncated', 'offset 0x4'],
    ['cut inside the header', good.slice(0, 547), 'eif/truncated', 'offset 0x223'],
    ['cut inside a section', good.slice(0, -1), 'eif/truncated', `offset 0x${(good.length - 1).toString(16)}`],
    ['cut before the last section', good.slice(0, last), 'eif/truncated', `offset 0x${last.toString(16)}`],
    ['another magic', edit(good, (b) => b.set(text('.elf'))), 'eif/magic', 'offset 0x0'],
    ['a zip', text('PK\u0003\u0004 and more'), 'eif/magic', 'offset 0x0'],
    ['version 0', edit(good, (_, v) => v.setUint16(4, 0)), 'eif/version', 'offset 0x4'],
    ['version 1', edit(good, (_, v) => v.setUint16(4, 1)), 'eif/version', 'offset 0x4'],
    ['version 5', edit(good, (_, v) => v.setUint16(4, 5)), 'eif/version', 'offset 0x4'],
    ['an unknown flag', edit(good, (_, v) => v.setUint16(6, 2)), 'eif/flags', 'offset 0x6'],
    ['no sections', edit(good, (_, v) => v.setUint16(0x1a, 0)), 'eif/section-count', 'offset 0x1a'],
    ['33 sections', edit(good, (_, v) => v.setUint16(0x1a, 33)), 'eif/section-count', 'offset 0x1a'],
    ['65535 sections', edit(good, (_, v) => v.setUint16(0x1a, 65535)), 'eif/section-count', 'offset 0x1a'],
    ['one section fewer claimed', edit(good, (_, v) => v.setUint16(0x1a, 4)), 'eif/unused-entry', 'offset 0x3c'],
    ['one section more claimed', edit(good, (_, v) => v.setUint16(0x1a, 6)), 'eif/section-offset', 'offset 0x44'],
    ['overlapping sections', edit(good, (_, v) => v.setBigUint64(0x24, 600n)), 'eif/section-offset', 'offset 0x24'],
    ['a gap', edit(good, (_, v) => v.setBigUint64(0x24, 1300n)), 'eif/section-offset', 'offset 0x24'],
    ['an offset into the header', edit(good, (_, v) => v.setBigUint64(0x1c, 0n)), 'eif/section-offset', 'offset 0x1c'],
    [
      'an offset out of the file',
      edit(good, (_, v) => v.setBigUint64(0x3c, 2n ** 40n)),
      'eif/section-offset',
      'offset 0x3c',
    ],
    [
      'an offset beyond 2^53',
      edit(good, (_, v) => v.setBigUint64(0x3c, 2n ** 64n - 1n)),
      'eif/section-offset',
      'offset 0x3c',
    ],
    [
      'a size beyond 2^53',
      edit(good, (_, v) => v.setBigUint64(0x11c, 2n ** 64n - 1n)),
      'eif/truncated',
      `offset 0x${good.length.toString(16)}`,
    ],
    [
      'offset plus size wrapping around',
      edit(good, (_, v) => v.setBigUint64(0x13c, 2n ** 64n - 548n)),
      'eif/truncated',
      `offset 0x${good.length.toString(16)}`,
    ],
    [
      'an offset in an unused entry',
      edit(good, (_, v) => v.setBigUint64(0x114, 548n)),
      'eif/unused-entry',
      'offset 0x114',
    ],
    ['a size in an unused entry', edit(good, (_, v) => v.setBigUint64(0x214, 1n)), 'eif/unused-entry', 'offset 0x214'],
    [
      'trailing bytes',
      Buffer.concat([good, Uint8Array.of(0)]),
      'eif/trailing-bytes',
      `offset 0x${good.length.toString(16)}`,
    ],
    [
      'sizes that disagree',
      edit(good, (_, v) => v.setBigUint64(last + 4, 499n)),
      'eif/section-size',
      `offset 0x${(last + 4).toString(16)}`,
    ],
    ['section type 0', edit(good, (_, v) => v.setUint16(last, 0)), 'eif/section-type', `offset 0x${last.toString(16)}`],
    ['section type 6', edit(good, (_, v) => v.setUint16(last, 6)), 'eif/section-type', `offset 0x${last.toString(16)}`],
    [
      'section flags',
      edit(good, (_, v) => v.setUint16(last + 2, 1)),
      'eif/flags',
      `offset 0x${(last + 2).toString(16)}`,
    ],
    [
      'two kernels',
      encodeRaw(4, [kernel, kernel, cmdline, metadata, ramdisk]),
      'eif/section-duplicate',
      'offset 0x239',
    ],
    [
      'two command lines',
      encodeRaw(4, [kernel, cmdline, cmdline, ramdisk, metadata]),
      'eif/section-duplicate',
      'offset 0x246',
    ],
    ['no kernel', encodeRaw(4, [cmdline, metadata, ramdisk]), 'eif/section-order', 'offset 0x224'],
    ['no ramdisk', encodeRaw(4, [kernel, cmdline, metadata]), 'eif/section-missing', 'offset 0x1a'],
    [
      'a ramdisk before the kernel',
      encodeRaw(4, [ramdisk, kernel, cmdline, metadata]),
      'eif/section-order',
      'offset 0x224',
    ],
    [
      'the command line after a ramdisk',
      encodeRaw(4, [kernel, ramdisk, cmdline, metadata]),
      'eif/section-order',
      'offset 0x239',
    ],
    [
      'an oversize command line',
      encodeRaw(4, [kernel, { type: 2, content: noise(2049) }, metadata, ramdisk]),
      'eif/oversize',
      'offset 0x23d',
    ],
    [
      'an oversize signature',
      encodeRaw(4, [kernel, cmdline, metadata, ramdisk, { type: 4, content: noise(32_769) }]),
      'eif/oversize',
      'offset 0x26c',
    ],
    [
      'a flipped bit in a ramdisk',
      edit(good, (b) => (b[good.length - 1] = (b.at(-1) ?? 0) ^ 1)),
      'eif/crc-mismatch',
      'offset 0x220',
    ],
    [
      'a flipped bit in the metadata',
      edit(good, (b) => (b[548 + 12 + 700 + 12 + 17 + 12] = 0)),
      'eif/crc-mismatch',
      'offset 0x220',
    ],
    ['another CRC', edit(good, (_, v) => v.setUint32(0x220, 0)), 'eif/crc-mismatch', 'offset 0x220'],
  ];

  test.each(cases)('%s', async (_name, bytes, code, where) => {
    expect(await refusal(bytes)).toEqual({ code, kind: 'malformed', where });
  });

  test('with a right CRC too, where the CRC is not what is wrong', async () => {
    for (const [name, bytes, code] of cases) {
      if (code === 'eif/crc-mismatch' || bytes.length < 548) continue;
      expect(await refusal(withRightCrc(bytes)), name).toMatchObject({ code });
    }
  });

  test('a file larger than any image is refused by its size, before it is read', async () => {
    const source = { ...bytesSource(good, 'x.eif'), bytes: 2 ** 40 };
    await expect(scanEif(source, () => {})).rejects.toMatchObject({ code: 'eif/oversize', kind: 'malformed' });
  });

  test('a file that shrinks while it is read is an environment failure, not a verdict', async () => {
    const whole = bytesSource(good, 'x.eif');
    const source = {
      ...whole,
      read: async (offset: number, into: Uint8Array) => (offset > 1500 ? 0 : whole.read(offset, into)),
    };
    await expect(scanEif(source, () => {})).rejects.toMatchObject({ code: 'file/changed', kind: 'environment' });
  });

  test('any change of any byte is noticed, and nothing but our failure is ever thrown', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        // Six bytes of the header are reserved, and no reader looks at them but through the CRC.
        const { code, kind } = await refusal(edit(good, (b) => (b[at] = (b[at] ?? 0) ^ flip)));
        expect(kind, `byte ${at}: ${code}`).toBe('malformed');
      }),
      { numRuns: 400 },
    );
  });

  test('arbitrary bytes behind a good magic are refused, never crash the reader', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 1200 }), async (tail) => {
        expect((await refusal(Buffer.concat([good.slice(0, 8), tail]))).kind).toBe('malformed');
      }),
    );
  });
});

describeWithVectors('EIFs of an independent writer', (folder) => {
  const read = (file: string): Buffer => readFileSync(join(folder, 'eif', file));

  test('offsets, sizes and CRC are as published', async () => {
    const { header, sections } = await readEif(read('unsigned-v4.eif'));
    expect(header.crc32.toString(16)).toBe('7471fe52');
    expect(sections.map(({ offset }) => offset)).toEqual([548, 4656, 4787, 5043, 7103, 10115]);
    expect(sections.map(({ bytes }) => bytes)).toEqual([4096, 119, 244, 2048, 3000, 1001]);
    expect(encodeEif({ ...header }, sections)).toEqual(new Uint8Array(read('unsigned-v4.eif')));
  });

  test('a flipped bit is a CRC mismatch', async () => {
    expect(await refusal(read('bad-crc-v4.eif'))).toMatchObject({ code: 'eif/crc-mismatch', where: 'offset 0x220' });
  });
});
