import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDataFolder } from '../../../orchestrator/store/lock.ts';
import { bundled } from '../bundled.ts';

let folder: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-lock-')));
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** Another process that takes the lock and holds it until it is killed. */
async function holder(on: string): Promise<ChildProcess> {
  const program = await bundled('test/orchestrator/store/lock-holder.ts');
  const child = spawn(process.execPath, [program, on], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

describe('the lock on a data folder', () => {
  it('turns a second taker away with pid and path', async () => {
    const lock = await lockDataFolder(folder);
    await expect(lockDataFolder(folder)).rejects.toMatchObject({
      kind: 'environment',
      code: 'store/locked',
      where: folder,
      message: expect.stringContaining(`pid ${process.pid}`),
    });
    await lock.release();
  });

  it('is free again after release, any number of times', async () => {
    for (let round = 0; round < 3; round++) await (await lockDataFolder(folder)).release();
    expect((await readdir(folder)).filter((name) => name.startsWith('lock.'))).toHaveLength(1);
  });

  it('holds against another process, and is taken over when that process is killed', async () => {
    const child = await holder(folder);
    await expect(lockDataFolder(folder)).rejects.toMatchObject({
      code: 'store/locked',
      message: expect.stringContaining(`pid ${child.pid}`),
    });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await (await lockDataFolder(folder)).release();
  });

  it('lets exactly one of many takers have the folder of a dead owner', async () => {
    const child = await holder(folder);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const outcomes = await Promise.allSettled(Array.from({ length: 12 }, () => lockDataFolder(folder)));
    const held = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    expect(held).toHaveLength(1);
    await held[0]?.value.release();
  });

  it('is discarded with the folders that it made, and with no other', async () => {
    const made = join(folder, 'above', 'data');
    const lock = await lockDataFolder(made);
    await writeFile(join(made, 'file'), '');
    await lock.discard();
    expect(await readdir(folder)).toEqual([]);

    await (await lockDataFolder(made)).release();
    await writeFile(join(made, 'file'), '');
    const again = await lockDataFolder(made);
    await again.discard();
    expect(await readdir(made)).toContain('file');
    await (await lockDataFolder(made)).release();
  });

  it('is discarded without what another process put beside the folder', async () => {
    const lock = await lockDataFolder(join(folder, 'above', 'data'));
    await writeFile(join(folder, 'above', 'file'), '');
    await lock.discard();
    expect(await readdir(join(folder, 'above'))).toEqual(['file']);
  });

  it('works in a folder whose path no socket address can hold', async () => {
    const deep = join(folder, 'd'.repeat(100), 'e'.repeat(100));
    const lock = await lockDataFolder(deep);
    await expect(lockDataFolder(deep)).rejects.toMatchObject({ code: 'store/locked' });
    await lock.release();
  });

  it('says what is wrong where the folder cannot be made', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    await expect(lockDataFolder(join(file, 'below'))).rejects.toMatchObject({
      kind: 'environment',
      code: 'store/folder-unusable',
      where: join(file, 'below'),
    });
  });
});
