#!/usr/bin/env node
/**
 * Installs the peers that the local AWS is compared with: Debian's `aws` command line, and moto, an emulator by others, in a
 * root file system of its own (it needs a newer Debian than this machine may have). Needs root and apt; a second run finds
 * everything there and does nothing, and two at once do no harm.
 *
 * usage: node test/setup/aws-peers.mjs [--dir DIR]     DIR: default $ACCORD_PEERS, else ~/.cache/accord/peers
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const SUITE = 'trixie';
const PACKAGES = [
  'python3-moto',
  'python3-flask',
  'python3-flask-cors',
  'python3-werkzeug',
  'python3-cryptography',
  'ca-certificates',
];

/** What the file `ready` of a whole root file system says. */
const CONTENT = `${SUITE} ${PACKAGES.join(' ')}\n`;

const { values } = parseArgs({ options: { dir: { type: 'string' } } });
const folder = resolve(values.dir ?? process.env.ACCORD_PEERS ?? join(homedir(), '.cache', 'accord', 'peers'));
const moto = join(folder, 'moto');

try {
  if (process.getuid?.() !== 0) throw new Error('this installs packages and makes a root file system: run it as root');
  await installPackages();
  await makeMoto();
  say(`ready in ${folder}`);
} catch (error) {
  process.stderr.write(`aws-peers: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 40;
}

async function installPackages() {
  const missing = [
    ['/usr/bin/aws', 'awscli'],
    ['/usr/bin/mmdebstrap', 'mmdebstrap'],
    // Which signatures mmdebstrap accepts: the keys of the suite, and the program that tells whose they are.
    [`/usr/share/keyrings/debian-archive-${SUITE}-stable.gpg`, 'debian-archive-keyring'],
    ['/usr/bin/gpg', 'gpg'],
  ].filter(([path]) => !existsSync(path));
  if (missing.length === 0) return say('aws and mmdebstrap are installed');
  const names = missing.map(([, name]) => name);
  say(`installing ${names.join(', ')}`);
  await run('apt-get', ['update', '-qq']);
  await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names]);
}

/** Made beside and renamed, so that an interrupted run leaves nothing that looks whole. */
async function makeMoto() {
  if (await isReady()) return say(`moto is in ${moto}`);
  await mkdir(folder, { recursive: true });
  const draft = await mkdtemp(`${moto}.draft-`);
  try {
    say('making a root file system with moto (about a minute, 340 MB)');
    const root = join(draft, 'root');
    await run('mmdebstrap', ['--variant=apt', `--include=${PACKAGES.join(',')}`, SUITE, root]);
    await run('chroot', [root, 'python3', '-c', 'import moto.server']);
    await writeFile(join(root, 'ready'), CONTENT);
    if (existsSync(moto)) await rename(moto, join(draft, 'before'));
    await rename(root, moto).catch(async (cause) => {
      // Another run was first: its root file system is as good as this one.
      if (!(await isReady())) throw cause;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Whether what is there was made whole, and of this suite and these packages. */
async function isReady() {
  return (await readFile(join(moto, 'ready'), 'utf8').catch(() => '')) === CONTENT;
}

async function run(command, args) {
  await new Promise((done, failed) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    let last = '';
    child.stderr.on('data', (data) => {
      last = `${last}${data}`.slice(-2000);
      const line = String(data).trim().split('\n').at(-1);
      if (process.stderr.isTTY && line) process.stderr.write(`\r\x1b[K  ${line.slice(0, 100)}`);
    });
    child.once('error', (cause) => failed(new Error(`${command} cannot be started: ${cause.message}`)));
    child.once('close', (code) => {
      if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
      if (code === 0) done();
      else failed(new Error(`${command} ended with exit code ${code}:\n${last}`));
    });
  });
}

function say(text) {
  process.stderr.write(`aws-peers: ${text}\n`);
}
