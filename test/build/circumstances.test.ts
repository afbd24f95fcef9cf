/**
 * Two builds of one policy that have nothing in common but the sources: folder, user, umask, time zone, language, clock,
 * age of the files, cache. Their images and measurements are the same bytes; as real programs, in processes of their own.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { noOtherUser } from '../other-users.ts';
import { policyTextWith } from './fixture.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BIN = join('dist', 'orchestrator', 'cli', 'bin.js');
const NOBODY = 65_534;
const DAY_MS = 86_400_000;
/** A clock that is 400 days ahead, for everything that asks JavaScript. */
const AHEAD = `
const Real = Date;
const ahead = ${400 * DAY_MS};
globalThis.Date = class extends Real {
  constructor(...given) {
    if (given.length === 0) super(Real.now() + ahead);
    else super(...given);
  }
  static now() {
    return Real.now() + ahead;
  }
};
`;

let folder: string;
beforeAll(async () => {
  // What is compiled must be what is written; `npm test` has seen to that already.
  const ready = spawn(process.execPath, ['-e', "import('./build/ready.mjs').then(({ ready }) => ready())"], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  expect(await once(ready, 'close')).toEqual([0, null]);
  folder = await mkdtemp(join(tmpdir(), 'accord-circumstances-'));
  await chmod(folder, 0o755);
  await writeFile(join(folder, 'policy.yaml'), policyTextWith(3));
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Circumstances {
  readonly name: string;
  /** Where the sources stand. */
  readonly installation: string;
  readonly umask: string;
  readonly uid: number | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly clock?: string;
}

interface Image {
  readonly eif: string;
  readonly measurements: string;
}

async function build({ name, installation, umask, uid, env, clock }: Circumstances): Promise<Image> {
  const home = join(folder, name);
  await mkdir(home);
  await chmod(home, 0o777);
  const program = [process.execPath, ...(clock === undefined ? [] : ['--import', clock]), join(installation, BIN)];
  const verb = ['build', join(folder, 'policy.yaml'), '--target', 'local', '-o', join(home, 'out')];
  const child = spawn('/bin/sh', ['-c', `umask ${umask} && exec "$@"`, 'sh', ...program, ...verb], {
    cwd: home,
    env: { PATH: process.env['PATH'], HOME: home, XDG_CACHE_HOME: join(home, 'cache'), ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  const said = text(child.stderr);
  expect([await once(child, 'close'), name, await said]).toEqual([[0, null], name, expect.any(String)]);
  const image = await readFile(join(home, 'out', 'image.eif'));
  return {
    eif: createHash('sha256').update(image).digest('hex'),
    measurements: await readFile(join(home, 'out', 'measurements.json'), 'utf8'),
  };
}

/** The compiled sources in another folder, with the dates and permissions that another user's checkout has. */
async function copyOfSources(): Promise<string> {
  const copy = join(folder, 'somewhere else', 'checkout');
  await cp(join(ROOT, 'dist'), join(copy, 'dist'), { recursive: true });
  for (const file of ['package.json', 'package-lock.json']) await cp(join(ROOT, file), join(copy, file));
  await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const gate = join(copy, 'dist', 'enclave', 'main.js');
  await chmod(gate, 0o755);
  await utimes(gate, 0, 0);
  return copy;
}

test('give the same bytes', { timeout: 180_000 }, async () => {
  const clock = join(folder, 'clock.mjs');
  await writeFile(clock, AHEAD);
  const alone = noOtherUser();
  const one = await build({
    name: 'one',
    installation: ROOT,
    umask: '022',
    uid: undefined,
    env: { TZ: 'UTC', LC_ALL: 'C' },
  });
  const other = await build({
    name: 'other',
    installation: await copyOfSources(),
    umask: '077',
    uid: alone === undefined ? NOBODY : undefined,
    env: { TZ: 'Pacific/Auckland', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8' },
    clock,
  });
  expect(other).toEqual(one);
  if (alone !== undefined) process.stderr.write(`both builds ran as the same user: ${alone}\n`);
});
