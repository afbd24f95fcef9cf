import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { awsRoot, localRoot } from '../../../parties/attestation/verify.ts';
import { homePath, openChosenHome, openHome, writeHome } from '../../../parties/home.ts';
import type { NewHome } from '../../../parties/home.ts';
import { makePrivateFolder, readPrivateFile, writePrivateFile } from '../../../parties/private-files.ts';
import { newHome } from './new-home.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-home-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

describe('a home', () => {
  test('is read back as it was written, and is its owner’s alone', async () => {
    const path = join(folder, '.accord', 'alice');
    const home = await newHome();
    expect(await writeHome(path, home, false)).toBe('made');
    const opened = await openHome(path);
    expect(opened.config).toEqual(home.config);
    expect(opened.pins).toEqual(home.pins);
    expect(opened.policy.collaboration).toBe('home-test');
    expect(await modeOf(path)).toBe(0o700);
    for (const name of await readdir(path)) expect(await modeOf(join(path, name)), name).toBe(0o600);
  });

  test('the same again changes nothing; another setting under the same pins is refused, unless its owner says so', async () => {
    const home = await newHome();
    await writeHome(folder, home, false);
    expect(await writeHome(folder, home, false)).toBe('unchanged');
    const moved: NewHome = { ...home, config: { ...home.config, orchestrator: 'http://elsewhere/' } };
    await expect(writeHome(folder, moved, false)).rejects.toMatchObject({
      code: 'home/set-up-otherwise',
      kind: 'refused',
      message: expect.stringContaining('not http://elsewhere/'),
    });
    expect((await openHome(folder)).config).toEqual(home.config);
    expect(await writeHome(folder, moved, true)).toBe('changed');
    expect((await openHome(folder)).config.orchestrator).toBe('http://elsewhere/');
  });

  test('other pins are refused, unless its owner says so', async () => {
    const home = await newHome();
    await writeHome(folder, home, false);
    const pcrs = { ...home.pins.pcrs, PCR0: '99'.repeat(48) };
    const others: readonly NewHome[] = [
      { ...home, pins: { ...home.pins, pcrs } },
      { ...home, pins: { ...home.pins, root: awsRoot } },
      { ...home, config: { ...home.config, collaboration: 'other-000000000000' } },
    ];
    for (const other of others) {
      await expect(writeHome(folder, other, false)).rejects.toMatchObject({
        code: 'home/already-pinned',
        kind: 'refused',
      });
    }
    const bobs = { ...home, config: { ...home.config, party: 'bob' } };
    for (const repin of [false, true]) {
      await expect(writeHome(folder, bobs, repin)).rejects.toMatchObject({ code: 'home/other-party', kind: 'usage' });
    }
    expect((await openHome(folder)).pins).toEqual(home.pins);
    expect(await writeHome(folder, { ...home, pins: { ...home.pins, pcrs } }, true)).toBe('changed');
    expect((await openHome(folder)).pins.pcrs.PCR0).toBe('99'.repeat(48));
  });

  test.each([0o750, 0o705, 0o770, 0o777])('that others may look into (%o) is refused', async (mode) => {
    await writeHome(folder, await newHome(), false);
    await chmod(folder, mode);
    await expect(openHome(folder)).rejects.toMatchObject({ code: 'home/too-open', kind: 'refused' });
    await expect(writeHome(folder, await newHome(), false)).rejects.toMatchObject({ code: 'home/too-open' });
  });

  test.each(['config.json', 'pins.json', 'policy.json'])('with a %s that others may read is refused', async (name) => {
    await writeHome(folder, await newHome(), false);
    await chmod(join(folder, name), 0o644);
    await expect(openHome(folder)).rejects.toMatchObject({ code: 'home/too-open' });
  });

  test('whose policy was changed is refused', async () => {
    await writeHome(folder, await newHome(), false);
    const path = join(folder, 'policy.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('"alice":3', '"alice":4'));
    await expect(openHome(folder)).rejects.toMatchObject({ code: 'home/policy-mismatch', kind: 'refused' });
  });

  test.each([
    ['config.json', 'no JSON', 'who you are'],
    ['config.json', '[]', 'who you are'],
    ['config.json', '{"party":"../../etc"}', 'who you are'],
    ['pins.json', 'no JSON', 'what an enclave must prove'],
    ['pins.json', '{"policyDigest":"00"}', 'what an enclave must prove'],
    ['pins.json', '{}', 'what an enclave must prove'],
  ])('with %s = %s is malformed, and it says what the file is for and what to do', async (name, content, purpose) => {
    await writeHome(folder, await newHome(), false);
    await writeFile(join(folder, name), content);
    await expect(openHome(folder)).rejects.toMatchObject({
      code: 'home/malformed',
      kind: 'malformed',
      hint: expect.stringMatching(`${purpose}.*accord init … --repin`),
    });
    // The hint is true.
    expect(await writeHome(folder, await newHome(), true)).toBe('changed');
    expect((await openHome(folder)).config.party).toBe('alice');
  });

  test.each(['config.json', 'pins.json', 'policy.json'])('with a pipe for a %s is refused at once', async (name) => {
    await writeHome(folder, await newHome(), false);
    await rm(join(folder, name));
    execFileSync('mkfifo', ['-m', '600', join(folder, name)]);
    await expect(openHome(folder)).rejects.toMatchObject({ code: 'home/unreadable', where: join(folder, name) });
  });

  test.each(['config.json', 'pins.json', 'policy.json'])('with a folder for a %s says so', async (name) => {
    await writeHome(folder, await newHome(), false);
    await rm(join(folder, name));
    await mkdir(join(folder, name), { mode: 0o755 });
    await expect(openHome(folder)).rejects.toMatchObject({
      code: 'home/unreadable',
      message: expect.stringMatching(/is no file$/),
    });
  });

  test('without pins is malformed, without a configuration none', async () => {
    await writeHome(folder, await newHome(), false);
    await rm(join(folder, 'pins.json'));
    await expect(openHome(folder)).rejects.toMatchObject({ code: 'home/malformed' });
    await rm(join(folder, 'config.json'));
    await expect(openHome(folder)).rejects.toMatchObject({ code: 'home/absent', kind: 'usage' });
  });

  test('pins of a local root stay local, those of AWS are AWS’s', async () => {
    const home = await newHome();
    await writeHome(folder, { ...home, pins: { ...home.pins, root: localRoot('ab'.repeat(32)) } }, false);
    expect((await openHome(folder)).pins.root).toEqual({ kind: 'local', sha256: 'ab'.repeat(32) });
  });
});

describe('which home', () => {
  test('--home, else ACCORD_HOME, else ./.accord/<party>', async () => {
    expect(await homePath({ home: 'a/b', party: 'alice' }, { ACCORD_HOME: '/x' }, folder)).toBe(join(folder, 'a/b'));
    expect(await homePath({ party: 'alice' }, { ACCORD_HOME: '/x' }, folder)).toBe('/x');
    expect(await homePath({ party: 'alice' }, {}, folder)).toBe(join(folder, '.accord', 'alice'));
    expect(await homePath({ party: 'alice' }, { ACCORD_HOME: '' }, folder)).toBe(join(folder, '.accord', 'alice'));
  });

  test('without a name, the only one there is', async () => {
    await expect(homePath({}, {}, folder)).rejects.toMatchObject({ code: 'home/absent', kind: 'usage' });
    await mkdir(join(folder, '.accord', 'orchestrator'), { recursive: true });
    await expect(homePath({}, {}, folder)).rejects.toMatchObject({ code: 'home/absent' });
    await writeHome(join(folder, '.accord', 'alice'), await newHome(), false);
    expect(await homePath({}, {}, folder)).toBe(join(folder, '.accord', 'alice'));
    await writeHome(join(folder, '.accord', 'bob'), await newHome(), false);
    await expect(homePath({}, {}, folder)).rejects.toMatchObject({ code: 'home/ambiguous', message: expect.stringContaining('alice, bob') }); // prettier-ignore
  });
});

test('a home that is named must be that of the party that is named', async () => {
  await writeHome(join(folder, 'bob'), await newHome('bob'), false);
  const open = (choice: Parameters<typeof openChosenHome>[0], env = {}) => openChosenHome(choice, env, folder);
  for (const choice of [{ home: 'bob' }, { home: 'bob', party: 'bob' }]) {
    expect((await open(choice)).config.party).toBe('bob');
  }
  const refused = { code: 'home/other-party', kind: 'usage', message: expect.stringContaining('the home of bob, not of alice') }; // prettier-ignore
  await expect(open({ home: 'bob', party: 'alice' })).rejects.toMatchObject(refused);
  await expect(open({ party: 'alice' }, { ACCORD_HOME: join(folder, 'bob') })).rejects.toMatchObject(refused);
});

describe('private files', () => {
  test('are replaced whole: a failed write leaves the old one and nothing else', async () => {
    const path = join(folder, 'x.json');
    await writePrivateFile(path, 'old');
    await rm(path);
    await mkdir(path); // a folder stands where the file should be: renaming onto it fails
    await expect(writePrivateFile(path, 'new')).rejects.toMatchObject({ code: 'home/unwritable', kind: 'environment' });
    expect(await readdir(folder)).toEqual(['x.json']);
  });

  test('a file that is not there is not a fault; one in the way of a folder is', async () => {
    expect(await readPrivateFile(join(folder, 'absent'))).toBeUndefined();
    await writePrivateFile(join(folder, 'file'), '');
    await expect(makePrivateFolder(join(folder, 'file', 'below'))).rejects.toMatchObject({ code: 'home/unwritable' });
    // Where Node's own way of making folders never ends.
    await expect(makePrivateFolder('/proc/absent/below')).rejects.toMatchObject({ code: 'home/unwritable' });
  });
});
