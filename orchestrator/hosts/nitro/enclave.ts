/** One enclave that nitro-cli started: its life line, its console, its end. */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { PORTS } from '../../../enclave/vsock/socket.ts';
import { createConsoleRing, lifeCycle } from '../console-ring.ts';
import type { ConsoleRing } from '../console-ring.ts';
import { dialUntil } from '../dial.ts';
import { describeEnding } from '../ending.ts';
import { INIT_PORTS } from '../host.ts';
import type { EnclaveState, HostServices, Measurements, RunningEnclave } from '../host.ts';
import type { Started } from '../serving.ts';
import type { NitroCli } from './cli.ts';
import type { StartedEnclave } from './output.ts';
import type { Arrival, HostVsock } from './ports.ts';
import { untilGone } from './watch.ts';
import type { Pauses } from './watch.ts';

export interface OpenOptions {
  readonly cli: NitroCli;
  readonly vsock: HostVsock;
  readonly started: StartedEnclave;
  readonly measurements: Measurements;
  readonly isDebug: boolean;
  readonly arrival: Arrival;
  readonly services: HostServices;
  readonly pauses: Partial<Pauses> | undefined;
}

type End = Awaited<RunningEnclave['ended']>;

/** A dial to a port without a listener may hang; it is tried again, for so long in all. */
const DIAL_MS = 5_000;
const DIAL_ONCE_MS = 1_000;
const RETRY_MS = 50;
/** An image with AWS's own init has no life line. After so long without one, a session port that answers will do. */
const WITHOUT_LIFE_LINE_MS = 5_000;
/** From the enclave's own last word to its end; then it is ended by hand. */
const LAST_WORD_MS = 5_000;
/** What an enclave said last may still be on its way when nitro-cli lists it no more. */
const LAST_LINES_MS = 500;
const LIFE_CYCLE_LINE = '{"accord":';

/** `serving` resolves when the enclave says so or, where it has no life line, when its session port answers. */
export function openEnclave(options: OpenOptions): Started {
  const { cli, vsock, started, measurements, isDebug, arrival, services } = options;
  let state: EnclaveState = { phase: 'starting' };
  let isTerminating = false;
  const gone = new AbortController();
  const serving = settled();
  const lifeLineOpen = settled();
  const lifeLineEnded = settled();
  const lastWord = settled();

  const serve = (): void => {
    if (state.phase === 'starting') state = { phase: 'running' };
    serving.resolve();
  };
  const ring = createConsoleRing((line) => {
    const said = lifeCycle(line)?.accord;
    if (said === 'serving') serve();
    if (said === 'exited') lastWord.resolve();
  });
  let hasLifeLine = false;
  const lifeLine = (connection: Duplex): void => {
    hasLifeLine = true;
    lifeLineOpen.resolve();
    ring.follow(connection);
    connection.once('close', () => lifeLineEnded.resolve());
    connection.once('end', () => (lifeLineEnded.resolve(), connection.destroy()));
  };
  const forget = arrival.adopt(started.cid, { ...services, [INIT_PORTS.lifeLine]: lifeLine });
  const stopConsole = isDebug ? followConsole(cli, started.id, ring, () => hasLifeLine) : () => {};

  const end = async (): Promise<End> => {
    const isListed = async (): Promise<boolean> => (await cli.list()).some(({ id }) => id === started.id);
    await untilGone({ isListed, lifeLineEnded: lifeLineEnded.promise, ...pausesOf(options) });
    gone.abort();
    if (hasLifeLine) await Promise.race([lifeLineEnded.promise, sleep(LAST_LINES_MS)]);
    forget();
    stopConsole();
    const ended = describeEnding(ring.lines(), isTerminating);
    state = { phase: 'ended', ...ended };
    return ended;
  };
  const ended = end();
  void lastWord.promise
    .then(() => Promise.race([ended, sleep(LAST_WORD_MS, undefined, { ref: false })]))
    .then(() => (state.phase === 'ended' ? undefined : cli.terminate(started.id)))
    .catch(() => {}); // it is asked for again, and told, when somebody terminates it

  const dial = (port: number): Promise<Duplex> =>
    dialUntil({ port, gone: gone.signal, dialMs: DIAL_MS, retryMs: RETRY_MS }, () =>
      dialOnce(vsock, started.cid, port, gone.signal),
    );
  const terminate = async (): Promise<void> => {
    if (state.phase !== 'ended') {
      isTerminating = true;
      await cli.terminate(started.id).catch((error: unknown) => {
        isTerminating = false;
        throw error;
      });
      lifeLineEnded.resolve(); // look at once
    }
    await ended;
  };
  const enclave: RunningEnclave = {
    describe: () => ({ id: started.id, host: 'nitro', isDebug, measurements, state }),
    connect: dial,
    console: () => ring.lines(),
    terminate,
    ended,
  };

  void probe(vsock, started.cid, lifeLineOpen.promise, gone.signal).then((answers) => answers && serve());
  return { enclave, serving: serving.promise };
}

/** The console carries the life-cycle lines too: they are kept once. */
function followConsole(cli: NitroCli, id: string, ring: ConsoleRing, hasLifeLine: () => boolean): () => void {
  const followed = cli.console(id);
  const NOT_THE_ENCLAVE = /^(?:Connecting to the console|Successfully connected to the console)/;
  createConsoleRing((line) => {
    const text = line.trimEnd();
    const isKept = hasLifeLine() && text.startsWith(LIFE_CYCLE_LINE);
    if (!isKept && !NOT_THE_ENCLAVE.test(text)) ring.add(text);
  }).follow(followed.stdout);
  return () => followed.stop();
}

/** True where no life line came and the session port answers all the same. */
async function probe(vsock: HostVsock, cid: number, lifeLine: Promise<void>, stop: AbortSignal): Promise<boolean> {
  try {
    const wait = sleep(WITHOUT_LIFE_LINE_MS, true, { signal: stop, ref: false });
    if (!(await Promise.race([wait, lifeLine.then(() => false)]))) return false;
    while (!stop.aborted) {
      const connection = await dialOnce(vsock, cid, PORTS.sessions, stop);
      if (connection !== undefined) {
        connection.destroy();
        return true;
      }
      await sleep(DIAL_ONCE_MS, undefined, { signal: stop });
    }
  } catch {
    // it is gone
  }
  return false;
}

async function dialOnce(vsock: HostVsock, cid: number, port: number, stop: AbortSignal): Promise<Duplex | undefined> {
  try {
    const connection = await vsock.dial(cid, port, AbortSignal.any([stop, AbortSignal.timeout(DIAL_ONCE_MS)]));
    connection.on('error', () => {}); // later ones are seen by whoever reads or writes
    return connection;
  } catch {
    return undefined;
  }
}

function pausesOf({ pauses }: OpenOptions): { readonly pauses?: Partial<Pauses> } {
  return pauses === undefined ? {} : { pauses };
}

function settled(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
