/**
 * The two processes of one enclave: vhost-device-vsock, then QEMU. Both run from the launch folder, under names of their
 * own in it, so that whoever sweeps that folder later knows whose they are; sockets are named relative to it, since a
 * socket's path may have 107 bytes only.
 *
 * Each is started by `setpriv --pdeathsig KILL`: the kernel ends it when the process that started it ends, however that
 * may be.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, copyFile, link } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../../../build/disk.ts';
import { Failure } from '../../../policies/failure.ts';
import type { LaunchSpec } from '../host.ts';
import { QEMU_PROGRAM, VSOCK_PROGRAM } from './find.ts';
import type { QemuPaths } from './find.ts';
import { KEY_FOLDER } from './key-folder.ts';
import { VHOST_SOCKET, VSOCK_SOCKET } from './sockets.ts';

export type ProgramCode = 'host/start-failed';

export type Program = ChildProcessByStdio<null, Readable, Readable>;

/** The guest's own. It reaches no kernel's vsock: each enclave has a bridge to itself, so all may have the same. */
const GUEST_CID = 16;
/** Above it, vhost-device-vsock 0.3 loses writes of more than 32 KiB without a word. */
const TX_BUFFER_BYTES = 24_576;
const BRIDGE_MS = 5_000;

/** Resolves when it waits for QEMU. */
export async function startBridge(paths: QemuPaths, folder: string): Promise<Program> {
  const bridge = await start(paths.vsock, folder, VSOCK_PROGRAM, [
    '--vm',
    `guest-cid=${GUEST_CID},socket=${VHOST_SOCKET},uds-path=${VSOCK_SOCKET},tx-buffer-size=${TX_BUFFER_BYTES}`,
  ]);
  let said = '';
  bridge.stderr.on('data', (data: Buffer) => (said = `${said}${data.toString()}`.slice(-500)));
  const deadline = performance.now() + BRIDGE_MS;
  while (!(await isThere(join(folder, VHOST_SOCKET)))) {
    if (bridge.exitCode !== null || bridge.signalCode !== null || performance.now() > deadline) {
      bridge.kill('SIGKILL');
      throw startFailed(VSOCK_PROGRAM, said.trim() === '' ? 'it made no socket' : said.trim());
    }
    await sleep(10);
  }
  return bridge;
}

export interface MachineOptions {
  readonly spec: LaunchSpec;
  readonly moduleId: string;
  readonly instanceId: string;
  readonly roleArn: string;
}

/** The serial console is QEMU's standard output; its own messages are its standard error. */
export function startMachine(paths: QemuPaths, folder: string, options: MachineOptions): Promise<Program> {
  return start(paths.qemu, folder, QEMU_PROGRAM, machineArguments(paths, options), {
    QEMU_NSM_KEYDIR: join(folder, KEY_FOLDER),
    TMPDIR: folder, // kernel and ramdisks on their way out of the image
  });
}

/** Nothing is ever appended to the measured command line. `spec.eifPath` is absolute. */
export function machineArguments(
  { firmware }: Pick<QemuPaths, 'firmware'>,
  { spec, moduleId, instanceId, roleArn }: MachineOptions,
): readonly string[] {
  const machine = [
    'nitro-enclave',
    'vsock=bridge',
    `id=${moduleId}`,
    `parent-id=${instanceId}`,
    `parent-role=${roleArn}`,
  ];
  return [
    ['-L', firmware],
    ['-M', machine.map((part) => part.replaceAll(',', ',,')).join(',')],
    ['-accel', 'tcg,thread=multi', '-cpu', 'max'],
    ['-smp', String(spec.cpus), '-m', `${spec.memoryMiB}M`],
    ['-kernel', spec.eifPath],
    ['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ['-chardev', `socket,id=bridge,path=${VHOST_SOCKET}`],
  ].flat();
}

async function start(
  program: string,
  folder: string,
  name: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Program> {
  const own = join(folder, name);
  await link(program, own).catch(() => copyFile(program, own, constants.COPYFILE_FICLONE));
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', own, ...argv], {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw startFailed('setpriv', `${describeError(error)}; it belongs to util-linux`);
  }
  return child;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function startFailed(program: string, why: string): Failure<ProgramCode> {
  return new Failure('environment', 'host/start-failed', `${program} does not start: ${why}`, {
    where: program,
    hint:
      program === 'setpriv'
        ? 'install util-linux 2.33 or later'
        : 'is the run folder on a file system mounted noexec? choose another with --run-dir DIR; else run `npm run setup:qemu` again',
  });
}
