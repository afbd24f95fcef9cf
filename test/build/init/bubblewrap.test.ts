/** The image's bubblewrap on the image's kernel, as the gate uses it: by an unprivileged user, with all namespaces at once. */
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootParts } from '../../../build/boot.ts';
import { neededLibraries } from '../../../build/elf.ts';
import { encodeCpio } from '../../../build/image/cpio.ts';
import { BUBBLEWRAP, BUBBLEWRAP_OBJECTS, SHARED_OBJECTS, baseTar } from '../../../build/inputs/base.ts';
import { COMMAND_LINE } from '../../../build/kernel/command-line.ts';
import { CACHE, compileProgram, keptMachine } from './kept.ts';
import { boot } from './machine.ts';

const kept = await keptMachine();
if (typeof kept === 'string') console.log(`skipped, bubblewrap under QEMU: ${kept}`);

type Entry = Parameters<typeof encodeCpio>[0][number];

const NOBODY = '65534';
const NO_CAPABILITIES = '0000000000000000';

describe.skipIf(typeof kept === 'string')('bubblewrap', { timeout: 180_000 }, () => {
  let work: string;
  let base: readonly Entry[];
  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), 'accord-bubblewrap-'));
    base = await entriesOf((await baseTar({ cacheDir: CACHE })).path);
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it('loads what the image has for it, and nothing there is for it in vain', () => {
    const needed = new Set<string>();
    const visit = (path: string): void => {
      const entry = base.find((one) => one.path === path && one.kind === 'file');
      if (entry?.kind !== 'file' || !(entry.content instanceof Uint8Array)) throw new Error(`no ${path}`);
      const file = join(work, basename(path));
      writeFileSync(file, entry.content);
      for (const name of neededLibraries(file)) {
        if (needed.has(name)) continue;
        needed.add(name);
        visit(fileOf(base, `rootfs/usr/lib/x86_64-linux-gnu/${name}`));
      }
    };
    visit(`rootfs/${BUBBLEWRAP}`);
    expect([...needed].filter((name) => !SHARED_OBJECTS.some((one) => one === name))).toEqual([]);
    expect(BUBBLEWRAP_OBJECTS.filter((name) => !needed.has(name))).toEqual([]);
  });

  it('gives a user without rights namespaces of its own, in which it has none either and sees its own files alone', async () => {
    if (typeof kept === 'string') return;
    const program = readFileSync(await compileProgram(work, [join(import.meta.dirname, 'jail.c')]));
    const { init } = await bootParts({ cacheDir: CACHE });
    const rootfs = encodeCpio([
      { kind: 'directory', path: 'rootfs', mode: 0o755 },
      ...base,
      { kind: 'file', path: 'rootfs/program', mode: 0o755, content: program },
    ]);
    const image = { kernel: kept.kernel.bzImage, commandLine: COMMAND_LINE, init, rootfs, command: ['/program'] };
    const { lines, console } = await boot(kept.qemu, image);
    expect(lines.at(-1), console).toBe('{"accord":"exited","code":7}');
    const outside = told(lines, 'outside');
    const inside = told(lines, 'inside');
    for (const name of ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup']) {
      expect(inside[name], name).toMatch(new RegExp(`^${name}:\\[\\d+\\]$`));
      expect(inside[name], name).not.toBe(outside[name]);
    }
    expect(outside).toMatchObject({ Uid: '0', NoNewPrivs: '0' });
    expect(inside).toMatchObject({
      Uid: NOBODY,
      Gid: NOBODY,
      Groups: '',
      CapPrm: NO_CAPABILITIES,
      CapEff: NO_CAPABILITIES,
      CapBnd: NO_CAPABILITIES,
      CapAmb: NO_CAPABILITIES,
      NoNewPrivs: '1',
      processes: '1 ',
      write: 'Read-only file system',
      'write program': 'Permission denied',
      'become root': 'Invalid argument',
      signal: 'No such process',
      device: 'lo',
    });
    expect(String(inside['root']).trim().split(' ').sort()).toEqual(['proc', 'program']);
  });
});

/** Below rootfs, as they stand in the archive. */
async function entriesOf(tar: string): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of createReadStream(tar).pipe(extract())) {
    const { name, type, mode = 0o644, linkname } = entry.header;
    const path = `rootfs/${name.replace(/\/$/, '')}`;
    const content = new Uint8Array(await buffer(entry));
    if (type === 'directory') entries.push({ kind: 'directory', path, mode });
    else if (type === 'symlink') entries.push({ kind: 'symlink', path, target: linkname ?? '' });
    else entries.push({ kind: 'file', path, mode, content });
  }
  return entries;
}

/** Where a link to a neighbour leads. */
function fileOf(entries: readonly Entry[], path: string): string {
  const entry = entries.find((one) => one.path === path);
  return entry?.kind === 'symlink' ? path.replace(/[^/]+$/, entry.target) : path;
}

function told(lines: readonly string[], where: string): Readonly<Record<string, unknown>> {
  const found = lines
    .filter((line) => line.startsWith(`{"accord":"${where}"`))
    .map((line): { readonly name?: unknown; readonly value?: unknown } => JSON.parse(line));
  return Object.fromEntries(found.map(({ name, value }) => [String(name), value]));
}
