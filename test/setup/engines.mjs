#!/usr/bin/env node
/**
 * Installs container engines, so that images can be built and compared across them, Debian's docker.io and buildah; and
 * bubblewrap, with which the local host has the jails that the image has. Needs root and apt; a second run finds everything
 * there and does nothing. It starts no daemon: the tests start one of their own, in a folder of their own, and end it. On a
 * machine of your own install Docker as its makers say, or buildah alone.
 *
 * usage: node test/setup/engines.mjs
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';

const PROGRAMS = [
  ['/usr/sbin/dockerd', 'docker.io'],
  ['/usr/bin/buildah', 'buildah'],
  ['/usr/bin/bwrap', 'bubblewrap'],
];
/** invoke-rc.d asks it whether a service may be started; 101 is "no" (Debian Policy, /usr/share/doc/init-system-helpers). */
const MAY_START = '/usr/sbin/policy-rc.d';

try {
  const missing = PROGRAMS.filter(([path]) => !existsSync(path)).map(([, name]) => name);
  if (missing.length === 0) say(`${PROGRAMS.map(([, name]) => name).join(', ')} are installed`);
  else if (process.getuid?.() !== 0) throw new Error(`${missing.join(' and ')} must be installed: run this as root`);
  else await install(missing);
} catch (error) {
  process.stderr.write(`engines: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 40;
}

async function install(names) {
  say(`installing ${names.join(' and ')} (about a minute, 300 MB)`);
  const held = !existsSync(MAY_START);
  if (held) await writeFile(MAY_START, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' });
  try {
    await run('apt-get', ['update', '-qq']);
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names]);
  } finally {
    if (held) await rm(MAY_START, { force: true });
  }
  say('ready; nothing was started');
}

async function run(command, args) {
  await new Promise((done, failed) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    let last = '';
    child.stderr.on('data', (data) => (last = `${last}${data}`.slice(-2000)));
    child.once('error', (cause) => failed(new Error(`${command} cannot be started: ${cause.message}`)));
    child.once('close', (code) => {
      if (code === 0) done();
      else failed(new Error(`${command} ended with exit code ${code}:\n${last}`));
    });
  });
}

function say(text) {
  process.stderr.write(`engines: ${text}\n`);
}
