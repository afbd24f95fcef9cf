/**
 * The host as its enclave meets it: a vsock whose ports answer as `enclave/vsock/host.ts` asks, slowly, not at all, or
 * cut off in the middle.
 */
import { createHash } from 'node:crypto';
import { Duplex } from 'node:stream';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { decodeCbor, encodeCbor } from '../../../enclave/encoding/cbor.ts';
import { encodeFrame } from '../../../enclave/protocol/frame.ts';
import type { Vsock } from '../../../enclave/vsock/socket.ts';
import { PORTS } from '../../../enclave/vsock/socket.ts';
import { Failure } from '../../../policies/failure.ts';
import type { Simulation } from './clock.ts';
import type { Disk } from './disk.ts';
import type { Prng } from './prng.ts';
import type { Process } from './process.ts';

export interface HostFaults {
  /** Probabilities, for each question. */
  readonly unreachable: number;
  /** It is heard, done, and never answered. */
  readonly silent: number;
  /** Cut before it was heard in full. */
  readonly cut: number;
  readonly slow: number;
  readonly refusesToStore: number;
}

export const GOOD_HOST: HostFaults = { unreachable: 0, silent: 0, cut: 0, slow: 0, refusesToStore: 0 };

export interface HostParts {
  readonly keyArns: readonly string[];
  readonly disk: Disk;
  contribution(name: string): Uint8Array | undefined;
  policy(digest: string): Uint8Array | undefined;
  /** The host role's credentials, where it has some. */
  credentials(): Readonly<Record<string, CborValue>> | undefined;
}

export interface SimulatedHost {
  faults: HostFaults;
  down: boolean;
  readonly vsock: Vsock;
  /** What came to the enclave's port 5000. */
  accept(connection: Duplex): void;
}

/** What is answered to a question: a frame, then raw bytes. */
interface Reply {
  readonly frame: Readonly<Record<string, CborValue>>;
  readonly raw?: Uint8Array | undefined;
}

export function createSimulatedHost(
  simulation: Simulation,
  random: Prng,
  enclave: Process,
  parts: HostParts,
): SimulatedHost {
  const open = new Set<Duplex>();
  enclave.onKill(() => {
    for (const stream of open) stream.destroy();
  });
  let listening: ((connection: Duplex) => void) | undefined;
  const latency = (): number => {
    const usual = 0.1 + random.next();
    return random.chance(host.faults.slow) ? usual * 10 ** (1 + 3 * random.next()) : usual;
  };

  const answer = (question: ReadonlyMap<unknown, unknown>, body: Uint8Array): Reply => {
    const t = String(question.get('t'));
    const blob = (bytes: Uint8Array | undefined): Reply =>
      bytes === undefined || bytes.length === 0
        ? { frame: { t: 'absent' } }
        : { frame: { t: 'blob', bytes: bytes.length }, raw: bytes };
    const named = question.get('sha256');
    const sha256 = named instanceof Uint8Array ? named : new Uint8Array(0);
    switch (t) {
      case 'launch':
        return { frame: { t: 'launch', keyArns: parts.keyArns, roots: [] } };
      case 'credentials': {
        const credentials = parts.credentials();
        return { frame: credentials === undefined ? { t: 'absent' } : { t: 'credentials', ...credentials } };
      }
      case 'contribution':
        return blob(
          question.get('earlier') === true ? undefined : parts.contribution(String(question.get('function'))),
        );
      case 'contribution-taken':
        return { frame: { t: 'stored' } };
      case 'record-get':
        return blob(parts.disk.record(sha256));
      case 'keys-get':
        return blob(parts.disk.keys());
      case 'policy-get':
        return blob(parts.policy(String(question.get('digest'))));
      case 'record-put':
      case 'keys-put': {
        if (random.chance(host.faults.refusesToStore)) return { frame: { t: 'refused', reason: 'the disk is full' } };
        const isWhole = createHash('sha256').update(body).digest().equals(sha256);
        if (!isWhole) return { frame: { t: 'refused', reason: 'the bytes are others' } };
        parts.disk.put(sha256, body, t === 'keys-put' ? 'keys' : 'record');
        return { frame: { t: 'stored' } };
      }
      default:
        throw new Error(`the simulated host knows no question ${t}`);
    }
  };

  const serve = (): Duplex => {
    let heard = Buffer.alloc(0);
    let question: ReadonlyMap<unknown, unknown> | undefined;
    let body = 0;
    let done = false;
    const cut = random.chance(host.faults.cut);
    const silent = random.chance(host.faults.silent);
    const hear = (): void => {
      if (question === undefined && heard.length >= 4) {
        const end = 4 + heard.readUInt32BE(0);
        if (heard.length < end) return;
        const decoded = decodeCbor(new Uint8Array(heard.subarray(4, end)), {
          maxBytes: 65_536,
          maxDepth: 3,
          maxItems: 64,
        });
        if (!(decoded instanceof Map)) throw new Error('a question that is no map');
        question = decoded;
        heard = heard.subarray(end);
        const announced: unknown = decoded.get('bytes');
        body = String(decoded.get('t')).endsWith('-put') && typeof announced === 'number' ? announced : 0;
      }
      if (question === undefined || heard.length < body || done) return;
      done = true;
      const [asked, whole] = [question, new Uint8Array(heard.subarray(0, body))];
      simulation.trace(
        () => `${enclave.name} asks its host ${String(asked.get('t'))}${cut ? ' (cut)' : silent ? ' (silent)' : ''}`,
      );
      simulation.after(latency(), () => {
        if (cut || host.down) {
          stream.destroy();
          return;
        }
        const { frame, raw } = answer(asked, whole);
        if (silent) return;
        simulation.after(latency(), () => {
          if (!enclave.alive || stream.destroyed) return;
          stream.push(encodeFrame(encodeCbor(new Map(Object.entries(frame)))));
          if (raw !== undefined) stream.push(Buffer.from(raw));
        });
      });
    };
    const stream = new Duplex({
      read: () => {},
      write: (chunk: Buffer, _, next) => {
        heard = Buffer.concat([heard, chunk]);
        hear();
        next();
      },
    });
    stream.on('error', () => {});
    stream.once('close', () => open.delete(stream));
    open.add(stream);
    return stream;
  };

  const host: SimulatedHost = {
    faults: GOOD_HOST,
    down: false,
    vsock: {
      listen(port, accept) {
        if (port === PORTS.sessions) listening = accept;
        return Promise.resolve({ close: () => Promise.resolve() });
      },
      dial: (_, signal) =>
        new Promise((resolve, reject) => {
          if (signal.aborted) {
            reject(signal.reason);
            return;
          }
          const abort = (): void => {
            stop();
            reject(signal.reason);
          };
          const stop = simulation.after(latency(), () => {
            signal.removeEventListener('abort', abort);
            if (!enclave.alive) return;
            if (host.down || random.chance(host.faults.unreachable))
              reject(new Failure('environment', 'vsock/unreachable', 'the host does not answer'));
            else resolve(serve());
          });
          signal.addEventListener('abort', abort, { once: true });
        }),
    },
    accept(connection) {
      if (listening === undefined) connection.destroy();
      else listening(connection);
    },
  };
  return host;
}
