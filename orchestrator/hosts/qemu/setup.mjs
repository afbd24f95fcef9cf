#!/usr/bin/env node
/**
 * Makes what the `qemu` host needs: QEMU with AWS's Nitro machine, whose security module signs and whose clock is KVM's
 * (Debian's own build has none of it), the vsock device, the firmware; then the kernel and the init of real images, so that the first `accord run`
 * need not wait. All of it goes to the cache, outside of the checkout:
 *
 *     CACHE/qemu/KEY/qemu-system-x86_64, vhost-device-vsock, firmware/     KEY: of sources.lock.json
 *     CACHE/qemu/downloads/SHA256                                         what was fetched and found to be right
 *
 * Needs root only where packages are missing. A second run finds everything there and does nothing, and two at once do no
 * harm: while QEMU is made, the second waits for the first; the kernel each of them makes, and the first to be done is kept.
 *
 * usage: node orchestrator/hosts/qemu/setup.mjs [--cache DIR]    DIR: default $XDG_CACHE_HOME/accord, else ~/.cache/accord
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { copyFile, link, mkdir, mkdtemp, readFile, readdir, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { availableParallelism, homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ready, root } from '../../../build/ready.mjs';

/** The build tree, at its largest, and what is kept. */
const BUILD_BYTES = 1.5 * 1024 ** 3;
const FIRMWARE = ['qboot.rom', 'linuxboot_dma.bin'];
const PROGRAMS = ['qemu-system-x86_64', 'vhost-device-vsock'];
/** What `npm run bench` compares the relay with. Nothing else needs it. */
const BENCH_PACKAGES = ['socat'];

const { values } = parseArgs({ options: { cache: { type: 'string' } } });
const xdg = process.env.XDG_CACHE_HOME;
const cacheDir = resolve(values.cache ?? join(xdg?.startsWith('/') ? xdg : join(homedir(), '.cache'), 'accord'));
const folder = join(cacheDir, 'qemu');

/** How far ninja was when it was last told. */
let toldTenth = -1;

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => interrupted.abort());

try {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`the qemu host runs on Linux on x86-64 alone; this is ${process.platform} on ${process.arch}`);
  }
  const lockText = await readFile(join(import.meta.dirname, 'sources.lock.json'), 'utf8');
  const key = createHash('sha256').update(lockText).digest('hex').slice(0, 16);
  await makeQemu(join(folder, key), key, JSON.parse(lockText));
  await installForBench();
  await makeBoot();
} catch (error) {
  say(interrupted.signal.aborted ? 'interrupted; nothing half-made was left' : explain(error));
  process.exitCode = interrupted.signal.aborted ? 130 : 40;
}

/** Made beside and renamed, so that an interrupted run leaves nothing that looks whole. */
async function makeQemu(entry, key, lock) {
  if (await isReady(entry, key)) return say(`QEMU is in ${entry}`);
  await installPackages(lock.packages);
  await mkdir(folder, { recursive: true });
  const release = await takeTurn();
  try {
    if (await isReady(entry, key)) return say(`QEMU is in ${entry}`);
    await removeDrafts();
    await checkSpace();
    const draft = await mkdtemp(join(folder, `.draft-${process.pid}-`));
    try {
      const made = await build(draft, lock);
      await writeFile(join(made, 'ready'), `${key}\n`);
      await rm(entry, { recursive: true, force: true }); // it may be there and no longer run
      await rename(made, entry);
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
    if (!(await isReady(entry, key)))
      throw new Error(`QEMU was built, but does not start: try ${entry}/${PROGRAMS[0]}`);
    say(`QEMU is ready in ${entry}`);
  } finally {
    await release();
  }
}

/** Whole, of this lock, and able to start: libraries may have changed under it. */
async function isReady(entry, key) {
  if ((await readFile(join(entry, 'ready'), 'utf8').catch(() => '')) !== `${key}\n`) return false;
  return PROGRAMS.every((name) => spawnSync(join(entry, name), ['--version'], { stdio: 'ignore' }).status === 0);
}

async function installPackages(packages) {
  const missing = missingOf(packages);
  if (missing.length === 0) return;
  if (!hasApt()) {
    throw new Error(
      `this needs Debian's or Ubuntu's packages and found no apt-get. To build QEMU here: ${packages.join(' ')}`,
    );
  }
  if (process.getuid() !== 0) {
    throw new Error(
      `packages are missing, and installing them needs root. Run this as root, or have them installed first:\n` +
        `  sudo apt-get install --no-install-recommends ${missing.join(' ')}`,
    );
  }
  await install(missing);
}

/** Wanted, not needed: where they cannot be installed, that is said and no more. */
async function installForBench() {
  const missing = missingOf(BENCH_PACKAGES);
  if (missing.length === 0) return;
  if (hasApt() && process.getuid() === 0) return install(missing);
  say(`without ${missing.join(', ')}, \`npm run bench\` skips what it compares with it`);
}

function missingOf(packages) {
  return packages.filter((name) => {
    const { stdout } = spawnSync('dpkg-query', ['-W', '-f=${db:Status-Status}', name], { encoding: 'utf8' });
    return stdout !== 'installed';
  });
}

function hasApt() {
  return !spawnSync('apt-get', ['--version'], { stdio: 'ignore' }).error;
}

async function install(missing) {
  say(`installing ${missing.join(', ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-qq'], { env });
  await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], { env });
}

/** Fetches, unpacks, patches, compiles; returns the folder of what is to be kept. */
async function build(draft, { files, patches, configure }) {
  const own = [];
  for (const [name, { sha256 }] of Object.entries(patches)) {
    const patch = join(import.meta.dirname, name);
    if ((await digestOf(patch)) !== sha256) {
      throw new Error(`${patch} is not the one that sources.lock.json names: write its new SHA-256 there`);
    }
    own.push(patch);
  }
  const got = {};
  for (const [name, file] of Object.entries(files)) got[name] = await fetchFile(file);

  say('unpacking');
  const tree = join(draft, 'tree');
  const [firmware, vsock, meson] = ['firmware', 'vsock', 'meson'].map((name) => join(draft, name));
  await mkdir(tree);
  await run('tar', ['-xJf', got.source, '-C', tree, '--strip-components=1', '--no-same-owner']);
  await run('tar', ['-xJf', got.debianPatches, '-C', tree, '--no-same-owner']);
  for (const name of ['firmware', 'vsock', 'meson']) await run('dpkg-deb', ['-x', got[name], join(draft, name)]);
  const series = await readFile(join(tree, 'debian/patches/series'), 'utf8');
  const debian = series.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const path of [...debian.map((name) => join(tree, 'debian/patches', name)), ...own]) {
    await run('patch', ['-d', tree, '-p1', '-s', '-f', '-i', path]);
  }
  await writeFile(join(tree, 'configs/devices/x86_64-softmmu/nitro.mak'), 'CONFIG_NITRO_ENCLAVE=y\n');

  const out = join(tree, 'build');
  await mkdir(out);
  // Debian 12 and Ubuntu 22.04 have an older meson; this one is Python alone and runs from where it was unpacked.
  const env = { PYTHONPATH: join(meson, 'usr/lib/python3/dist-packages'), LC_ALL: 'C.UTF-8' };
  say('configuring');
  await run('../configure', configure, { cwd: out, env });
  say('compiling (about 4 minutes on two idle cores)');
  await run('ninja', ['-j', String(availableParallelism()), PROGRAMS[0]], { cwd: out, env });

  const made = join(draft, 'made');
  await mkdir(join(made, 'firmware'), { recursive: true });
  await run('strip', ['-o', join(made, PROGRAMS[0]), join(out, PROGRAMS[0])]);
  await copyFile(join(vsock, 'usr/bin', PROGRAMS[1]), join(made, PROGRAMS[1]));
  for (const name of FIRMWARE) await copyFile(join(firmware, 'usr/share/qemu', name), join(made, 'firmware', name));
  // Whoever is given the program is given its changes.
  for (const patch of own) await copyFile(patch, join(made, basename(patch)));
  return made;
}

/** From the mirror, or by its SHA-1 from Debian's archive of everything: mirrors drop what is superseded. */
async function fetchFile({ path, bytes, sha256, sha1 }) {
  const kept = join(folder, 'downloads', sha256);
  if (existsSync(kept) && (await digestOf(kept)) === sha256) return kept;
  await mkdir(join(folder, 'downloads'), { recursive: true });
  const mirror = (process.env.ACCORD_DEBIAN_MIRROR ?? 'http://deb.debian.org/debian').replace(/\/+$/, '');
  const addresses = [`${mirror}/${path}`, `https://snapshot.debian.org/file/${sha1}`];
  const faults = [];
  for (const address of addresses) {
    const draft = `${kept}.${process.pid}`;
    try {
      say(`fetching ${basename(path)} (${(bytes / 1e6).toFixed(1)} MB) from ${new URL(address).host}`);
      const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(15 * 60_000)]);
      const response = await fetch(address, { signal });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      await pipeline(Readable.fromWeb(response.body), atMost(bytes), createWriteStream(draft), { signal });
      if ((await digestOf(draft)) !== sha256) throw new Error('these are not the bytes that sources.lock.json names');
      await rename(draft, kept);
      return kept;
    } catch (error) {
      interrupted.signal.throwIfAborted();
      if (error?.code === 'ENOSPC') throw error;
      faults.push(`  ${address}: ${error.cause?.message ?? error.message}`);
    } finally {
      await rm(draft, { force: true });
    }
  }
  throw new Error(
    `${basename(path)} could not be fetched; another mirror can be named in ACCORD_DEBIAN_MIRROR.\n${faults.join('\n')}`,
  );
}

function atMost(bytes) {
  return async function* (source) {
    let got = 0;
    for await (const piece of source) {
      got += piece.length;
      if (got > bytes) throw new Error(`more than the ${bytes} bytes that sources.lock.json names`);
      progress(`${Math.floor((100 * got) / bytes)} %`);
      yield piece;
    }
  };
}

async function digestOf(path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Waits until no other run builds. The lock is a link to a file that already names its holder. */
async function takeTurn() {
  const lock = join(folder, 'lock');
  const mine = join(folder, `lock.${process.pid}`);
  await writeFile(mine, String(process.pid));
  let told = false;
  try {
    for (;;) {
      const isOurs = await link(mine, lock).then(
        () => true,
        (error) => {
          if (error.code === 'EEXIST') return false;
          throw error;
        },
      );
      if (isOurs) return () => rm(lock, { force: true });
      const holder = Number(await readFile(lock, 'utf8').catch(() => '0'));
      if (holder !== 0 && !isAlive(holder)) await rm(lock, { force: true });
      else {
        if (!told) say(`another run (pid ${holder}) is building; waiting for it`);
        told = true;
        await sleep(300, undefined, { signal: interrupted.signal });
      }
    }
  } finally {
    await rm(mine, { force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** What runs left that were killed in the middle. Only the holder of the turn comes here. */
async function removeDrafts() {
  for (const name of await readdir(folder)) {
    const [, pid] = /^\.draft-(\d+)-/.exec(name) ?? [];
    if (pid === undefined || isAlive(Number(pid))) continue;
    // A compiler of that run may still write there: what it leaves is for the next run.
    await rm(join(folder, name), { recursive: true, force: true, maxRetries: 3, retryDelay: 500 }).catch(() => {});
  }
}

async function checkSpace() {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= BUILD_BYTES) return;
  const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);
  throw new Error(
    `building QEMU takes ${gigabytes(BUILD_BYTES)} GB for a while and ${folder} has ${gigabytes(free)} GB free: ` +
      'make room, or name another folder with --cache DIR (and XDG_CACHE_HOME for accord itself)',
  );
}

/** Kernel and init, by the code that builds images with them. */
async function makeBoot() {
  await ready();
  const { bootParts } = await import(join(root, 'dist', 'build', 'boot.js'));
  let last = '';
  const parts = await bootParts({
    cacheDir,
    signal: interrupted.signal,
    onProgress: (text) => {
      if (text !== last) say(text);
      last = text;
    },
  });
  say(`kernel and init are ready: ${parts.kernel}`);
}

async function run(command, args, { cwd, env } = {}) {
  await new Promise((done, failed) => {
    const child = spawn(command, args, {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      signal: interrupted.signal,
    });
    let last = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        last = `${last}${data}`.slice(-4000);
        progress(String(data).trim().split('\n').at(-1));
      });
    }
    child.once('error', (cause) => failed(new Error(`${command} cannot be started: ${cause.message}`)));
    child.once('close', (code) => {
      if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
      if (code === 0) return done();
      if (last.includes('No space left on device'))
        return failed(new Error(`${command} found the disk full in ${folder}`));
      failed(new Error(`${command} ended with exit code ${code}:\n${last}`));
    });
  });
}

/** On a terminal the last line; elsewhere a line for each tenth of what ninja has to do. */
function progress(line) {
  if (process.stderr.isTTY) {
    if (line) process.stderr.write(`\r\x1b[K  ${line.slice(0, 100)}`);
    return;
  }
  const [, done, total] = /^\[(\d+)\/(\d+)\]/.exec(line ?? '') ?? [];
  if (total === undefined) return;
  const tenth = Math.floor((10 * Number(done)) / Number(total));
  if (tenth <= toldTenth) return;
  toldTenth = tenth;
  say(`  ${done} of ${total}`);
}

function explain(error) {
  if (error?.code === 'ENOSPC') return `the disk is full: ${folder}`;
  if (error?.code === 'EACCES' || error?.code === 'EROFS')
    return `${error.path ?? folder} may not be written to; name another folder with --cache DIR`;
  if (error?.name === 'Failure') return `${error.message}${error.hint ? `\n  ${error.hint}` : ''}`;
  return error instanceof Error ? error.message : String(error);
}

function say(text) {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  process.stderr.write(`setup:qemu: ${text}\n`);
}
