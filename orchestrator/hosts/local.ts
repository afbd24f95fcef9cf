/**
 * The local host: the enclave as a child process, for trying Accord out. It isolates nothing from whoever owns this
 * machine; what it keeps of the real thing is that *what is measured is what runs*: the EIF is unpacked into a fresh
 * folder, the PCRs come from the very bytes that are unpacked, and the Node binary in it is started with the
 * environment in it and nothing else. Memory and CPUs of the policy are not enforced here.
 *
 *     <launch folder>/root/            the unpacked EIF: cmd, env, rootfs/; the process's working directory
 *     <launch folder>/root/run/        nsm.sock, host-<port>.sock (ours), guest-<port>.sock (the enclave's)
 *
 * Nothing outlives its owner. The enclave's standard input is a pipe that nobody writes to: when the orchestrator
 * dies, even by kill -9, the pipe ends, and the gate takes that end as "my host is gone" and stops (on EC2 the
 * hypervisor does this). Should it not, the next orchestrator finds it by its binary and kills it (`run-folder.ts`).
 */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { unpackEif } from '../../build/image/unpack.ts';
import { Failure } from '../../policies/failure.ts';
import { startLocalNsm } from '../local/nsm.ts';
import type { AttestationIssuer } from '../local/attestation-issuer.ts';
import { createConsoleRing, lifeCycle } from './console-ring.ts';
import type { ConsoleRing } from './console-ring.ts';
import { dialGuest, serveHostPorts } from './local-sockets.ts';
import type { EnclaveHost, EnclaveState, HostServices, LaunchSpec, Measurements, RunningEnclave } from './host.ts';
import { killWithThisProcess } from './living.ts';
import { killProcessesOf, sendSignal } from './processes.ts';
import { letJailsThrough, makeLaunchFolder, sweepRunFolder } from './run-folder.ts';
import { whenServing } from './serving.ts';
import type { Started } from './serving.ts';
import { openSocketFolder } from './socket-folder.ts';

export type LocalHostCode = 'host/start-failed'; // the unpacked program could not be started

export interface LocalHostOptions {
  /** Where launch folders are made; must not lie below a `node_modules`. */
  readonly runFolder: string;
  /** Signs attestation documents for what runs here, with the local root. */
  readonly issuer: AttestationIssuer;
  /** Measured into PCR4. */
  readonly instanceId: string;
  /** Measured into PCR3. */
  readonly roleArn: string;
  /** From start to the first `serving`. */
  readonly startMs?: number;
}

const START_MS = 60_000;
const TERMINATE_MS = 3_000;
const PCR_BYTES = 48;
const PCR_COUNT = 16;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;
type End = Awaited<RunningEnclave['ended']>;

export function createLocalHost(options: LocalHostOptions): EnclaveHost {
  const swept = sweepRunFolder(options.runFolder);
  swept.catch(() => {}); // told to whoever launches
  return {
    name: 'local',
    launch: async (spec, services, signal) => {
      await swept;
      const running = await start(options, spec, services, signal);
      await whenServing(running, options.startMs ?? START_MS, signal);
      return running.enclave;
    },
  };
}

async function start(
  options: LocalHostOptions,
  spec: LaunchSpec,
  services: HostServices,
  signal: AbortSignal | undefined,
): Promise<Started> {
  const undo: (() => Promise<void>)[] = [];
  const undoAll = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step().catch(() => {});
  };
  try {
    const folder = await makeLaunchFolder(options.runFolder);
    undo.push(() => rm(folder, { recursive: true, force: true }));
    const root = join(folder, 'root');
    await mkdir(root, { mode: 0o700 });
    const { cmd, env, pcrs } = await unpackEif(spec.eifPath, root);
    signal?.throwIfAborted();

    const run = join(root, 'run');
    await mkdir(run, { mode: 0o700 });
    await letJailsThrough(folder, root);
    const sockets = await openSocketFolder(run, 'guest-65535.sock');
    undo.push(() => sockets.close());
    const id = `${options.instanceId}-enc${randomBytes(8).toString('hex')}`;
    const nsm = await startLocalNsm({
      socketPath: sockets.path('nsm.sock'),
      pcrs: allPcrs(pcrs, options),
      moduleId: id,
      issuer: options.issuer,
    });
    undo.push(() => nsm.close());
    const served = await serveHostPorts(services, (port) => sockets.path(`host-${port}.sock`));
    undo.push(() => served.close());

    const child = await spawnUnpacked(root, cmd, env);
    return watch({
      child,
      id,
      folder,
      measurements: pcrs,
      undoAll,
      dial: (port, ended) => dialGuest(sockets, port, ended),
    });
  } catch (error) {
    await undoAll();
    throw error;
  }
}

/** Starts the unpacked program in a process group of its own, so that its jails can be killed with it. */
async function spawnUnpacked(
  root: string,
  cmd: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Child> {
  const [program, ...argv] = cmd;
  const child = spawn(resolvePath(root, program ?? ''), argv, {
    cwd: root,
    env: { ...env },
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new Failure<LocalHostCode>(
      'environment',
      'host/start-failed',
      `the unpacked program does not start: ${error instanceof Error ? error.message : String(error)}`,
      {
        where: program ?? '/cmd',
        hint: 'is the run folder on a file system mounted noexec? choose another with --run-dir DIR',
        cause: error,
      },
    );
  }
  child.stdin.on('error', () => {}); // the enclave may close its end first
  return child;
}

interface WatchOptions {
  readonly child: Child;
  readonly id: string;
  readonly folder: string;
  readonly measurements: Measurements;
  readonly undoAll: () => Promise<void>;
  readonly dial: (port: number, ended: AbortSignal) => ReturnType<RunningEnclave['connect']>;
}

function watch({ child, id, folder, measurements, undoAll, dial }: WatchOptions): Started {
  let state: EnclaveState = { phase: 'starting' };
  let isTerminating = false;
  const gone = new AbortController();
  let nowServing = (): void => {};
  const serving = new Promise<void>((resolve) => (nowServing = resolve));
  const ring = createConsoleRing((line) => {
    if (lifeCycle(line)?.accord !== 'serving' || state.phase !== 'starting') return;
    state = { phase: 'running' };
    nowServing();
  });
  ring.follow(child.stdout);
  ring.follow(child.stderr);
  const forget = killWithThisProcess(child);

  const exited = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('exit', (code, signal) => resolve([code, signal]));
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const end = async (): Promise<End> => {
    const [exitCode, signal] = await exited;
    gone.abort();
    // Jails of a gate that crashed hold its output open; they go now, so that the last lines are complete.
    if (child.pid !== undefined) sendSignal(-child.pid, 'SIGKILL');
    await killProcessesOf(folder, TERMINATE_MS);
    await Promise.race([closed, sleep(1_000, undefined, { ref: false })]);
    const ended: End = { exitCode, reason: describeEnd(exitCode, signal, isTerminating, ring) };
    state = { phase: 'ended', ...ended };
    await undoAll();
    forget();
    return ended;
  };
  const ended = end();

  const terminate = async (): Promise<void> => {
    isTerminating = isTerminating || state.phase !== 'ended';
    child.stdin.destroy();
    if (child.pid !== undefined) sendSignal(-child.pid, 'SIGTERM');
    const timer = setTimeout(() => {
      if (child.pid !== undefined) sendSignal(-child.pid, 'SIGKILL');
    }, TERMINATE_MS);
    await ended;
    clearTimeout(timer);
  };
  return {
    serving,
    enclave: {
      describe: () => ({ id, host: 'local', measurements, state }),
      connect: (port) => dial(port, gone.signal),
      console: () => ring.lines(),
      terminate,
      ended,
    },
  };
}

function describeEnd(
  exitCode: number | null,
  signal: NodeJS.Signals | null,
  isTerminating: boolean,
  ring: ConsoleRing,
): string {
  if (isTerminating) return 'terminated by the coordinator';
  const own = ring
    .lines()
    .map(lifeCycle)
    .findLast((entry) => entry?.accord === 'stopped')?.reason;
  if (own !== undefined) return `${own} (exit code ${exitCode})`;
  const last = ring.lines().at(-1);
  const said = last === undefined ? '' : `; its last line: ${last}`;
  if (signal === 'SIGKILL') return `killed by SIGKILL (by hand, or by the kernel for want of memory)${said}`;
  if (signal !== null) return `killed by ${signal}${said}`;
  return `exited with code ${exitCode}${said}`;
}

/** PCR0 to 2 from the image; PCR3 and 4 as Nitro derives them; the others as they are at reset. */
function allPcrs(image: Measurements, { roleArn, instanceId }: LocalHostOptions): Map<number, Uint8Array> {
  const pcrs = new Map<number, Uint8Array>();
  for (let index = 0; index < PCR_COUNT; index++) pcrs.set(index, new Uint8Array(PCR_BYTES));
  for (const [index, hex] of [image.PCR0, image.PCR1, image.PCR2].entries()) pcrs.set(index, Buffer.from(hex, 'hex'));
  pcrs.set(3, extend(roleArn));
  pcrs.set(4, extend(instanceId));
  return pcrs;
}

/** SHA-384(48 zero bytes || data): a PCR extended once. */
function extend(data: string): Uint8Array {
  return createHash('sha384').update(new Uint8Array(PCR_BYTES)).update(data, 'ascii').digest();
}
