/**
 * The qemu host: the real image in QEMU's Nitro machine, with a real kernel, AF_VSOCK and an NSM device whose documents
 * are signed under the local root. It is what EC2 runs but for the hardware, so it isolates nothing from whoever owns this
 * machine.
 *
 *     <launch folder>/qemu-system-x86_64, vhost-device-vsock     the programs, under this launch's names
 *     <launch folder>/nsm -> nsm.<n>/                            what the NSM signs with (key-folder.ts)
 *     <launch folder>/vhost, vsock, vsock_<port>                 sockets (sockets.ts)
 *
 * Nothing outlives its owner: the kernel ends both programs when the orchestrator ends, even by kill -9 (programs.ts), and
 * the next orchestrator sweeps what is left in the run folder.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttestationIssuer } from '../local/attestation-issuer.ts';
import { INIT_PORTS } from './host.ts';
import type { EnclaveHost, EnclaveState, HostServices, LaunchSpec, Measurements, RunningEnclave } from './host.ts';
import { killWithThisProcess } from './living.ts';
import { serveHostPorts } from './local-sockets.ts';
import { createMachineConsole } from './qemu/console.ts';
import type { MachineConsole } from './qemu/console.ts';
import { describeMachineEnd, isPanic } from './qemu/ending.ts';
import { findQemu } from './qemu/find.ts';
import type { QemuPaths } from './qemu/find.ts';
import { watchHeartbeat } from './qemu/heartbeat.ts';
import { checkImage } from './qemu/image.ts';
import { keepKeyFolder } from './qemu/key-folder.ts';
import { demandMemory } from './qemu/memory.ts';
import { startBridge, startMachine } from './qemu/programs.ts';
import type { Program } from './qemu/programs.ts';
import { dialGuest, hostPortSocket, VSOCK_SOCKET } from './qemu/sockets.ts';
import { makeLaunchFolder, sweepRunFolder } from './run-folder.ts';
import { whenServing } from './serving.ts';
import type { Started } from './serving.ts';
import { openSocketFolder } from './socket-folder.ts';

export { findQemu } from './qemu/find.ts';
export type { QemuPaths } from './qemu/find.ts';

export interface QemuHostOptions {
  /** Where launch folders are made; must not lie below a `node_modules`. */
  readonly runFolder: string;
  /** Signs attestation documents for what runs here, with the local root. */
  readonly issuer: AttestationIssuer;
  /** Measured into PCR4. */
  readonly instanceId: string;
  /** Measured into PCR3. */
  readonly roleArn: string;
  /** Where `npm run setup:qemu` put QEMU. */
  readonly cacheDir: string;
  /** Default: what is found in `cacheDir`. */
  readonly qemu?: QemuPaths;
  /** From start to the first `serving`. */
  readonly startMs?: number;
}

/** Processors are emulated in software, which takes its time. */
const START_MS = 180_000;
const TERMINATE_MS = 3_000;
/** After a panic a kernel may wait (nitro-cli's: 30 s) before it resets; its last lines are out long before. */
const PANIC_MS = 300;
const BRIDGE_MS = 500;

export function createQemuHost(options: QemuHostOptions): EnclaveHost {
  const swept = sweepRunFolder(options.runFolder);
  swept.catch(() => {}); // told to whoever launches
  return {
    name: 'qemu',
    launch: async (spec, services, signal) => {
      await swept;
      const started = await start(options, { ...spec, eifPath: resolve(spec.eifPath) }, services, signal);
      await whenServing(started, options.startMs ?? START_MS, signal);
      return started.enclave;
    },
  };
}

async function start(
  options: QemuHostOptions,
  spec: LaunchSpec,
  services: HostServices,
  signal: AbortSignal | undefined,
): Promise<Started> {
  const paths = options.qemu ?? (await findQemu(options.cacheDir));
  await demandMemory(spec.memoryMiB);
  const measurements = await checkImage(spec.eifPath, signal);
  signal?.throwIfAborted();

  const undo: (() => Promise<void> | void)[] = [];
  const undoAll = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await Promise.resolve(step()).catch(() => {});
  };
  try {
    const folder = await makeLaunchFolder(options.runFolder);
    undo.push(() => rm(folder, { recursive: true, force: true }));
    const sockets = await openSocketFolder(folder, hostPortSocket('65535'));
    undo.push(() => sockets.close());

    const moduleId = `${options.instanceId}-enc${randomBytes(8).toString('hex')}`;
    const life = createLife();
    const console = createMachineConsole({ onLife: life.onLife, onSerial: life.onSerial });
    const keys = await keepKeyFolder({
      folder,
      moduleId,
      issuer: options.issuer,
      onFault: (error) => console.note(`the NSM's certificates could not be renewed: ${String(error)}`),
    });
    undo.push(() => keys.close());

    const heartbeat = watchHeartbeat((text) => console.note(text));
    undo.push(() => heartbeat.close());
    const own = { [INIT_PORTS.lifeLine]: console.followLifeLine, [INIT_PORTS.heartbeat]: heartbeat.answer };
    const served = await serveHostPorts({ ...services, ...own }, (port) => sockets.path(hostPortSocket(port)));
    undo.push(() => served.close());

    const bridge = await startBridge(paths, folder);
    undo.push(killWithThisProcess(bridge));
    undo.push(() => kill(bridge));
    signal?.throwIfAborted();
    const machine = await startMachine(paths, folder, { ...options, spec, moduleId });
    return watch({
      machine,
      bridge,
      console,
      life,
      id: moduleId,
      measurements,
      undoAll,
      dial: (port, gone) => dialGuest({ path: sockets.path(VSOCK_SOCKET), port, gone }),
    });
  } catch (error) {
    await undoAll();
    throw error;
  }
}

interface Life {
  readonly serving: Promise<void>;
  /** Resolves when the kernel panicked. */
  readonly panicked: Promise<void>;
  readonly onLife: (line: { readonly accord: string }) => void;
  readonly onSerial: (line: string) => void;
}

function createLife(): Life {
  let nowServing = (): void => {};
  let nowPanicked = (): void => {};
  const serving = new Promise<void>((done) => (nowServing = done));
  const panicked = new Promise<void>((done) => (nowPanicked = done));
  return {
    serving,
    panicked,
    onLife: ({ accord }) => {
      if (accord === 'serving') nowServing();
    },
    onSerial: (line) => {
      if (isPanic(line)) nowPanicked();
    },
  };
}

interface WatchOptions {
  readonly machine: Program;
  readonly bridge: Program;
  readonly console: MachineConsole;
  readonly life: Life;
  readonly id: string;
  readonly measurements: Measurements;
  readonly undoAll: () => Promise<void>;
  readonly dial: (port: number, gone: AbortSignal) => Promise<Duplex>;
}

function watch({ machine, bridge, console, life, id, measurements, undoAll, dial }: WatchOptions): Started {
  let state: EnclaveState = { phase: 'starting' };
  let isTerminating = false;
  let isBridgeGone = false;
  const gone = new AbortController();
  const forget = killWithThisProcess(machine);
  console.followSerial(machine.stdout);
  console.followQemu(machine.stderr);
  console.followQemu(bridge.stdout);
  const toRunning = async (): Promise<void> => {
    await life.serving;
    if (state.phase === 'starting') state = { phase: 'running' };
  };
  const afterPanic = async (): Promise<void> => {
    await life.panicked;
    await sleep(PANIC_MS);
    machine.kill('SIGKILL');
  };
  const afterBridge = async (): Promise<void> => {
    await once(bridge, 'exit');
    await sleep(BRIDGE_MS); // it also ends because QEMU did, and that may be noticed second
    if (hasEnded(machine)) return;
    isBridgeGone = true;
    machine.kill('SIGKILL');
  };
  const serving = toRunning();
  void afterPanic();
  void afterBridge();

  const end = async (): Promise<Awaited<RunningEnclave['ended']>> => {
    const [exitCode, signal] = await exitOf(machine);
    gone.abort();
    const seen = { ...console.seen(), isTerminating, isBridgeGone, exitCode, signal };
    const ended = describeMachineEnd(seen);
    state = { phase: 'ended', ...ended };
    await undoAll();
    forget();
    return ended;
  };
  const ended = end();

  const terminate = async (): Promise<void> => {
    isTerminating = isTerminating || state.phase !== 'ended';
    machine.kill('SIGTERM');
    const timer = setTimeout(() => machine.kill('SIGKILL'), TERMINATE_MS);
    await ended;
    clearTimeout(timer);
  };
  return {
    serving,
    enclave: {
      describe: () => ({ id, host: 'qemu', measurements, state }),
      connect: (port) => dial(port, gone.signal),
      console: () => console.lines(),
      terminate,
      ended,
    },
  };
}

/** Once it is gone and all that it printed has been read. */
async function exitOf(program: Program): Promise<readonly [number | null, NodeJS.Signals | null]> {
  await once(program, 'close');
  return [program.exitCode, program.signalCode];
}

function hasEnded({ exitCode, signalCode }: Program): boolean {
  return exitCode !== null || signalCode !== null;
}

async function kill(program: Program): Promise<void> {
  if (hasEnded(program)) return;
  const exited = once(program, 'exit');
  program.kill('SIGKILL');
  await exited;
}
