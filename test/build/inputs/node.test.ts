/** The Node program through npm, from a registry on loopback. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fetchNode } from '../../../build/inputs/node.ts';
import type { LockedNode } from '../../../build/inputs/lock.ts';
import { openMirror, tarOf } from './made-up.ts';
import type { Mirror } from './made-up.ts';

const NAME = 'node-made-up';
const PROGRAM = 'a program '.repeat(100);
const digest = (kind: string, bytes: string | Uint8Array, form: 'hex' | 'base64'): string =>
  createHash(kind).update(bytes).digest(form);

let folder: string;
let registry: Mirror;
let tarball: Buffer;
let node: LockedNode;
const environment = new Map<string, string | undefined>();

/** What npm is configured with comes to it by its environment. */
function setEnvironment(name: string, value: string | undefined): void {
  if (!environment.has(name)) environment.set(name, process.env[name]);
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'accord-node-'));
  tarball = gzipSync(
    await tarOf([
      { name: 'package/package.json', body: JSON.stringify({ name: NAME, version: '20.1.2' }) },
      { name: 'package/bin/node', body: PROGRAM, mode: 0o644 },
      { name: 'package/README.md', body: 'words' },
    ]),
  );
  node = {
    package: NAME,
    version: '20.1.2',
    integrity: `sha512-${digest('sha512', tarball, 'base64')}`,
    program: { bytes: PROGRAM.length, sha256: digest('sha256', PROGRAM, 'hex') },
  };
  registry = await openMirror((request, response) => {
    if (request.url === `/${NAME}`) {
      // npm itself checks what the registry says of the tarball, so that must fit.
      const dist = {
        integrity: `sha512-${digest('sha512', tarball, 'base64')}`,
        tarball: `${registry.url}/${NAME}/-/${NAME}-20.1.2.tgz`,
      };
      const versions = { '20.1.2': { name: NAME, version: '20.1.2', dist } };
      response.end(JSON.stringify({ name: NAME, 'dist-tags': { latest: '20.1.2' }, versions }));
    } else if (request.url?.endsWith('.tgz') === true) response.end(tarball);
    else response.writeHead(404).end('{}');
  });
  setEnvironment('npm_config_registry', registry.url);
  setEnvironment('npm_config_cache', join(folder, 'npm'));
  setEnvironment('npm_config_fetch_retries', '0');
});
afterEach(async () => {
  for (const [name, value] of environment) setEnvironment(name, value);
  environment.clear();
  await registry.close();
  rmSync(folder, { recursive: true });
});

const kept = (): readonly string[] => readdirSync(join(folder, 'inputs'));

test('the program alone, executable, and from the cache the second time', async () => {
  const path = await fetchNode({ cacheDir: folder, node });
  expect(path).toBe(join(folder, 'inputs', `${node.program.sha256}-node`));
  expect(readFileSync(path, 'utf8')).toBe(PROGRAM);
  expect(statSync(path).mode & 0o777).toBe(0o755);
  expect(kept()).toEqual([`${node.program.sha256}-node`]);
  const asked = registry.asked.length;
  expect(await fetchNode({ cacheDir: folder, node })).toBe(path);
  expect(registry.asked).toHaveLength(asked);
  writeFileSync(path, 'damaged');
  expect(readFileSync(await fetchNode({ cacheDir: folder, node }), 'utf8')).toBe(PROGRAM);
});

test.each<readonly [string, (given: LockedNode) => LockedNode, RegExp]>([
  ['another tarball', (given) => ({ ...given, integrity: `sha512-${'A'.repeat(86)}==` }), /its integrity is sha512-/],
  [
    'another program',
    (given) => ({ ...given, program: { ...given.program, sha256: '0'.repeat(64) } }),
    /its program is another one/,
  ],
])('%s than the one locked is refused, and nothing of it kept', async (_, change, said) => {
  await expect(fetchNode({ cacheDir: folder, node: change(node) })).rejects.toMatchObject({
    kind: 'environment',
    code: 'inputs/wrong-bytes',
    message: expect.stringMatching(said),
    hint: expect.stringContaining('npm config get registry'),
  });
  expect(kept()).toEqual([]);
});

test('a version or a package that the registry lacks is told', async () => {
  for (const change of [{ version: '20.1.3' }, { package: 'node-absent' }]) {
    await expect(fetchNode({ cacheDir: folder, node: { ...node, ...change } })).rejects.toMatchObject({
      kind: 'environment',
      code: 'inputs/gone',
    });
  }
  expect(kept()).toEqual([]);
});

test('a registry that nobody reaches is told in the words of npm', async () => {
  setEnvironment('npm_config_registry', 'http://127.0.0.1:9');
  await expect(fetchNode({ cacheDir: folder, node })).rejects.toMatchObject({
    kind: 'environment',
    code: 'inputs/unreachable',
    message: expect.stringContaining('ECONNREFUSED'),
    hint: expect.stringContaining('network'),
  });
});

test('without npm it says what is missing', async () => {
  setEnvironment('PATH', folder);
  await expect(fetchNode({ cacheDir: folder, node })).rejects.toMatchObject({
    code: 'inputs/tool-missing',
    where: 'npm',
  });
});

test('a signal ends it, and leaves nothing', async () => {
  const signal = AbortSignal.timeout(100);
  await expect(fetchNode({ cacheDir: folder, node, signal })).rejects.toThrow('timeout');
  expect(kept()).toEqual([]);
});
