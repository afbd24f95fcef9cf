/** What a fresh clone does before it runs, where it is interrupted: nothing of it goes on, and nobody collides with it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

const READY = join(import.meta.dirname, '..', '..', 'build', 'ready.mjs');
const ROOMS = ['policies', 'enclave', 'build', 'parties', 'orchestrator', 'test'];
const COMPILER = join('node_modules', 'typescript', 'bin', 'tsc');

/** Writes its process ids where the test looks, its own child's too, and runs until it is told to end: then `last`. */
const lingering = (last: string): string => `#!${process.execPath}
const { spawn } = require('node:child_process');
const { writeFileSync, renameSync } = require('node:fs');
const end = (signal) => { ${last} };
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, end);
const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
writeFileSync('started.new', [process.pid, child.pid].join(' '));
renameSync('started.new', 'started');
setInterval(() => {}, 1000);
`;
/** Takes its time, and tells as the last thing whether the lock was there still. */
const POLITE = `setTimeout(() => {
  writeFileSync('lock-held', String(require('node:fs').existsSync('.cache/ready.lock')));
  process.exit(1);
}, 300)`;
const DEAF = '';

let clone: string;
let started: readonly number[];
beforeEach(async () => {
  started = [];
  clone = await mkdtemp(join(tmpdir(), 'accord-ready-'));
  for (const room of [...ROOMS, 'bin', join('node_modules', 'typescript', 'bin')]) {
    await mkdir(join(clone, room), { recursive: true });
  }
  await copyFile(READY, join(clone, 'build', 'ready.mjs'));
  for (const name of ['package-lock.json', 'tsconfig.json', 'build/validators.mjs', 'build/tree-kernel.mjs']) {
    await writeFile(join(clone, name), '');
  }
  await program(join('bin', 'npm'), `#!${process.execPath}\n`);
  await program(COMPILER, `require('node:fs').mkdirSync(process.argv.at(-1), { recursive: true });\n`);
});
afterEach(async () => {
  for (const pid of started) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  await rm(clone, { recursive: true, force: true });
});

async function program(path: string, source: string): Promise<void> {
  await writeFile(join(clone, path), source);
  await chmod(join(clone, path), 0o755);
}

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: unknown; readonly said: string }>;
}

function ready(): Run {
  const env = { ...process.env, PATH: `${join(clone, 'bin')}:${process.env['PATH']}` };
  const child = spawn(process.execPath, [join(clone, 'build', 'ready.mjs')], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said = text(child.stderr);
  return { child, ended: once(child, 'exit').then(async ([code]) => ({ code, said: await said })) };
}

/** Resolves when the stand-in and its child run. */
async function lingers(): Promise<void> {
  await vi.waitFor(() => expect(existsSync(join(clone, 'started'))).toBe(true), { timeout: 20_000 });
  started = (await readFile(join(clone, 'started'), 'utf8')).split(' ').map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const LOCK = join('.cache', 'ready.lock');

test.each([
  ['the install', join('bin', 'npm'), 'SIGINT'],
  ['the install', join('bin', 'npm'), 'SIGTERM'],
  ['the compiler', COMPILER, 'SIGINT'],
] as const)('%s (%s) ends with who was sent %s, and the lock is held until then', async (_, path, signal) => {
  await program(path, lingering(POLITE));
  const { child, ended } = ready();
  await lingers();
  child.kill(signal);
  expect(await ended).toMatchObject({ code: 130, said: expect.stringMatching(/interrupted\n$/) });
  expect(started.filter(isAlive)).toEqual([]);
  expect(await readFile(join(clone, 'lock-held'), 'utf8')).toBe('true');
  expect(existsSync(join(clone, LOCK))).toBe(false);
});

test('what does not end by the signal is killed', async () => {
  await program(join('bin', 'npm'), lingering(DEAF));
  const { child, ended } = ready();
  await lingers();
  child.kill('SIGINT');
  expect(await ended).toMatchObject({ code: 130 });
  expect(started.filter(isAlive)).toEqual([]);
});

test('whoever waits for the lock is interrupted too, and leaves it to its holder', async () => {
  await program(join('bin', 'npm'), lingering(POLITE));
  const holder = ready();
  await lingers();
  const waiting = ready();
  await once(waiting.child.stderr ?? waiting.child, 'data');
  waiting.child.kill('SIGINT');
  expect(await waiting.ended).toMatchObject({ code: 130 });
  expect(existsSync(join(clone, LOCK))).toBe(true);
  holder.child.kill('SIGINT');
  await holder.ended;
});

test('an install that was cut short is not taken for a whole one', async () => {
  expect(await ready().ended).toMatchObject({ code: 0 });
  await rm(join(clone, 'node_modules'), { recursive: true });
  const npm = lingering(POLITE);
  await program(
    join('bin', 'npm'),
    npm.replace('const end', "require('node:fs').mkdirSync('node_modules');\nconst end"),
  );
  const { child, ended } = ready();
  await lingers();
  child.kill('SIGINT');
  await ended;
  expect(existsSync(join(clone, 'node_modules'))).toBe(true);
  expect(existsSync(join(clone, '.cache', 'installed'))).toBe(false);
});
