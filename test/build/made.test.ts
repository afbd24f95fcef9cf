import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepMade } from '../../build/made.ts';
import type { Recipe } from '../../build/made.ts';

let cache: string;
beforeEach(async () => (cache = await mkdtemp(join(tmpdir(), 'accord-made-'))));
afterEach(() => rm(cache, { recursive: true, force: true }));

function recipe(content = 'made', inputs: readonly unknown[] = ['a']): Recipe & { count: () => number } {
  let count = 0;
  const make = async (work: string): Promise<void> => {
    count++;
    expect(await readdir(work)).toEqual([]);
    await writeFile(join(work, 'init'), content);
  };
  return { kind: 'init', inputs, file: 'init', make, count: () => count };
}

describe('a thing that depends on its inputs alone', () => {
  it('is made once', async () => {
    const one = recipe();
    const made = await keepMade(one, cache);
    expect(await keepMade(one, cache)).toEqual(made);
    expect(one.count()).toBe(1);
    expect(await readFile(made.path, 'utf8')).toBe('made');
  });

  it('is another for other inputs', async () => {
    const first = await keepMade(recipe('one', ['a', 1]), cache);
    const second = await keepMade(recipe('two', ['a', 2]), cache);
    expect(first.path).not.toBe(second.path);
    expect(await readFile(first.path, 'utf8')).toBe('one');
  });

  it('is made again when its bytes are no longer those that were made', async () => {
    const one = recipe();
    const { path } = await keepMade(one, cache);
    await writeFile(path, 'evil');
    const again = await keepMade(one, cache);
    expect(one.count()).toBe(2);
    expect(Buffer.from(again.bytes).toString()).toBe('made');
    expect(await readFile(path, 'utf8')).toBe('made');
  });

  it('is made again when asked, and the cache takes the new one', async () => {
    await keepMade(recipe('old'), cache);
    const anew = recipe('new');
    await keepMade(anew, cache, true);
    expect(anew.count()).toBe(1);
    expect(Buffer.from((await keepMade(recipe('never'), cache)).bytes).toString()).toBe('new');
  });

  it('may be made by two at once', async () => {
    const all = await Promise.all([1, 2, 3].map(() => keepMade(recipe(), cache)));
    expect(new Set(all.map(({ path }) => path)).size).toBe(1);
    expect((await readdir(join(cache, 'init'))).length).toBe(1);
  });

  it('leaves nothing behind when it cannot be made', async () => {
    const broken: Recipe = { ...recipe(), make: () => Promise.reject(new Error('no compiler')) };
    await expect(keepMade(broken, cache)).rejects.toThrow('no compiler');
    expect(await readdir(join(cache, 'init'))).toEqual([]);
  });

  it('says which folder may not be written to', async () => {
    await writeFile(join(cache, 'init'), 'a file');
    await expect(keepMade(recipe(), cache)).rejects.toMatchObject({ code: 'disk/failed' });
  });
});
