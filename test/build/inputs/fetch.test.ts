/** Downloads, from mirrors that serve well, badly, or not at all. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { debianMirrors, fetchPackage, fetchPackages } from '../../../build/inputs/fetch.ts';
import { bundled } from '../../orchestrator/bundled.ts';
import { lockedAs, openMirror, serving } from './made-up.ts';
import type { Mirror } from './made-up.ts';

const CONTENT = Buffer.from('a package of many bytes '.repeat(20_000));
const PACKAGE = lockedAs(CONTENT);
const FILES = new Map([[PACKAGE.path, CONTENT]]);

let cacheDir: string;
const open: Mirror[] = [];
beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), 'accord-fetch-'));
});
afterEach(async () => {
  for (const mirror of open.splice(0)) await mirror.close();
  rmSync(cacheDir, { recursive: true });
});

async function mirrorWith(...answer: Parameters<typeof openMirror>): Promise<Mirror> {
  const mirror = await openMirror(...answer);
  open.push(mirror);
  return mirror;
}

const kept = (): readonly string[] => readdirSync(join(cacheDir, 'inputs'));
const fetchFrom = (...mirrors: readonly Mirror[]): Promise<string> =>
  fetchPackage(PACKAGE, { cacheDir, mirrors: mirrors.map(({ url }) => url) });

test('a file is fetched once, and then from the cache', async () => {
  const mirror = await mirrorWith(serving(FILES));
  const seen: number[] = [];
  const options = { cacheDir, mirrors: [mirror.url], onProgress: (_: string, done: number) => void seen.push(done) };
  const path = await fetchPackage(PACKAGE, options);
  expect(path).toBe(join(cacheDir, 'inputs', `${PACKAGE.sha256}.deb`));
  expect(readFileSync(path).equals(CONTENT)).toBe(true);
  expect(seen.at(-1)).toBe(PACKAGE.bytes);
  expect(await fetchPackage(PACKAGE, options)).toBe(path);
  expect(mirror.asked).toEqual([`/${PACKAGE.path}`]);
  expect(kept()).toEqual([`${PACKAGE.sha256}.deb`]);
});

test('a file in the cache that was damaged is fetched again', async () => {
  const mirror = await mirrorWith(serving(FILES));
  const path = await fetchFrom(mirror);
  const damaged = Buffer.from(CONTENT);
  damaged[1000] = 0;
  writeFileSync(path, damaged);
  await fetchFrom(mirror);
  expect(readFileSync(path).equals(CONTENT)).toBe(true);
  expect(mirror.asked).toHaveLength(2);
});

test.each([
  ['other bytes of the same length', Buffer.from(CONTENT).fill(0, 500, 501), /SHA-256 is/],
  ['a longer file', Buffer.concat([CONTENT, Buffer.from('x')]), /more than 480000 bytes/],
  ['a shorter file', CONTENT.subarray(0, 1000), /has 1000 bytes/],
  ['an empty file', Buffer.alloc(0), /has 0 bytes/],
])('%s is refused, and nothing of it is kept', async (_, bytes, said) => {
  const mirror = await mirrorWith(serving(new Map([[PACKAGE.path, bytes]])));
  await expect(fetchFrom(mirror)).rejects.toMatchObject({
    kind: 'environment',
    code: 'inputs/wrong-bytes',
    message: expect.stringMatching(said),
    where: PACKAGE.path,
    hint: expect.stringContaining('ACCORD_DEBIAN_MIRROR'),
  });
  expect(kept()).toEqual([]);
});

test('what one mirror has wrong or not at all comes from the next', async () => {
  const wrong = await mirrorWith(serving(new Map([[PACKAGE.path, Buffer.alloc(CONTENT.length)]])));
  const without = await mirrorWith(serving(new Map()));
  const sound = await mirrorWith(serving(FILES));
  expect(readFileSync(await fetchFrom(wrong, without, sound)).equals(CONTENT)).toBe(true);
});

test('a package that is gone from every mirror is told, with what each answered', async () => {
  const [first, second] = [await mirrorWith(serving(new Map())), await mirrorWith(serving(new Map()))];
  await expect(fetchFrom(first, second)).rejects.toMatchObject({
    kind: 'environment',
    code: 'inputs/gone',
    message: expect.stringContaining(`${first.url}/${PACKAGE.path}: it answered HTTP 404; ${second.url}`),
    hint: expect.stringContaining('snapshot.debian.org'),
  });
});

test('a mirror that nobody reaches is told', async () => {
  const mirror = await openMirror(serving(FILES));
  await mirror.close();
  await expect(fetchFrom(mirror)).rejects.toMatchObject({
    kind: 'environment',
    code: 'inputs/unreachable',
    message: expect.stringContaining('ECONNREFUSED'),
    hint: expect.stringContaining('network'),
  });
});

test('a download that breaks is taken up where it broke', async () => {
  const half = CONTENT.length / 2;
  const whole = serving(FILES);
  const mirror = await mirrorWith((request, response, nth) => {
    if (nth > 0) return whole(request, response, nth);
    response.writeHead(200, { 'content-length': CONTENT.length });
    response.write(CONTENT.subarray(0, half), () => setTimeout(() => response.destroy(), 50));
  });
  expect(readFileSync(await fetchFrom(mirror)).equals(CONTENT)).toBe(true);
  expect(mirror.asked).toEqual([`/${PACKAGE.path}`, `/${PACKAGE.path} bytes=${half}-`]);
});

test('a download that breaks starts again where the mirror knows no ranges', async () => {
  const mirror = await mirrorWith((_, response, nth) => {
    response.writeHead(200, { 'content-length': CONTENT.length });
    if (nth > 0) response.end(CONTENT);
    else response.write(CONTENT.subarray(0, 9000), () => setTimeout(() => response.destroy(), 50));
  });
  expect(readFileSync(await fetchFrom(mirror)).equals(CONTENT)).toBe(true);
});

test('a download that always breaks ends, and leaves nothing', async () => {
  const mirror = await mirrorWith((_, response) => {
    response.writeHead(200, { 'content-length': CONTENT.length });
    response.write(CONTENT.subarray(0, 10), () => setTimeout(() => response.destroy(), 20));
  });
  await expect(fetchFrom(mirror)).rejects.toMatchObject({ code: 'inputs/unreachable' });
  expect(mirror.asked).toHaveLength(4);
  expect(kept()).toEqual([]);
});

test('a signal ends it, and leaves nothing', async () => {
  const mirror = await mirrorWith((_, response) => void response.writeHead(200).write('a'));
  const stop = new AbortController();
  const fetching = fetchPackage(PACKAGE, {
    cacheDir,
    mirrors: [mirror.url],
    signal: stop.signal,
    onProgress: () => stop.abort(new Error('enough')),
  });
  await expect(fetching).rejects.toThrow('enough');
  expect(kept()).toEqual([]);
});

test('a folder that cannot be written is told by its path', async () => {
  const mirror = await mirrorWith(serving(FILES));
  const file = join(cacheDir, 'file');
  writeFileSync(file, '');
  await expect(fetchPackage(PACKAGE, { cacheDir: file, mirrors: [mirror.url] })).rejects.toMatchObject({
    kind: 'environment',
    code: 'disk/failed',
    where: expect.stringContaining(file),
  });
});

test('many come side by side, in order; the first that fails ends the others', async () => {
  const files = Array.from({ length: 9 }, (_, i) => Buffer.from(`content ${i} `.repeat(50 * i + 1)));
  const packages = files.map((bytes, i) => lockedAs(bytes, `made-up-${i}`));
  const served = new Map(packages.map(({ path }, i) => [path, files[i] ?? Buffer.alloc(0)]));
  const mirror = await mirrorWith(serving(served));
  const seen: (readonly [number, number])[] = [];
  const onProgress = (_: string, done: number, total: number): void => void seen.push([done, total]);
  const paths = await fetchPackages(packages, { cacheDir, mirrors: [mirror.url], onProgress });
  expect(paths.map((path) => readFileSync(path).toString())).toEqual(files.map(String));
  const total = files.reduce((sum, { length }) => sum + length, 0);
  expect(seen.at(-1)).toEqual([total, total]);

  rmSync(join(cacheDir, 'inputs'), { recursive: true });
  served.delete(packages[3]?.path ?? '');
  await expect(fetchPackages(packages, { cacheDir, mirrors: [mirror.url] })).rejects.toMatchObject({
    code: 'inputs/gone',
    where: packages[3]?.path,
  });
  expect(kept().filter((name) => name.startsWith('.'))).toEqual([]);
});

test('two processes at once both get the file', async () => {
  const mirror = await mirrorWith((_, response) => {
    response.writeHead(200, { 'content-length': CONTENT.length });
    response.write(CONTENT.subarray(0, 1000));
    setTimeout(() => response.end(CONTENT.subarray(1000)), 300);
  });
  const program = await bundled('test/build/inputs/fetcher.ts');
  const results = await Promise.all(
    [0, 1].map(async () => {
      const child = spawn(process.execPath, [program, cacheDir, mirror.url, JSON.stringify(PACKAGE)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
      return { said, code: Number(code) };
    }),
  );
  const path = join(cacheDir, 'inputs', `${PACKAGE.sha256}.deb`);
  expect(results).toEqual([0, 1].map(() => ({ said: path, code: 0 })));
  expect(mirror.asked).toHaveLength(2);
  expect(readFileSync(path).equals(CONTENT)).toBe(true);
  expect(kept()).toEqual([`${PACKAGE.sha256}.deb`]);
});

test('what a killed process left is removed after a day, not before', async () => {
  const mirror = await mirrorWith(serving(FILES));
  await fetchFrom(mirror);
  for (const name of ['.1-old', '.2-new']) writeFileSync(join(cacheDir, 'inputs', name), '');
  utimesSync(join(cacheDir, 'inputs', '.1-old'), new Date(0), new Date(0));
  rmSync(join(cacheDir, 'inputs', `${PACKAGE.sha256}.deb`));
  await fetchFrom(mirror);
  expect(kept()).toEqual(['.2-new', `${PACKAGE.sha256}.deb`]);
});

test('mirrors: the named one, else Debian, then the snapshot of the lock', () => {
  const snapshot = 'https://snapshot.debian.org/archive/debian/20260102T030405Z';
  expect(debianMirrors({}, '20260102T030405Z')).toEqual(['http://deb.debian.org/debian', snapshot]);
  const env = { ACCORD_DEBIAN_MIRROR: 'https://mirror.example/debian//' };
  expect(debianMirrors(env, '20260102T030405Z')).toEqual(['https://mirror.example/debian', snapshot]);
});
