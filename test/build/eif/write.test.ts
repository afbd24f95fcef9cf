import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { handleSource } from '../../../build/byte-source.ts';
import { crc32 } from '../../../build/eif/crc32.ts';
import { encodeMetadata } from '../../../build/eif/metadata.ts';
import { writeEif } from '../../../build/eif/write.ts';
import { encodeEif } from './encode-eif.ts';
import type { SectionInput } from '../../../build/eif/write.ts';
import { measureEif } from '../../../build/measure/pcr.ts';
import { FIELDS, SECTIONS, anySections, noise, sample } from './samples.ts';

let folder = '';
let files = 0;
const fresh = (): string => join(folder, `${files++}.eif`);

const inputs = (content: SectionInput['content']): readonly SectionInput[] => [
  ...SECTIONS.slice(0, 3),
  { kind: 'ramdisk', content },
  ...SECTIONS.slice(4),
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-eif-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('writing an EIF', () => {
  test('to a file gives the bytes, PCRs and digest of writing it in memory', async () => {
    await fc.assert(
      fc.asyncProperty(anySections, async (sections) => {
        const path = fresh();
        const written = await writeEif(path, FIELDS, sections, { measure: true, digest: true });
        const bytes = encodeEif(FIELDS, sections);
        expect(new Uint8Array(await readFile(path))).toEqual(bytes);
        expect(written.bytes).toBe(bytes.length);
        expect(written.pcrs).toEqual(await measureEif(bytes));
        expect(written.sha384).toBe(createHash('sha384').update(bytes).digest('hex'));
      }),
      { numRuns: 30 },
    );
  });

  test('takes a section from an open file, with the CRC that is known of it', async () => {
    const content = noise(5_000_000, 7);
    const from = join(folder, 'ramdisk');
    await writeFile(from, content);
    const handle = await open(from, 'r');
    try {
      const source = handleSource(handle, from, content.length);
      const path = fresh();
      await writeEif(path, FIELDS, inputs({ source, crc32: crc32(content) }));
      const expected = encodeEif(FIELDS, SECTIONS.with(3, { kind: 'ramdisk', content }));
      expect((await readFile(path)).equals(expected)).toBe(true);

      const wrong = writeEif(fresh(), FIELDS, inputs({ source, crc32: 1 }));
      await expect(wrong).rejects.toMatchObject({ code: 'file/changed', kind: 'environment' });
      const longer = { ...source, bytes: content.length + 1 };
      const short = writeEif(fresh(), FIELDS, inputs({ source: longer, crc32: 1 }));
      await expect(short).rejects.toMatchObject({ code: 'file/changed', kind: 'environment' });
    } finally {
      await handle.close();
    }
  });

  test('twice gives the same bytes', () => {
    expect(sample()).toEqual(sample());
  });

  test('never overwrites a file', async () => {
    const path = fresh();
    await writeFile(path, 'mine');
    await expect(writeEif(path, FIELDS, SECTIONS)).rejects.toMatchObject({ code: 'disk/failed', where: path });
    expect(await readFile(path, 'utf8')).toBe('mine');
    expect((await stat(path)).size).toBe(4);
  });

  test('refuses what no reader would take', () => {
    expect(() => encodeEif(FIELDS, [])).toThrow(/no kernel section/);
    expect(() => encodeEif(FIELDS, SECTIONS.slice(1))).toThrow(/out of order/);
    expect(() => encodeEif(FIELDS, [...SECTIONS, ...SECTIONS])).toThrow(/second kernel/);
    expect(() => encodeEif(FIELDS, SECTIONS.with(1, { kind: 'cmdline', content: noise(3000) }))).toThrow(
      /limit is 2048/,
    );
    const many = Array.from({ length: 30 }, () => ({ kind: 'ramdisk' as const, content: noise(1) }));
    expect(() => encodeEif(FIELDS, [...SECTIONS, ...many])).toThrow(/35 sections/);
  });

  test('metadata holds neither time nor place', () => {
    const fields = { name: 'x', toolVersion: '1.2.3', kernelVersion: 'none', custom: { target: 'local' } };
    const metadata = encodeMetadata(fields);
    expect(encodeMetadata({ ...fields })).toEqual(metadata);
    const read: unknown = JSON.parse(new TextDecoder().decode(metadata));
    // The fields that readers of the format demand.
    expect(read).toMatchObject({
      ImageName: 'x',
      ImageVersion: '1.2.3',
      BuildMetadata: { BuildTime: '1970-01-01T00:00:00+00:00', BuildTool: 'accord', BuildToolVersion: '1.2.3' },
      DockerInfo: {},
      CustomMetadata: { target: 'local' },
    });
  });
});
