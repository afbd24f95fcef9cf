/** Debian's `aws` command line, set up as a person would: by the exports that `accord local-aws` prints. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { bundled } from '../bundled.ts';

/** Debian's own: another `aws` that may come first in PATH is not the peer. */
const AWS = '/usr/bin/aws';

/** Why the command line cannot be run here, or undefined. */
export function awsCliIsAbsent(): string | undefined {
  return existsSync(AWS) ? undefined : `no ${AWS}: run npm run setup:peers as root`;
}

export interface CliAnswer {
  /** 0; 254 where the service refused; 255 where the command line itself could not go on. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface AwsCli {
  /** An empty folder of its own. */
  readonly folder: string;
  /** Runs `aws ARGUMENTS`; `before` is shell that runs after the exports. */
  run(profile: string, argv: readonly string[], before?: string): Promise<CliAnswer>;
  stop(): Promise<void>;
}

/** Starts `accord local-aws` as a process and keeps what it prints. */
export async function startAwsCli(): Promise<AwsCli> {
  const folder = await mkdtemp(join(tmpdir(), 'accord-cli-'));
  const program = await bundled('test/orchestrator/local/serve.ts');
  const server = spawn(process.execPath, [program, '--data', join(folder, 'aws'), '--port', '0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exports = await firstOutput(server);
  const endpoint = readsEndpoint() ? [] : ['--endpoint-url', '$AWS_ENDPOINT_URL'];
  const command = [AWS, ...endpoint].map((word) => `"${word}"`).join(' ');
  return {
    folder,
    run: async (profile, argv, before = '') =>
      await collect(['-c', `${exports}\n${before}\nexec ${command} "$@"`, 'sh', '--profile', profile, ...argv], folder),
    stop: async () => {
      if (server.exitCode === null) {
        const gone = once(server, 'exit');
        server.kill('SIGKILL');
        await gone;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function firstOutput(server: ChildProcessByStdio<null, Readable, Readable>): Promise<string> {
  let errors = '';
  server.stderr.on('data', (data: Buffer) => (errors += data.toString()));
  return await new Promise((resolve, reject) => {
    server.stdout.once('data', (data: Buffer) => resolve(data.toString()));
    server.once('close', () => reject(new Error(`the local AWS did not start: ${errors}`)));
  });
}

/** AWS_ENDPOINT_URL is read from version 2.13 on; Debian 12 has 2.9. */
function readsEndpoint(): boolean {
  const [, major, minor] = /^aws-cli\/(\d+)\.(\d+)/.exec(execFileSync(AWS, ['--version'], { encoding: 'utf8' })) ?? [];
  return Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 13);
}

async function collect(argv: readonly string[], folder: string): Promise<CliAnswer> {
  const child = spawn('/bin/sh', argv, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/bin:/bin', HOME: folder, LC_ALL: 'C.UTF-8' },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  await once(child, 'close');
  return { exitCode: child.exitCode, stdout, stderr };
}
