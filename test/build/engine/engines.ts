/**
 * The container engines of this machine, as tests use them: docker with a daemon of our own in a folder of our own, the
 * others with their stores in the folder that each builder gives them. What is not there is skipped with its reason.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { EngineName } from '../../../build/engine/engine.ts';
import { ENGINE_NAMES } from '../../../build/engine/engine.ts';

export type Env = Readonly<Record<string, string | undefined>>;

export interface TestEngines {
  /** Engines that work here, with the environment in which they do. */
  readonly working: ReadonlyMap<EngineName, Env>;
  stop(): Promise<void>;
}

const START_MS = 30_000;

/** Prints why, for each engine that is left out. */
export async function startEngines(folder: string): Promise<TestEngines> {
  const working = new Map<EngineName, Env>();
  const stops: (() => Promise<void>)[] = [];
  for (const name of ENGINE_NAMES) {
    const started = name === 'docker' ? await startDocker(folder) : fileEngine(name);
    if ('reason' in started) process.stderr.write(`skipped: ${name}: ${started.reason}\n`);
    else {
      working.set(name, started.env);
      if (started.stop !== undefined) stops.push(started.stop);
    }
  }
  return {
    working,
    stop: async () => {
      for (const stop of stops) await stop();
    },
  };
}

type Started = { readonly env: Env; readonly stop?: () => Promise<void> } | { readonly reason: string };

const INSTALL = 'npm run setup:engines installs it';

function fileEngine(name: 'buildah' | 'podman'): Started {
  const { error, status } = spawnSync(name, ['--version']);
  if (error !== undefined || status !== 0) return { reason: `it is not installed (${INSTALL} where it can)` };
  return { env: process.env };
}

/** A daemon that touches neither the network nor another one: no bridge, no rules, its own folders and socket. */
async function startDocker(folder: string): Promise<Started> {
  const program = ['/usr/sbin/dockerd', '/usr/bin/dockerd', '/usr/local/bin/dockerd'].find((path) => existsSync(path));
  if (program === undefined) return { reason: `dockerd is not installed (${INSTALL})` };
  if (process.getuid?.() !== 0) return { reason: 'a daemon of our own needs root' };
  let log = '';
  for (const driver of ['overlay2', 'vfs']) {
    const home = join(folder, `dockerd-${driver}`);
    await mkdir(home, { recursive: true });
    const socket = join(home, 'sock');
    const output = openSync(join(home, 'log'), 'w');
    const child = spawn(
      program,
      [
        '--iptables=false',
        '--bridge=none',
        `--storage-driver=${driver}`,
        `--host=unix://${socket}`,
        `--data-root=${join(home, 'data')}`,
        `--exec-root=${join(home, 'exec')}`,
        `--pidfile=${join(home, 'pid')}`,
      ],
      { stdio: ['ignore', output, output] },
    );
    closeSync(output);
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const env = { ...process.env, DOCKER_HOST: `unix://${socket}` };
    const stop = async (): Promise<void> => {
      child.kill('SIGTERM');
      await ended;
      await rm(home, { recursive: true, force: true });
    };
    const until = performance.now() + START_MS;
    while (child.exitCode === null && performance.now() < until) {
      if (spawnSync('docker', ['version'], { env }).status === 0) return { env, stop };
      await pause(200);
    }
    log = readFileSync(join(home, 'log'), 'utf8').trim().split('\n').at(-1) ?? '';
    await stop();
  }
  return { reason: `a daemon of our own does not start here: ${log}` };
}
