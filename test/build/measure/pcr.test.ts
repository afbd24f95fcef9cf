import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMeasurement, measureEif } from '../../../build/measure/pcr.ts';
import { encodeEif } from '../eif/encode-eif.ts';
import { describeWithVectors } from '../../vectors.ts';
import { FIELDS, SECTIONS, anySections, noise, sample } from '../eif/samples.ts';
import type { Section } from '../eif/samples.ts';

const sha384 = (...parts: readonly Uint8Array[]): Buffer => createHash('sha384').update(Buffer.concat(parts)).digest();
/** The published formula, straight. */
const pcr = (...data: readonly Uint8Array[]): string => sha384(new Uint8Array(48), sha384(...data)).toString('hex');

function direct(sections: readonly Section[]): Record<string, string> {
  const of = (kind: string): readonly Uint8Array[] => sections.filter((s) => s.kind === kind).map((s) => s.content);
  const boot = [...of('kernel'), ...of('cmdline')];
  const ramdisks = of('ramdisk');
  return {
    PCR0: pcr(...boot, ...ramdisks),
    PCR1: pcr(...boot, ...ramdisks.slice(0, 1)),
    PCR2: pcr(...ramdisks.slice(1)),
  };
}

describe('PCRs', () => {
  test('follow the published formula, for any content', async () => {
    await fc.assert(
      fc.asyncProperty(anySections, async (sections) => {
        expect(await measureEif(encodeEif(FIELDS, sections))).toEqual(direct(sections));
      }),
    );
  });

  test('resumed before the last ramdisk equal those computed from the start, again and again', () => {
    fc.assert(
      fc.property(
        anySections,
        fc.array(fc.uint8Array({ maxLength: 400 }), { minLength: 1, maxLength: 4 }),
        (sections, lasts) => {
          const before = createMeasurement();
          for (const [index, { kind, content }] of sections.entries()) before.update(kind, index, content);
          for (const content of lasts) {
            const after = before.fork();
            after.update('ramdisk', sections.length, content);
            expect(after.finish()).toEqual(direct([...sections, { kind: 'ramdisk', content }]));
          }
          expect(before.finish()).toEqual(direct(sections));
        },
      ),
    );
  });

  test('do not depend on the pieces that the content comes in', () => {
    fc.assert(
      fc.property(anySections, fc.integer({ min: 1, max: 50 }), (sections, size) => {
        const measurement = createMeasurement();
        for (const [index, { kind, content }] of sections.entries()) {
          for (let at = 0; at < content.length; at += size)
            measurement.update(kind, index, content.subarray(at, at + size));
          if (content.length === 0) measurement.update(kind, index, content);
        }
        expect(measurement.finish()).toEqual(direct(sections));
      }),
    );
  });

  test('see nothing of header and metadata', async () => {
    const before = await measureEif(sample());
    const others = SECTIONS.map((s) => (s.kind === 'metadata' ? { ...s, content: noise(99, 9) } : s));
    const fields = { architecture: 'aarch64', defaultMemory: 1n, defaultCpus: 64n } as const;
    expect(await measureEif(encodeEif(fields, others))).toEqual(before);
  });

  test('change with each byte of each other section, and with the border between two', async () => {
    const before = await measureEif(sample());
    for (const [i, section] of SECTIONS.entries()) {
      if (section.kind === 'metadata') continue;
      const content = section.content.slice();
      content[0] = (content[0] ?? 0) ^ 1;
      const after = await measureEif(encodeEif(FIELDS, SECTIONS.with(i, { ...section, content })));
      expect(after.PCR0).not.toBe(before.PCR0);
      expect(after.PCR1 !== before.PCR1, `section ${i}`).toBe(i < 4);
      expect(after.PCR2 !== before.PCR2, `section ${i}`).toBe(i === 4);
    }
  });

  test('of a file are those of its bytes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'accord-pcr-'));
    try {
      const sections = SECTIONS.with(4, { kind: 'ramdisk', content: noise(5_000_000, 4) });
      await writeFile(join(folder, 'big.eif'), encodeEif(FIELDS, sections));
      const progress: number[] = [];
      const pcrs = await measureEif(join(folder, 'big.eif'), { onProgress: (done) => progress.push(done) });
      expect(pcrs).toEqual(direct(sections));
      expect(progress.length).toBeGreaterThan(3);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('of what is no file are an environment failure that names the path', async () => {
    await expect(measureEif('/nonexistent/x.eif')).rejects.toMatchObject({
      kind: 'environment',
      code: 'file/unreadable',
      where: '/nonexistent/x.eif',
    });
    await expect(measureEif(tmpdir())).rejects.toMatchObject({ kind: 'environment', code: 'file/unreadable' });
  });
});

describeWithVectors('PCRs of an independent writer', (folder) => {
  test('are as published', async () => {
    const index: { files: readonly { file: string; pcrs?: Record<string, string> }[] } = JSON.parse(
      readFileSync(join(folder, 'eif', 'index.json'), 'utf8'),
    );
    const known = index.files.filter(({ pcrs }) => pcrs !== undefined);
    expect(known.length).toBeGreaterThan(0);
    for (const { file, pcrs } of known) expect(await measureEif(join(folder, 'eif', file))).toEqual(pcrs);
  });
});
