/**
 * A command with another folder as its root, in namespaces of its own: no network, no other processes, the root read-only,
 * an empty /tmp, one folder to work in. Ordinary users get it by a user namespace. It keeps a build reproducible and the
 * machine clean; it is no jail for hostile code.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Failure } from '../../policies/failure.ts';
import { describeError } from '../disk.ts';
import type { InputsCode } from './lock.ts';

export interface RunOptions {
  /** A folder of this machine; the command finds it at /work and starts there. */
  readonly work: string;
  /** Beside PATH, HOME, LC_ALL=C and TZ=UTC0, which may be overridden. Nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** Each line that the command prints, to either stream. */
  readonly onLine?: (line: string) => void;
  /** Ends the command and everything it started. */
  readonly signal?: AbortSignal;
}

const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin', HOME: '/tmp', LC_ALL: 'C', TZ: 'UTC0' } as const;
/** Where util-linux and coreutils are, also for users whose PATH has no sbin. */
const HOST_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const NAMESPACES = ['--mount', '--pid', '--net', '--ipc', '--uts', '--fork', '--kill-child'] as const;
const TOLD_LINES = 20;

/**
 * $1 root, $2 work, then the environment and the command. Says on descriptor 3 that the stage stands. A new mount of /proc
 * is refused inside many containers; the old one does, since the command is not to be kept from seeing, only from needing.
 */
const STAGE = `
set -e
umask 022
root=$1 work=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro,nosuid,nodev "$root"
mount --bind "$work" "$root/work"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for name in full null random urandom zero; do mount --bind "/dev/$name" "$root/dev/$name"; done
mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
cd "$root"
printf stands >&3
exec 3>&-
exec chroot . /usr/bin/env -i "$@"
`;

/** Throws `inputs/sandbox`, `inputs/tool-missing` or `inputs/command`; the signal's reason when that ended it. */
export async function runInside(root: string, command: readonly string[], options: RunOptions): Promise<void> {
  options.signal?.throwIfAborted();
  const env = Object.entries({ ...ENVIRONMENT, ...options.env }).map(([name, value]) => `${name}=${value}`);
  const asUser = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const inside = [...env, '/bin/sh', '-c', 'cd /work && exec "$@"', 'sh', ...command];
  const child = spawn('unshare', [...asUser, ...NAMESPACES, 'sh', '-c', STAGE, 'sh', root, options.work, ...inside], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { PATH: HOST_PATH, LC_ALL: 'C' },
  });
  const told: string[] = [];
  const onLine = (line: string): void => {
    told.push(line);
    if (told.length > TOLD_LINES) told.shift();
    options.onLine?.(line);
  };
  const stop = (): void => void child.kill('SIGKILL'); // --kill-child takes the rest along
  options.signal?.addEventListener('abort', stop, { once: true });
  process.on('exit', stop);
  try {
    const { stands, code, signal } = await watch(child, onLine);
    options.signal?.throwIfAborted();
    if (!stands) throw noStage(told.join('\n'));
    if (code !== 0) throw commandFailed(command, signal ?? `exit code ${code}`, options.work, told);
  } finally {
    options.signal?.removeEventListener('abort', stop);
    process.off('exit', stop);
  }
}

interface End {
  readonly stands: boolean;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

function watch(child: ChildProcess, onLine: (line: string) => void): Promise<End> {
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream }).on('line', onLine);
  }
  let stands = false;
  child.stdio[3]?.on('data', () => (stands = true));
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(noUnshare(error)));
    child.on('close', (code, signal) => resolve({ stands, code, signal }));
  });
}

function commandFailed(
  command: readonly string[],
  end: string,
  work: string,
  told: readonly string[],
): Failure<InputsCode> {
  const said = told.length === 0 ? '' : `; the last it said:\n${told.join('\n')}`;
  return new Failure('environment', 'inputs/command', `\`${command.join(' ')}\` failed with ${end}${said}`, {
    where: work,
    hint: 'a full disk or too little memory are the usual reasons: look at the last lines, then run the same command again',
  });
}

function noStage(said: string): Failure<InputsCode> {
  const user = process.getuid?.() === 0 ? 'root' : 'this user';
  return new Failure(
    'environment',
    'inputs/sandbox',
    `${user} may not start the compiler in a root of its own: ${said || 'unshare failed'}`,
    {
      where: 'unshare, mount, chroot',
      hint:
        user === 'root'
          ? 'inside a container, give it CAP_SYS_ADMIN (docker run --privileged), or build outside of it'
          : 'allow user namespaces (Ubuntu: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0; elsewhere: sudo sysctl user.max_user_namespaces=15000), or run the same command as root',
    },
  );
}

function noUnshare(error: Error): Failure<InputsCode> {
  return new Failure('environment', 'inputs/tool-missing', `unshare cannot be started: ${describeError(error)}`, {
    where: 'unshare',
    hint: 'install util-linux 2.32 or later and run the same command again',
    cause: error,
  });
}
