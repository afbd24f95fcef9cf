/** Moto, an emulator by others, from the root file system that `npm run setup:peers` makes. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';

const root = join(process.env['ACCORD_PEERS'] ?? join(homedir(), '.cache', 'accord', 'peers'), 'moto');

/** Why moto cannot be started here, or undefined. */
export function motoIsAbsent(): string | undefined {
  if (!existsSync(join(root, 'ready'))) return `no moto in ${root}: run npm run setup:peers as root`;
  return process.getuid?.() === 0 ? undefined : 'moto runs in a chroot, which needs root';
}

export interface Moto {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

export async function startMoto(): Promise<Moto> {
  const port = await freePort();
  const child = spawn('chroot', [root, 'python3', '-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], {
    stdio: 'ignore',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', MOTO_CALL_RESET_API: 'false' },
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await answers(url, child);
  } catch (cause) {
    await stop(child);
    throw cause;
  }
  return { url, pid: child.pid ?? 0, stop: () => stop(child) };
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null) throw new Error(`moto ended with exit code ${child.exitCode}`);
    const response = await fetch(`${url}/moto-api/data.json`).catch(() => undefined);
    if (response?.ok === true) return;
    await new Promise((wait) => {
      setTimeout(wait, 100);
    });
  }
  throw new Error('moto does not answer');
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  server.close();
  await once(server, 'close');
  return port;
}
