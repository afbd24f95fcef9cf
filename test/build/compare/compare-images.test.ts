/** An image that is not what was built: each change is found, told where it is, and nothing else is told. */
import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../build/byte-source.ts';
import { compareSources } from '../../../build/compare/compare-images.ts';
import type { Difference } from '../../../build/compare/difference.ts';
import { CRC_OFFSET, HEADER_BYTES } from '../../../build/eif/format.ts';
import { encodeCpio } from '../../../build/image/cpio.ts';
import { encodeEif } from '../eif/encode-eif.ts';
import { FIELDS, edit, noise, text, withRightCrc } from '../eif/samples.ts';
import type { Section } from '../eif/samples.ts';

type Entry = Parameters<typeof encodeCpio>[0][number];

const file = (
  path: string,
  content: Uint8Array,
  mode = 0o644,
): Entry & { readonly kind: 'file'; readonly content: Uint8Array } => ({
  kind: 'file',
  path,
  mode,
  content,
});
const folder = (path: string, mode = 0o755): Entry => ({ kind: 'directory', path, mode });

const INIT = [file('init', noise(900, 1), 0o755)];
const BASE = [
  folder('rootfs'),
  folder('rootfs/accord'),
  file('rootfs/accord/gate.mjs', text('export {};\n')),
  folder('rootfs/usr'),
  file('rootfs/usr/node', noise(5001, 2), 0o755),
  { kind: 'hardlink', path: 'rootfs/usr/node20', to: 'rootfs/usr/node' },
  { kind: 'symlink', path: 'rootfs/usr/nodejs', target: 'node' },
] as const satisfies readonly Entry[];
const LAST = [
  file('cmd', text('/usr/bin/node\n/accord/gate.mjs\n')),
  file('env', text('ACCORD_POLICY={"until":"2099-06-30"}\n')),
  folder('rootfs'),
  folder('rootfs/accord'),
  file('rootfs/accord/transport', text('nitro\n')),
];

interface Parts {
  readonly kernel: Uint8Array;
  readonly commandLine: string;
  readonly metadata: string;
  readonly ramdisks: readonly Uint8Array[];
  readonly signature?: Uint8Array;
}
const PARTS: Parts = {
  kernel: noise(4000, 9),
  commandLine: 'console=ttyS0 quiet',
  metadata: '{"ImageName":"trial"}',
  ramdisks: [INIT, BASE, LAST].map((entries) => encodeCpio(entries)),
};

function imageOf(changes: Partial<Parts> = {}, fields: { readonly defaultCpus?: bigint } = {}): Uint8Array {
  const { kernel, commandLine, metadata, ramdisks, signature } = { ...PARTS, ...changes };
  const sections: readonly Section[] = [
    { kind: 'kernel', content: kernel },
    { kind: 'cmdline', content: text(commandLine) },
    { kind: 'metadata', content: text(metadata) },
    ...ramdisks.map((content) => ({ kind: 'ramdisk', content }) as const),
    ...(signature === undefined ? [] : [{ kind: 'signature', content: signature } as const]),
  ];
  return encodeEif({ ...FIELDS, ...fields }, sections);
}

const BUILT = imageOf();
const compare = async (given: Uint8Array): Promise<readonly Difference[]> =>
  (await compareSources(bytesSource(given, 'image'), bytesSource(BUILT, 'rebuild'))).differences;
const withBase = (entries: readonly Entry[]): Uint8Array =>
  imageOf({ ramdisks: PARTS.ramdisks.map((ramdisk, i) => (i === 1 ? encodeCpio(entries) : ramdisk)) });
const replaced = (path: string, by: Entry): Uint8Array =>
  withBase(BASE.map((entry) => (entry.path === path ? by : entry)));
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const flip = (bytes: Uint8Array, at: number): Uint8Array => edit(bytes, (copy) => (copy[at] = (copy[at] ?? 0) ^ 1));

test('the same bytes: nothing', async () => {
  expect(await compare(imageOf())).toEqual([]);
});

describe('one change', () => {
  test('of the kernel: both digests and the first byte', async () => {
    const kernel = flip(PARTS.kernel, 1234);
    expect(await compare(imageOf({ kernel }))).toEqual([
      {
        where: 'kernel',
        what: 'content',
        offset: 1234,
        image: `${sha(kernel)} (4000 bytes)`,
        rebuild: `${sha(PARTS.kernel)} (4000 bytes)`,
      },
    ]);
  });

  test('of the command line: both texts', async () => {
    expect(await compare(imageOf({ commandLine: 'console=ttyS0 rdinit=/x' }))).toEqual([
      {
        where: 'command line',
        what: 'content',
        offset: 14,
        image: 'console=ttyS0 rdinit=/x',
        rebuild: 'console=ttyS0 quiet',
      },
    ]);
  });

  test('of the metadata, which nobody measures', async () => {
    expect(await compare(imageOf({ metadata: '{"ImageName":"other"}' }))).toMatchObject([
      { where: 'metadata', offset: 14, image: '{"ImageName":"other"}' },
    ]);
  });

  test('of the header', async () => {
    expect(await compare(imageOf({}, { defaultCpus: 4n }))).toEqual([
      { where: 'header: default CPUs', what: 'field', image: '4', rebuild: '2' },
    ]);
    expect(await compare(withRightCrc(flip(BUILT, 0x21f)))).toEqual([
      { where: 'header: reserved, before the checksum', what: 'field', image: '1', rebuild: '0' },
    ]);
  });

  test('of the checksum alone', async () => {
    expect(await compare(flip(BUILT, CRC_OFFSET))).toMatchObject([{ where: 'header', what: 'checksum' }]);
  });

  const node = BASE[4];
  test.each<readonly [string, () => Uint8Array, readonly Partial<Difference>[]]>([
    [
      'of a file',
      () => replaced(node.path, { ...node, content: flip(node.content, 5000) }),
      [
        {
          where: 'ramdisk 2: rootfs/usr/node20',
          what: 'content',
          offset: 5000,
          image: `${sha(flip(node.content, 5000))} (5001 bytes)`,
          rebuild: `${sha(node.content)} (5001 bytes)`,
        },
      ],
    ],
    [
      'of the length of a file',
      () => replaced('rootfs/accord/gate.mjs', file('rootfs/accord/gate.mjs', text('export {};\n//'))),
      [{ where: 'ramdisk 2: rootfs/accord/gate.mjs', what: 'content', offset: 11 }],
    ],
    [
      'of a mode',
      () => replaced('rootfs/accord/gate.mjs', { ...BASE[2], mode: 0o755 }),
      [{ where: 'ramdisk 2: rootfs/accord/gate.mjs', what: 'mode', image: '0755', rebuild: '0644' }],
    ],
    [
      'of a folder, by its mode',
      () => replaced('rootfs/usr', folder('rootfs/usr', 0o777)),
      [{ where: 'ramdisk 2: rootfs/usr', what: 'mode', image: '0777', rebuild: '0755' }],
    ],
    [
      'of a link',
      () => replaced('rootfs/usr/nodejs', { kind: 'symlink', path: 'rootfs/usr/nodejs', target: 'node20' }),
      [{ where: 'ramdisk 2: rootfs/usr/nodejs', what: 'target', image: 'node20', rebuild: 'node' }],
    ],
    [
      'of a hard link',
      () => replaced('rootfs/usr/node20', { ...node, path: 'rootfs/usr/node20' }),
      [
        { where: 'ramdisk 2: rootfs/usr/node', what: 'content', offset: 0 },
        { where: 'ramdisk 2: rootfs/usr/node20', what: 'hard-link', rebuild: 'the same file as rootfs/usr/node' },
      ],
    ],
    [
      'of a link into a file',
      () => replaced('rootfs/usr/nodejs', file('rootfs/usr/nodejs', text('#!'), 0o755)),
      [
        {
          where: 'ramdisk 2: rootfs/usr/nodejs',
          what: 'kind',
          image: `file 0755 ${sha(text('#!'))} (2 bytes)`,
          rebuild: 'link to node',
        },
      ],
    ],
    [
      'a file more',
      () => withBase([...BASE, file('rootfs/usr/sh', text('shell'), 0o755)]),
      [
        {
          where: 'ramdisk 2: rootfs/usr/sh',
          what: 'only-in-image',
          image: `file 0755 ${sha(text('shell'))} (5 bytes)`,
        },
      ],
    ],
    [
      'a file less',
      () => withBase(BASE.filter(({ path }) => path !== 'rootfs/accord/gate.mjs')),
      [{ where: 'ramdisk 2: rootfs/accord/gate.mjs', what: 'only-in-rebuild' }],
    ],
  ])('%s', async (_, make, expected) => {
    expect(await compare(make())).toMatchObject(expected);
  });

  test('of what is started and with which environment: as text', async () => {
    const last = (path: string, content: string): Uint8Array =>
      imageOf({
        ramdisks: [
          ...PARTS.ramdisks.slice(0, 2),
          encodeCpio(LAST.map((entry) => (entry.path === path ? file(path, text(content)) : entry))),
        ],
      });
    expect(await compare(last('cmd', '/usr/bin/node\n/accord/other.mjs\n'))).toEqual([
      {
        where: 'ramdisk 3: cmd',
        what: 'content',
        offset: 22,
        image: '/usr/bin/node ⏎ /accord/other.mjs ⏎ ',
        rebuild: '/usr/bin/node ⏎ /accord/gate.mjs ⏎ ',
      },
    ]);
    expect(await compare(last('env', 'ACCORD_POLICY={"until":"2099-07-30"}\n'))).toMatchObject([
      { where: 'ramdisk 3: env', image: expect.stringContaining('07-30'), rebuild: expect.stringContaining('06-30') },
    ]);
    expect(await compare(last('rootfs/accord/transport', 'local\n'))).toMatchObject([
      { where: 'ramdisk 3: rootfs/accord/transport', image: 'local ⏎ ' },
    ]);
  });

  test('of the number of ramdisks', async () => {
    const more = imageOf({ ramdisks: [...PARTS.ramdisks, encodeCpio([])] });
    expect(await compare(more)).toMatchObject([{ where: 'ramdisk 4', what: 'only-in-image' }]);
    expect(await compare(imageOf({ ramdisks: PARTS.ramdisks.slice(0, 2) }))).toMatchObject([
      { where: 'ramdisk 3', what: 'only-in-rebuild' },
    ]);
  });

  test('of an owner or a time in a ramdisk, which no file has, and of its padding', async () => {
    const base = PARTS.ramdisks[1] ?? new Uint8Array();
    const at = Buffer.from(base).indexOf('rootfs/usr/node\0') - 110;
    const uid = at + 6 + 8 * 2 + 7;
    const owned = imageOf({ ramdisks: PARTS.ramdisks.map((ramdisk, i) => (i === 1 ? flip(ramdisk, uid) : ramdisk)) });
    expect(await compare(owned)).toEqual([
      { where: 'ramdisk 2: the header of rootfs/usr/node (owner, time or inode)', what: 'archive', offset: uid },
    ]);
    const longer = imageOf({
      ramdisks: PARTS.ramdisks.map((ramdisk, i) => (i === 1 ? Buffer.concat([ramdisk, new Uint8Array(512)]) : ramdisk)),
    });
    expect(await compare(longer)).toMatchObject([
      {
        where: 'ramdisk 2: what follows rootfs/usr/nodejs (padding, order or end)',
        what: 'archive',
        offset: base.length,
      },
    ]);
  });

  test('into no archive at all', async () => {
    const broken = imageOf({ ramdisks: [PARTS.ramdisks[0] ?? noise(1), noise(700, 4), PARTS.ramdisks[2] ?? noise(1)] });
    expect(await compare(broken)).toMatchObject([
      { where: 'ramdisk 2', what: 'unreadable', offset: 0, image: expect.stringContaining('at byte 0') },
    ]);
  });
});

test('a signature is not compared, and told', async () => {
  const signature = noise(300, 8);
  const signed = imageOf({ signature });
  const found = await compareSources(bytesSource(signed, 'image'), bytesSource(BUILT, 'rebuild'));
  expect(found).toEqual({ differences: [], signatureSha256: sha(signature) });
  const changed = imageOf({ signature, commandLine: 'x' });
  expect(await compare(changed)).toMatchObject([{ where: 'command line' }]);
});

test('what is no EIF is refused, with the reason', async () => {
  await expect(compare(text('not an image'))).rejects.toMatchObject({ kind: 'malformed', code: 'eif/magic' });
});

test('any one flipped bit behind the header is found, in the section that it is in, with a right and a wrong checksum', async () => {
  const starts = ['kernel', 'command line', 'metadata', 'ramdisk 1', 'ramdisk 2', 'ramdisk 3'];
  const view = new DataView(BUILT.buffer, BUILT.byteOffset);
  const sections = starts.map((name, i) => {
    const from = Number(view.getBigUint64(0x1c + 8 * i)) + 12;
    return { name, from, to: from + Number(view.getBigUint64(0x11c + 8 * i)) };
  });
  await fc.assert(
    fc.asyncProperty(
      fc
        .constantFrom(...sections)
        .chain(({ name, from, to }) =>
          fc.record({ name: fc.constant(name), at: fc.integer({ min: from, max: to - 1 }) }),
        ),
      fc.integer({ min: 0, max: 7 }),
      fc.boolean(),
      async ({ name, at }, bit, isHonest) => {
        const changed = edit(BUILT, (copy) => (copy[at] = (copy[at] ?? 0) ^ (1 << bit)));
        const found = await compare(isHonest ? changed : withRightCrc(changed));
        const told = found.filter(({ what }) => what !== 'checksum');
        expect(told.length).toBeGreaterThan(0);
        expect(told.every(({ where }) => where.startsWith(name))).toBe(true);
        expect(found.length - told.length).toBe(isHonest ? 1 : 0);
      },
    ),
    { numRuns: 300 },
  );
  expect(HEADER_BYTES).toBe(548);
});
