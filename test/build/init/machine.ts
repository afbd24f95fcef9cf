/**
 * One boot of an image in QEMU's Nitro machine: what stood on the console, what came over the life line. With no driver of
 * ours in between, so that the init is seen alone.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeMetadata } from '../../../build/eif/metadata.ts';
import { writeEif } from '../../../build/eif/write.ts';
import { encodeCpio } from '../../../build/image/cpio.ts';
import type { QemuPaths } from '../../../orchestrator/hosts/qemu/find.ts';

export interface Image {
  readonly kernel: Uint8Array;
  readonly commandLine: string;
  /** The first ramdisk. */
  readonly init: Uint8Array;
  /** The second ramdisk, with what the program needs below `rootfs`. */
  readonly rootfs: Uint8Array;
  readonly command: readonly string[];
}

/** A second ramdisk that holds one static program. */
export function rootfsOf(program: Uint8Array): Uint8Array {
  return encodeCpio([
    { kind: 'directory', path: 'rootfs', mode: 0o755 },
    { kind: 'file', path: 'rootfs/program', mode: 0o755, content: program },
  ]);
}

export interface Host {
  /** What the parent does with the heartbeat. Default `echo`. */
  readonly heartbeat?: 'echo' | 'absent' | 'silent' | 'wrong' | 'flood';
  /** What the parent does with the life line. Default `read`. */
  readonly lifeLine?: 'read' | 'absent' | 'stuck' | 'talk';
  /** Arguments for QEMU beside the usual ones. */
  readonly qemuArguments?: readonly string[];
  readonly memoryMiB?: number;
}

export interface Boot {
  readonly console: string;
  /** What came over the life line, as it came. */
  readonly lines: readonly string[];
  /** Bytes that the enclave sent to the heartbeat's port. */
  readonly heartbeat: Uint8Array;
  readonly seconds: number;
}

const LIMIT_MS = 90_000;

/** Resolves when the machine has ended by itself; rejects when it has not within 90 s. */
export async function boot(qemu: QemuPaths, image: Image, host: Host = {}): Promise<Boot> {
  const folder = await mkdtemp(join(tmpdir(), 'accord-boot-'));
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const listen = async (port: number, take: (socket: Socket) => void): Promise<void> => {
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
      take(socket);
    });
    servers.push(server);
    await new Promise<void>((done) => server.listen(join(folder, `a.vsock_${port}`), done));
  };
  let lifeLine = '';
  const beats: Buffer[] = [];
  let vsock: ChildProcess | undefined;
  try {
    await writeImage(join(folder, 'x.eif'), image);
    if (host.lifeLine !== 'absent') {
      await listen(8003, (socket) => {
        if (host.lifeLine === 'stuck') return void socket.pause();
        if (host.lifeLine === 'talk') socket.write('{"accord":"exited","code":99}\n'.repeat(1000));
        socket.setEncoding('utf8').on('data', (piece: string) => (lifeLine += piece));
      });
    }
    if (host.heartbeat !== 'absent') {
      await listen(9000, (socket) =>
        socket.on('data', (beat) => void beats.push(answer(socket, beat, host.heartbeat))),
      );
    }
    vsock = spawn(qemu.vsock, [
      '--vm',
      `guest-cid=16,socket=${folder}/a.vhost,uds-path=${folder}/a.vsock,tx-buffer-size=24576`,
    ]);
    await until(() => existsSync(join(folder, 'a.vhost')));
    const started = Date.now();
    await run(qemu, folder, host);
    const seconds = (Date.now() - started) / 1000;
    await new Promise((done) => setTimeout(done, 100)); // what the bridge still holds
    return {
      console: await readFile(join(folder, 'console'), 'latin1'),
      lines: lifeLine.split('\n').slice(0, -1),
      heartbeat: Buffer.concat(beats),
      seconds,
    };
  } finally {
    vsock?.kill('SIGKILL');
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function answer(socket: Socket, beat: Buffer, how: Host['heartbeat'] = 'echo'): Buffer {
  if (how === 'echo') socket.write(beat);
  if (how === 'wrong') socket.write(Buffer.from([0x00]));
  if (how === 'flood') socket.write(Buffer.alloc(1 << 20, 0xb7));
  return beat;
}

async function run(qemu: QemuPaths, folder: string, host: Host): Promise<void> {
  const child = spawn(
    qemu.qemu,
    [
      '-L',
      qemu.firmware,
      '-M',
      'nitro-enclave,vsock=c,id=i-0123456789abcdef0-enc0123456789abcdef,parent-id=i-0123456789abcdef0',
      ...'-accel tcg,thread=multi -cpu max -smp 2 -nodefaults -display none -no-reboot'.split(' '),
      '-m',
      `${host.memoryMiB ?? 256}M`,
      '-kernel',
      join(folder, 'x.eif'),
      '-serial',
      `file:${join(folder, 'console')}`,
      '-chardev',
      `socket,id=c,path=${join(folder, 'a.vhost')}`,
      ...(host.qemuArguments ?? []),
    ],
    { env: { TMPDIR: folder }, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  const code = await new Promise<number | null>((done, fail) => child.on('error', fail).on('close', done));
  clearTimeout(timer);
  if (code === 0) return;
  const console = await readFile(join(folder, 'console'), 'latin1').catch(() => '');
  throw new Error(`the machine ended with ${code ?? 'no code within its time'}: ${said}\n${console}`);
}

async function writeImage(path: string, { kernel, commandLine, init, rootfs, command }: Image): Promise<void> {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const collaboration = encodeCpio([
    { kind: 'file', path: 'cmd', mode: 0o644, content: text(`${command.join('\n')}\n`) },
    { kind: 'file', path: 'env', mode: 0o644, content: text('ACCORD_POLICY={policy $1 \\x}\n') },
  ]);
  const metadata = encodeMetadata({ name: 'test', toolVersion: '0', kernelVersion: '0', custom: {} });
  await writeEif(path, { architecture: 'x86_64', defaultMemory: 1n << 28n, defaultCpus: 2n }, [
    { kind: 'kernel', content: kernel },
    { kind: 'cmdline', content: text(commandLine) },
    { kind: 'metadata', content: metadata },
    { kind: 'ramdisk', content: init },
    { kind: 'ramdisk', content: rootfs },
    { kind: 'ramdisk', content: collaboration },
  ]);
}

async function until(there: () => boolean): Promise<void> {
  for (let tries = 0; !there(); tries++) {
    if (tries === 250) throw new Error('vhost-device-vsock did not start');
    await new Promise((done) => setTimeout(done, 20));
  }
}
