/** Layers of a container image: what they mean together, and everything that is refused of them, by name. */
import { gzipSync } from 'node:zlib';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readDockerArchive } from '../../../build/image/docker-archive.ts';
import { encodeCpio, planCpio, writeCpio } from '../../../build/image/cpio.ts';
import { flattenLayers, treeEntries } from '../../../build/image/flatten.ts';
import type { Tree } from '../../../build/image/flatten.ts';
import { file, folder, hardlink, opaque, pieces, savedImage, sha256, symlink, tarOf, whiteout } from './tar.ts';
import type { SavedOptions, TarInput } from './tar.ts';

let work = '';
let runs = 0;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'accord-layers-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

async function readSaved(archive: Uint8Array): Promise<Tree> {
  const place = await mkdtemp(join(work, `${runs++}-`));
  return flattenLayers((await readDockerArchive(pieces(archive), place)).layers);
}

async function read(layers: readonly (readonly TarInput[])[], options: SavedOptions = {}): Promise<Tree> {
  return readSaved(await savedImage(await Promise.all(layers.map(tarOf)), options));
}

/** Path → `/` for a folder, `-> target` for a link, the content's name for a file. */
function shown(tree: Tree, contents: readonly string[]): Readonly<Record<string, string>> {
  const names = new Map(contents.map((content) => [sha256(content), content]));
  return Object.fromEntries(
    [...tree]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, node]) => {
        if (node.kind === 'directory') return [path, '/'];
        if (node.kind === 'symlink') return [path, `-> ${node.target}`];
        return [path, names.get(node.content.sha256) ?? '?'];
      }),
  );
}

async function cpioOf(tree: Tree): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const piece of writeCpio(planCpio(treeEntries(tree)))) parts.push(new Uint8Array(piece));
  return sha256(Buffer.concat(parts));
}

describe('layers together', () => {
  test('a later file takes the place of an earlier one', async () => {
    const tree = await read([[folder('a'), file('a/x', '1')], [file('a/x', '2')]]);
    expect(shown(tree, ['1', '2'])).toEqual({ a: '/', 'a/x': '2' });
  });

  test('a whiteout takes a file or a whole folder of the layers below away', async () => {
    const below = [folder('a'), file('a/x'), folder('b'), folder('b/c'), file('b/c/y'), file('b-other')];
    const tree = await read([below, [whiteout('a/x'), whiteout('b')]]);
    expect(shown(tree, ['b-other'])).toEqual({ a: '/', 'b-other': 'b-other' });
  });

  test('a whiteout leaves what its own layer has under that name', async () => {
    const below = [folder('a'), file('a/x', 'old')];
    for (const above of [
      [whiteout('a'), folder('a'), file('a/y', 'new')],
      [folder('a'), file('a/y', 'new'), whiteout('a')],
    ]) {
      expect(shown(await read([below, above]), ['old', 'new'])).toEqual({ a: '/', 'a/y': 'new' });
    }
  });

  test('an opaque folder keeps nothing of the layers below', async () => {
    const below = [folder('a'), file('a/x'), folder('a/b'), file('a/b/y'), file('z')];
    const tree = await read([below, [folder('a'), file('a/new'), opaque('a')]]);
    expect(shown(tree, ['a/new', 'z'])).toEqual({ a: '/', 'a/new': 'a/new', z: 'z' });
  });

  test('a file in place of a folder takes all that was in it away, and the other way round', async () => {
    const tree = await read([
      [folder('a'), file('a/x'), file('b')],
      [file('a', 'flat'), folder('b'), file('b/y')],
    ]);
    expect(shown(tree, ['flat', 'b/y'])).toEqual({ a: 'flat', b: '/', 'b/y': 'b/y' });
  });

  test('a hard link stays with the content it had when one of its names is replaced', async () => {
    const tree = await read([[file('a', 'one'), hardlink('b', 'a'), hardlink('c', 'b')], [file('a', 'two')]]);
    expect(shown(tree, ['one', 'two'])).toEqual({ a: 'two', b: 'one', c: 'one' });
    expect(tree.get('b')).toBe(tree.get('c'));
  });

  test('hard links come with one content into the ramdisk', async () => {
    const tree = await read([[file('a', 'one'), hardlink('b', 'a')]]);
    const entries = treeEntries(tree).map(({ kind, path }) => [kind, path]);
    expect(entries).toEqual([
      ['directory', 'rootfs'],
      ['file', 'rootfs/a'],
      ['hardlink', 'rootfs/b'],
    ]);
  });

  test('links stay as they are, absolute ones as relative ones of the same end', async () => {
    const links = [folder('usr'), folder('usr/lib'), symlink('lib', 'usr/lib'), symlink('usr/lib/so', '/usr/lib/so.1')];
    const targets = treeEntries(await read([links])).flatMap((entry) =>
      entry.kind === 'symlink' ? [[entry.path, entry.target]] : [],
    );
    expect(targets).toEqual([
      ['rootfs/lib', 'usr/lib'],
      ['rootfs/usr/lib/so', '../../usr/lib/so.1'],
    ]);
  });

  test('names of more than 255 bytes in all, and of other alphabets, come whole', async () => {
    const long = `${'d'.repeat(120)}/${'e'.repeat(120)}/${'ф'.repeat(60)}`;
    const tree = await read([
      [folder('d'.repeat(120)), folder(`${'d'.repeat(120)}/${'e'.repeat(120)}`), file(long, 'x')],
    ]);
    expect(tree.get(long)?.kind).toBe('file');
  });

  test('folders that no layer names are made', async () => {
    expect(shown(await read([[file('a/b/c', 'x')]]), ['x'])).toEqual({ a: '/', 'a/b': '/', 'a/b/c': 'x' });
  });

  test('owners, times and attributes leave no trace', async () => {
    const plain = await read([[folder('a'), file('a/x')]]);
    const dressed = await read([
      [
        { ...folder('./a'), uid: 1000, gid: 1000, mtime: new Date(5e11) },
        { ...file('./a/x', 'a/x'), uname: 'me', pax: { 'SCHILY.xattr.user.note': 'hello' } },
      ],
    ]);
    expect(await cpioOf(dressed)).toBe(await cpioOf(plain));
  });

  test('give the same ramdisk however they are cut, in whatever order, gzipped or not', async () => {
    const all = [folder('a'), file('a/x', '1'), file('a/y', '2'), hardlink('a/z', 'a/y'), symlink('l', 'a/x')];
    const whole = await cpioOf(await read([all]));
    expect(await cpioOf(await read(all.map((one) => (one.type === 'link' ? [file('a/y', '2'), one] : [one]))))).toBe(
      whole,
    );
    expect(await cpioOf(await read([all.toReversed()]))).toBe(whole);
    expect(await cpioOf(await read([all], { stored: (layer) => gzipSync(layer) }))).toBe(whole);
    expect(await cpioOf(await read([[file('gone'), ...all], [whiteout('gone')]]))).toBe(whole);
  });

  test('become the archive that the same entries become without an engine', async () => {
    const tree = await read([[folder('a'), file('a/x', 'text')]]);
    const direct = encodeCpio([
      { kind: 'directory', path: 'rootfs', mode: 0o755 },
      { kind: 'directory', path: 'rootfs/a', mode: 0o755 },
      { kind: 'file', path: 'rootfs/a/x', mode: 0o644, content: Buffer.from('text') },
    ]);
    expect(await cpioOf(tree)).toBe(sha256(direct));
  });
});

describe('a hostile layer', () => {
  const capability = { 'SCHILY.xattr.security.capability': '\u0001' };
  const HOSTILE: Readonly<Record<string, readonly [string, readonly (readonly TarInput[])[]]>> = {
    climbsOut: ['layers/path', [[file('../evil')]]],
    climbsInTheMiddle: ['layers/path', [[file('a/../../evil')]]],
    absolutePath: ['layers/path', [[file('/etc/passwd')]]],
    emptyPart: ['layers/path', [[file('a//b')]]],
    lineBreakInName: ['layers/path', [[file('a\nb')]]],
    characterDevice: ['layers/device', [[{ name: 'null', type: 'character-device', devmajor: 1, devminor: 3 }]]],
    blockDevice: ['layers/device', [[{ name: 'disk', type: 'block-device', devmajor: 8, devminor: 0 }]]],
    namedPipe: ['layers/device', [[{ name: 'pipe', type: 'fifo' }]]],
    setuidProgram: ['layers/setuid', [[file('su', 'x', 0o4755)]]],
    setgidProgram: ['layers/setuid', [[file('write', 'x', 0o2755)]]],
    setgidFolder: ['layers/setuid', [[folder('shared', 0o2775)]]],
    programWithCapabilities: ['layers/capability', [[{ ...file('ping'), pax: capability }]]],
    sparseFile: ['layers/type', [[{ ...file('hole'), pax: { 'GNU.sparse.major': '1' } }]]],
    hardLinkOut: ['layers/link', [[hardlink('a', '../../etc/shadow')]]],
    hardLinkToAbsolute: ['layers/link', [[hardlink('a', '/etc/shadow')]]],
    hardLinkToNothing: ['layers/link', [[hardlink('a', 'b')]]],
    hardLinkToItself: ['layers/link', [[hardlink('a', 'b'), hardlink('b', 'a')]]],
    hardLinkToFolder: ['layers/link', [[folder('b'), hardlink('a', 'b')]]],
    hardLinkToWhitedOut: ['layers/link', [[file('b')], [whiteout('b'), hardlink('a', 'b')]]],
    symlinkOut: ['layers/link', [[symlink('a', '../../etc')]]],
    symlinkOutByDescent: ['layers/link', [[folder('d'), symlink('d/a', 'x/../../..')]]],
    absoluteSymlinkThatClimbs: ['layers/link', [[symlink('a', '/usr/../../etc')]]],
    fileThroughSymlink: ['layers/through-link', [[symlink('a', 'b'), folder('b'), file('a/x')]]],
    fileThroughSymlinkBelow: ['layers/through-link', [[folder('b'), symlink('a', 'b')], [file('a/x')]]],
    fileThroughFile: ['layers/through-link', [[file('a'), file('a/x')]]],
    fileThroughHardLink: ['layers/through-link', [[file('b'), hardlink('a', 'b'), file('a/x')]]],
    fileTwice: ['layers/duplicate', [[file('a', '1'), file('a', '2')]]],
    fileTwiceByDot: ['layers/duplicate', [[file('a', '1'), file('./a', '2')]]],
    fileThenFolder: ['layers/duplicate', [[file('a'), folder('a')]]],
    folderOfTwoModes: ['layers/duplicate', [[folder('a'), folder('a', 0o777)]]],
    whiteoutOfParent: ['layers/whiteout', [[folder('a'), file('a/.wh...', '')]]],
    whiteoutOfNothing: ['layers/whiteout', [[file('.wh.', '')]]],
    whiteoutWithContent: ['layers/whiteout', [[file('.wh.a', 'x')]]],
    unknownWhiteout: ['layers/whiteout', [[file('.wh..wh.plnk', '')]]],
  };

  test.each(Object.entries(HOSTILE))('%s is refused: %s', async (_name, [code, layers]) => {
    await expect(read(layers)).rejects.toMatchObject({
      code,
      kind: 'malformed',
      where: expect.stringMatching(/./),
      hint: expect.stringContaining('--engine'),
    });
  });

  test('an unknown kind of entry is refused', async () => {
    const layer = await tarOf([file('a')]);
    // Type "V", a volume header, with the checksum that goes with it.
    const patched = Uint8Array.from(layer);
    patched[156] = 'V'.charCodeAt(0);
    const sum = patched.subarray(0, 512).reduce((all, byte, i) => all + (i >= 148 && i < 156 ? 32 : byte), 0);
    patched.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
    await expect(readSaved(await savedImage([patched]))).rejects.toMatchObject({ code: 'layers/type' });
  });

  test('contents of more than the limit are refused before they are written', async () => {
    const header = await headerOnly(3 * 1024 ** 3);
    await expect(readSaved(await savedImage([header]))).rejects.toMatchObject({ code: 'layers/too-large' });
  });

  test('a header that would have to be held whole is refused, however large it says to be', async () => {
    const long = await headerOnly(1024 ** 3, 'x');
    const layer = Buffer.concat([long, Buffer.alloc(3 * 1024 * 1024, 'a')]);
    await expect(readSaved(await savedImage([layer]))).rejects.toMatchObject({ code: 'layers/too-large' });
  });

  test('many megabytes of zeros behind the end are refused', async () => {
    const layer = Buffer.concat([await tarOf([file('a')]), Buffer.alloc(4 * 1024 * 1024)]);
    await expect(readSaved(await savedImage([layer]))).rejects.toMatchObject({ code: 'layers/too-large' });
  });

  test('a layer that unpacks without end is refused at the limit of its entries', async () => {
    const many = Array.from({ length: 50_001 }, (_, i) => folder(`d${i}`));
    await expect(read([many], { stored: (layer) => gzipSync(layer) })).rejects.toMatchObject({
      code: 'layers/too-many',
    });
  });
});

/** A lone header of one file that claims so many bytes. */
async function headerOnly(bytes: number, type = '0'): Promise<Uint8Array> {
  const header = Uint8Array.from((await tarOf([file('huge', '')])).subarray(0, 512));
  header.set(Buffer.from(`${bytes.toString(8).padStart(11, '0')} `), 124);
  header[156] = type.charCodeAt(0);
  const sum = header.reduce((all, byte, i) => all + (i >= 148 && i < 156 ? 32 : byte), 0);
  header.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
  return header;
}

describe('an archive', () => {
  const damaged = { code: 'layers/damaged', kind: 'malformed' };

  test('may name a layer by a link to another member', async () => {
    const layer = await tarOf([file('a')]);
    const archive = await savedImage([layer, layer], {
      members: (names) => [symlink(names[1] ?? '', '../layer-0/layer.tar')],
    });
    expect(shown(await readSaved(archive), ['a'])).toEqual({ a: 'a' });
  });

  test('with another layer than its configuration says is refused', async () => {
    const layers = [await tarOf([file('a')])];
    await expect(readSaved(await savedImage(layers, { diffIds: [`sha256:${'0'.repeat(64)}`] }))).rejects.toMatchObject(
      damaged,
    );
  });

  test('with fewer layers than its configuration says is refused', async () => {
    const layers = [await tarOf([file('a')])];
    const id = `sha256:${sha256(layers[0] ?? '')}`;
    await expect(readSaved(await savedImage(layers, { diffIds: [id, id] }))).rejects.toMatchObject(damaged);
  });

  test.each([
    ['without a manifest', () => tarOf([file('config.json', '{}')])],
    ['whose manifest is no JSON', () => tarOf([file('manifest.json', '{')])],
    ['of two images', () => tarOf([file('manifest.json', '[{},{}]')])],
    ['with a member twice', () => tarOf([file('manifest.json', '[]'), file('manifest.json', '[]')])],
    ['with a device', () => tarOf([{ name: 'x', type: 'character-device' }])],
    [
      'that names a layer it does not have',
      async () => {
        const layer = await tarOf([file('a')]);
        return savedImage([layer], { members: (names) => [symlink(names[0] ?? '', 'nowhere')] });
      },
    ],
    [
      'of links in a circle',
      async () => {
        const layer = await tarOf([file('a')]);
        return savedImage([layer], { members: (names) => [symlink(names[0] ?? '', 'layer.tar')] });
      },
    ],
    [
      'compressed by zstd',
      async () => {
        const layer = await tarOf([file('a')]);
        return savedImage([layer], { stored: () => Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0) });
      },
    ],
    [
      'with a gzipped layer that is broken',
      async () => {
        const layer = await tarOf([file('a')]);
        return savedImage([layer], { stored: () => gzipSync(layer).subarray(0, 30) });
      },
    ],
    ['that is no archive at all', async () => new Uint8Array(2048).fill(7)],
    ['that is empty', async () => new Uint8Array()],
  ] as const)('%s is refused', async (_what, make) => {
    await expect(readSaved(await make())).rejects.toMatchObject(damaged);
  });

  test('that breaks off anywhere is refused', async () => {
    const whole = await savedImage([await tarOf([folder('a'), file('a/x', 'x'.repeat(3000))])]);
    for (let end = 1; end < whole.length - 1024; end += 997) {
      await expect(readSaved(whole.subarray(0, end)), `at ${end}`).rejects.toMatchObject(damaged);
    }
  });
});
