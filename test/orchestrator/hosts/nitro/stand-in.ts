/** A machine with enclaves, in a folder: the stand-in of nitro-cli, unix sockets for vsock, the allocator's files. */
import { rmSync } from 'node:fs';
import { access, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNitroHost } from '../../../../orchestrator/hosts/nitro.ts';
import type { NitroHost, NitroHostOptions } from '../../../../orchestrator/hosts/nitro.ts';
import { createNitroCommand } from '../../../../orchestrator/hosts/nitro/command.ts';
import type { MachinePaths } from '../../../../orchestrator/hosts/nitro/machine.ts';
import type { HostVsock } from '../../../../orchestrator/hosts/nitro/ports.ts';
import { encodeEif } from '../../../build/eif/encode-eif.ts';

export const NITRO_CLI: string = join(import.meta.dirname, 'nitro-cli.mjs');
export const OWNER = '0a1b2c3d4e5f';

/** What the stand-in has, and which faults it plays. */
export interface Pool {
  readonly memoryMiB: number;
  readonly cpus: number;
  /** Least memory as a multiple of the image. */
  readonly ratio?: number;
  readonly wrongPcr0?: string;
  /** Prints no measurements, as versions before 1.2. */
  readonly isOld?: boolean;
  readonly garbled?: boolean;
  readonly heartbeatMs?: number;
  /** Runs what is in the image with this program, which is told the NSM's keys, the role and the instance. */
  readonly images?: { readonly program: string; readonly place: readonly string[] };
  /** An enclave without a heartbeat is not ended. */
  readonly leavesItRunning?: boolean;
}

export interface Machine {
  readonly folder: string;
  readonly paths: MachinePaths;
  setPool(pool: Partial<Pool>): Promise<void>;
  /** Writes the allocator's file and, unless told otherwise, what the service took. */
  setAllocator(yaml: string, taken?: string): Promise<void>;
  host(options?: Partial<NitroHostOptions>): Promise<NitroHost>;
  image(mode: string): Promise<string>;
  /** What nitro-cli lists. */
  listed(): Promise<
    readonly { readonly EnclaveName: string; readonly EnclaveID: string; readonly ProcessID: number }[]
  >;
  calls(): Promise<string>;
  remove(): Promise<void>;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

export async function startMachine(): Promise<Machine> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-nitro-')));
  const env = { PATH: process.env['PATH'], NITRO_STAND_IN: folder };
  const command = createNitroCommand(NITRO_CLI, env);
  const paths: MachinePaths = {
    device: join(folder, 'nitro_enclaves'),
    config: join(folder, 'allocator.yaml'),
    cpuPool: join(folder, 'ne_cpus'),
  };
  let pool: Pool = { memoryMiB: 2048, cpus: 4 };
  const machine: Machine = {
    folder,
    paths,
    async setPool(change) {
      pool = { ...pool, ...change };
      await writeFile(join(folder, 'pool.json'), JSON.stringify(pool));
    },
    async setAllocator(yaml, taken = '1-4') {
      await writeFile(paths.config, yaml);
      await writeFile(paths.cpuPool, `${taken}\n`);
    },
    host: (options = {}) =>
      createNitroHost({
        owner: OWNER,
        command,
        vsock: unixVsock(folder),
        machine: paths,
        pauses: { firstMs: 50, mostMs: 250 },
        ...options,
      }),
    async image(mode) {
      const path = join(folder, `${mode}.eif`);
      await writeFile(path, eif(mode));
      return path;
    },
    async listed() {
      return JSON.parse((await command.run(['describe-enclaves'], 10_000)).stdout);
    },
    calls: () => readFile(join(folder, 'calls.txt'), 'utf8'),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
  await writeFile(paths.device, '');
  await machine.setPool({});
  await machine.setAllocator('memory_mib: 2048\ncpu_count: 4\n');
  return machine;
}

/** An image whose enclave behaves as `mode` says; with a root file system of so many bytes. */
export function eif(mode: string, bytes = 6): Uint8Array {
  return encodeEif({ architecture: 'x86_64', defaultMemory: 1n, defaultCpus: 1n }, [
    { kind: 'kernel', content: text('kernel') },
    { kind: 'cmdline', content: text('reboot=k') },
    { kind: 'metadata', content: text('{}') },
    { kind: 'ramdisk', content: text('init') },
    { kind: 'ramdisk', content: new Uint8Array(bytes) },
    { kind: 'ramdisk', content: text(`MODE=${mode}\n`) },
  ]);
}

/** `host-<port>.sock` and `cid-<cid>-<port>.sock`; who dials the host says its CID in the first four bytes. */
export function unixVsock(folder: string): HostVsock {
  return {
    dial: (cid, port, signal) =>
      new Promise((resolve, reject) => {
        const socket = connect({ path: join(folder, `cid-${cid}-${port}.sock`), signal });
        socket.once('connect', () => resolve(socket));
        socket.once('error', reject);
      }),
    async listen(port, accept) {
      const path = join(folder, `host-${port}.sock`);
      if (
        await access(path).then(
          () => true,
          () => false,
        )
      )
        throw new Error('EADDRINUSE');
      const open = new Set<Socket>();
      const server = createServer((socket) => {
        open.add(socket);
        socket.once('close', () => open.delete(socket));
        socket.on('error', () => {});
        const look = (): void => {
          const preamble: unknown = socket.read(4);
          if (!Buffer.isBuffer(preamble)) return;
          socket.off('readable', look);
          accept(socket, preamble.readUInt32BE());
        };
        socket.on('readable', look);
      });
      await new Promise<void>((resolve) => server.listen(path, resolve));
      return {
        close: async () => {
          for (const socket of open) socket.destroy();
          await new Promise<void>((resolve) => server.close(() => resolve()));
          rmSync(path, { force: true });
        },
      };
    },
  };
}
