/** A small toolchain of this machine's own programs: how it is kept, and what a command in it has around it. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runInside } from '../../../build/inputs/sandbox.ts';
import type { RunOptions } from '../../../build/inputs/sandbox.ts';
import { openToolchain } from '../../../build/inputs/toolchain.ts';
import type { Toolchain } from '../../../build/inputs/toolchain.ts';
import type { LockedPackage } from '../../../build/inputs/lock.ts';
import { bundled } from '../../orchestrator/bundled.ts';
import { debOf, lockedAs, openMirror, serving } from './made-up.ts';
import type { Member, Mirror } from './made-up.ts';

const PROGRAMS = ['cat', 'env', 'sh', 'sleep', 'touch'];

/** This machine's programs and what they load, as a package would have them. */
function programs(): Promise<Buffer> {
  const paths = PROGRAMS.map((name) => `/bin/${name}`).filter((path) => existsSync(path));
  const loaded = spawnSync('ldd', paths).stdout.toString();
  const members: Member[] = [...paths, ...new Set(loaded.match(/\/lib\S*(?= \()/g))].map((path) => ({
    name: path === '/bin/sh' ? './usr/bin/dash' : `.${path}`,
    body: readFileSync(path),
    mode: 0o755,
  }));
  members.push({ name: './usr/share/doc/made-up/copyright', body: 'ours' });
  members.push({ name: './usr/share/doc/made-up/changelog', body: 'left out' });
  members.push({ name: './usr/share/man/man1/cat.1', body: 'left out' });
  return debOf(members);
}

let folder: string;
let cacheDir: string;
let mirror: Mirror;
let packages: readonly LockedPackage[];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'accord-toolchain-'));
  cacheDir = join(folder, 'cache');
  const deb = await programs();
  packages = [lockedAs(deb)];
  mirror = await openMirror(serving(new Map(packages.map(({ path }) => [path, deb]))));
});
afterAll(async () => {
  await mirror.close();
  rmSync(folder, { recursive: true });
});

const open = (into = cacheDir): Promise<Toolchain> =>
  openToolchain({ cacheDir: into, packages, mirrors: [mirror.url] });

describe('kept', () => {
  test('two at once in one process make it once; the links that scripts would make are there', async () => {
    const into = join(folder, 'twice');
    const before = mirror.asked.length;
    const [first, second] = await Promise.all([open(into), open(into)]);
    expect(second.key).toBe(first.key);
    expect(mirror.asked).toHaveLength(before + 1);
    expect(readdirSync(join(into, 'toolchain'))).toEqual([first.key]);
    const root = join(into, 'toolchain', first.key, 'root');
    expect(readlinkSync(join(root, 'usr/bin/sh'))).toBe('dash');
    expect(readlinkSync(join(root, 'usr/bin/cc'))).toBe('gcc');
    expect(readlinkSync(join(root, 'usr/bin/awk'))).toBe('mawk');
    expect(readdirSync(join(root, 'usr/share/doc/made-up'))).toEqual(['copyright']);
    expect(existsSync(join(root, 'usr/share/man'))).toBe(false);
  });

  test('two processes at once both have it whole, and leave nothing else', async () => {
    const into = join(folder, 'processes');
    const program = await bundled('test/build/inputs/opener.ts');
    const codes = await Promise.all(
      [0, 1].map(async () => {
        const child = spawn(process.execPath, [program, into, mirror.url, JSON.stringify(packages)], {
          stdio: ['ignore', 'ignore', 'inherit'],
        });
        return Number((await once(child, 'close'))[0]);
      }),
    );
    expect(codes).toEqual([0, 0]);
    const { key } = await open(into);
    expect(readdirSync(join(into, 'toolchain'))).toEqual([key]);
    expect(existsSync(join(into, 'toolchain', key, 'root/usr/bin/dash'))).toBe(true);
  });

  test('another package, another toolchain', async () => {
    const { key } = await open();
    const deb = await debOf([{ name: './usr/bin/other', body: 'x' }]);
    const other = lockedAs(deb, 'other');
    const second = await openMirror(serving(new Map([[other.path, deb]])));
    const found = await openToolchain({ cacheDir, packages: [...packages, other], mirrors: [second.url] });
    await second.close();
    expect(found.key).not.toBe(key);
    expect(readdirSync(join(cacheDir, 'toolchain')).sort()).toEqual([key, found.key].sort());
  });

  test('a failure leaves nothing, and the next attempt succeeds', async () => {
    const into = join(folder, 'failing');
    const broken = await openMirror((_, response) => response.writeHead(404).end());
    await expect(openToolchain({ cacheDir: into, packages, mirrors: [broken.url] })).rejects.toMatchObject({
      code: 'inputs/gone',
    });
    await broken.close();
    expect(existsSync(join(into, 'toolchain'))).toBe(false);
    await open(into);
  });
});

const asUser = process.getuid?.() === 0 ? [] : ['--map-root-user'];
const allowed =
  spawnSync('unshare', [...asUser, '--mount', '--pid', '--fork', 'mount', '-t', 'tmpfs', 'x', '/tmp']).status === 0;
if (!allowed)
  process.stderr.write('skipped: this user may not make namespaces here, so no command runs in the toolchain\n');

describe.skipIf(!allowed)('a command', () => {
  let toolchain: Toolchain;
  let work: string;
  beforeEach(async () => {
    toolchain = await open();
    work = mkdtempSync(join(folder, 'work-'));
  });

  async function lines(script: string, options: Partial<RunOptions> = {}): Promise<readonly string[]> {
    const told: string[] = [];
    await toolchain.run(['sh', '-c', script], { work, env: {}, onLine: (line) => void told.push(line), ...options });
    return told;
  }

  test('has the named environment and no other', async () => {
    process.env['ACCORD_LEAK'] = 'leaked';
    try {
      const told = await lines('env', { env: { NAME: 'a "b" $c\nd', TZ: 'UTC1' } });
      const shells = /^(PWD|OLDPWD|_|SHLVL)=/;
      expect(told.filter((line) => !shells.test(line)).sort()).toEqual(
        ['HOME=/tmp', 'LC_ALL=C', 'NAME=a "b" $c', 'PATH=/usr/sbin:/usr/bin', 'TZ=UTC1', 'd'].sort(),
      );
    } finally {
      delete process.env['ACCORD_LEAK'];
    }
  });

  test('works in the folder, as root of its own, with the usual umask; nothing else can be written', async () => {
    const umask = process.umask(0o077);
    try {
      const told = await lines(
        'umask; touch here; touch /tmp/a; touch /usr/a 2>&1 || echo refused; echo x > /dev/null',
      );
      expect(told[0]).toBe('0022');
      expect(told).toContain('refused');
    } finally {
      process.umask(umask);
    }
    expect(readdirSync(work)).toEqual(['here']);
    expect(readdirSync(join(cacheDir, 'toolchain', toolchain.key, 'root/tmp'))).toEqual([]);
  });

  test('sees no network and no process of this machine', async () => {
    const told = await lines('cat /proc/net/dev; echo pid $$');
    expect(told.filter((line) => /^\s*\w+:/.test(line)).map((line) => line.trim().split(':')[0])).toEqual(['lo']);
    expect(told.at(-1)).toBe('pid 1');
  });

  test('takes its arguments as they are', async () => {
    const told: string[] = [];
    const odd = ['a b', '$HOME', '"', "'", '\\', '*', ''];
    await toolchain.run(['sh', '-c', 'for one; do echo "[$one]"; done', 'sh', ...odd], {
      work,
      env: {},
      onLine: (line) => void told.push(line),
    });
    expect(told).toEqual(odd.map((one) => `[${one}]`));
  });

  test('that fails is told with its last lines', async () => {
    await expect(lines('echo first; echo worst >&2; exit 3')).rejects.toMatchObject({
      kind: 'environment',
      code: 'inputs/command',
      message: expect.stringMatching(/exit code 3.*\n(.*\n)*worst/),
      where: work,
    });
    await expect(toolchain.run(['absent'], { work, env: {} })).rejects.toMatchObject({
      code: 'inputs/command',
      message: expect.stringContaining('absent'),
    });
  });

  test('ends with all that it started when the signal says so', async () => {
    const stop = new AbortController();
    const running = lines('echo started; (sleep 1; touch late) & sleep 30', {
      signal: stop.signal,
      onLine: () => stop.abort(new Error('enough')),
    });
    await expect(running).rejects.toThrow('enough');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(readdirSync(work)).toEqual([]);
    await expect(lines('touch never', { signal: stop.signal })).rejects.toThrow('enough');
    expect(readdirSync(work)).toEqual([]);
  });

  test('two at once do not see each other', async () => {
    const script = 'echo $NAME > /tmp/name; sleep 0.3; cat /tmp/name';
    const told = await Promise.all(['one', 'two'].map((NAME) => lines(script, { env: { NAME } })));
    expect(told).toEqual([['one'], ['two']]);
  });
});

test('where no stage can be set, it says what to allow', async () => {
  const root = join(folder, 'empty');
  mkdirSync(root, { recursive: true });
  await expect(runInside(root, ['true'], { work: folder, env: {} })).rejects.toMatchObject({
    kind: 'environment',
    code: 'inputs/sandbox',
    message: expect.stringMatching(/in a root of its own: ./),
    hint: expect.stringMatching(/privileged|namespaces/),
  });
});
