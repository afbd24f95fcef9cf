/**
 * The enclave's way out (host port 8000): it names a host and a port, the relay connects if the policy allows it, and
 * from then on moves bytes. TLS ends inside the enclave, so those bytes are ciphertext here.
 *
 *     enclave -> host   frame { t: "dial", host: text, port: uint }
 *     host -> enclave   frame { t: "dialled" }            then raw bytes both ways
 *                     | frame { t: "refused", reason }    then the end
 *
 * An end of either side is the end of both: what was sent before it is delivered, then all is closed. Nobody's half-close
 * is relied upon, since over vsock there is none.
 */
import { lookup } from 'node:dns/promises';
import { isIP, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { addressOf } from './address.ts';
import type { LocalAwsAddress } from './address.ts';
import { isAllowed } from './allow-list.ts';
import type { Endpoint } from './allow-list.ts';
import { finish, readQuestion, writeReply } from './ask.ts';
import type { Notebook, OpenObservation } from './observations.ts';

/** Why a dial was refused: a closed list, since the enclave's error messages build on it. */
type DialRefusal =
  | 'not-allowed' // the policy's Regions and endpoints do not include it
  | 'no-local-aws' // it stands for the local AWS, and the orchestrator was started without one
  | 'dns-failure' // its name does not resolve
  | 'connection-refused'
  | 'unreachable'
  | 'timeout' // it did not answer in time
  | 'busy'; // this enclave has too many connections open

export interface OutboundLimits {
  /** Connections of one enclave at once. */
  readonly connections: number;
  readonly connectMs: number;
  /** A connection on which nothing moves either way for so long is closed. */
  readonly idleMs: number;
  /** A connection is closed after so long, whatever moves. */
  readonly totalMs: number;
  /** When the enclave's side has ended, the other is given so long for what it still has to say. */
  readonly lastMs: number;
}

const OUTBOUND_LIMITS: OutboundLimits = {
  connections: 64,
  connectMs: 10_000,
  idleMs: 120_000,
  totalMs: 3_600_000,
  lastMs: 2_000,
};

export interface OutboundOptions {
  readonly allow: readonly Endpoint[];
  /** Where `*.accord.test` is. */
  readonly localAws?: LocalAwsAddress | undefined;
  readonly notebook: Notebook;
  readonly limits?: Partial<OutboundLimits>;
}

/** The handler of host port 8000. */
export function outboundService(options: OutboundOptions): (connection: Duplex) => void {
  const limits = { ...OUTBOUND_LIMITS, ...options.limits };
  let open = 0;
  return (connection) => {
    connection.on('error', () => {}); // an abrupt end of the enclave is an end
    open += 1;
    connection.once('close', () => (open -= 1));
    void serve(connection, options, limits, () => open > limits.connections).catch(() => connection.destroy());
  };
}

async function serve(
  connection: Duplex,
  { allow, localAws, notebook }: OutboundOptions,
  limits: OutboundLimits,
  isBusy: () => boolean,
): Promise<void> {
  const question = await readQuestion(connection);
  if (question === undefined) {
    connection.destroy();
    return;
  }
  question.oneOf('t', ['dial']);
  const wanted: Endpoint = {
    host: question.text('host', { min: 1, max: 253 }),
    port: question.uint('port', { min: 1, max: 65_535 }),
  };
  question.done();

  const seen = notebook.outbound(wanted.host, wanted.port);
  const upstream = isBusy() ? 'busy' : await dial(wanted, allow, localAws, limits);
  if (typeof upstream === 'string') {
    seen.closed(`refused: ${upstream}`);
    await writeReply(connection, { t: 'refused', reason: upstream });
    finish(connection);
    return;
  }
  if (connection.destroyed) {
    upstream.destroy();
    seen.closed('the enclave closed it');
    return;
  }
  join(connection, upstream, limits, seen);
  await writeReply(connection, { t: 'dialled' });
  flow(connection, upstream, 'from-enclave', seen);
  flow(upstream, connection, 'to-enclave', seen);
}

async function dial(
  wanted: Endpoint,
  allow: readonly Endpoint[],
  localAws: LocalAwsAddress | undefined,
  limits: OutboundLimits,
): Promise<Socket | DialRefusal> {
  if (!isAllowed(allow, wanted)) return 'not-allowed';
  const target = await addressOf(wanted, localAws);
  if (target === undefined) return 'no-local-aws';
  const address = await resolve(target.host, limits.connectMs);
  if (address === undefined) return 'dns-failure';
  return connectTo(address, target.port, limits.connectMs);
}

/** Undefined where the name does not resolve, or not in time. */
async function resolve(host: string, ms: number): Promise<string | undefined> {
  if (isIP(host) !== 0) return host;
  const { promise: tooLate, cancel } = after(ms);
  try {
    return await Promise.race([lookup(host).then(({ address }) => address), tooLate]);
  } catch {
    return undefined;
  } finally {
    cancel();
  }
}

function after(ms: number): { readonly promise: Promise<undefined>; readonly cancel: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<undefined>((done) => {
    timer = setTimeout(() => done(undefined), ms);
  });
  return { promise, cancel: () => clearTimeout(timer) };
}

function connectTo(host: string, port: number, ms: number): Promise<Socket | DialRefusal> {
  return new Promise((resolve) => {
    const socket = new Socket({ allowHalfOpen: true });
    const timer = setTimeout(() => {
      socket.destroy();
      resolve('timeout');
    }, ms);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.setNoDelay(true);
      resolve(socket);
    });
    // Stays for the life of the socket: a reset is followed by 'close', which is what the relay acts upon.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      resolve(
        error.code === 'ECONNREFUSED' ? 'connection-refused' : error.code === 'ETIMEDOUT' ? 'timeout' : 'unreachable',
      );
    });
    socket.connect({ host, port });
  });
}

/** Ties two ends together: when one ends or breaks the other is closed, and time limits close both. */
function join(connection: Duplex, upstream: Socket, limits: OutboundLimits, seen: OpenObservation): void {
  const timers = new Set<NodeJS.Timeout>();
  const close = (outcome: string): void => {
    for (const timer of timers) clearTimeout(timer);
    seen.closed(outcome);
    connection.destroy();
    upstream.destroy();
  };
  const closeAfter = (ms: number, outcome: string): void => void timers.add(setTimeout(() => close(outcome), ms));
  closeAfter(limits.totalMs, 'closed after its total time');
  upstream.setTimeout(limits.idleMs, () => close('closed after an idle time'));
  // Upstream is done, and the enclave has all of it: what the enclave would still send, nobody would take.
  onEnd(upstream, () => connection.end(() => close('closed')));
  // What the enclave sent has gone out; it may have asked its last question just before.
  onEnd(connection, () => upstream.end(() => closeAfter(limits.lastMs, 'closed')));
  upstream.once('close', (hadError) => {
    // What upstream sent before it closed still belongs to the enclave; a reset is passed on as an abrupt end.
    if (hadError) close('reset by the other side');
    else if (connection.writableFinished || connection.destroyed) close('closed');
  });
  connection.once('close', () => {
    if (connection.readableEnded) upstream.end(() => close('closed'));
    else close('closed');
  });
}

/** Also where the end came before anybody listened for it. */
function onEnd(stream: Duplex, run: () => void): void {
  if (stream.readableEnded) run();
  else stream.once('end', run);
}

/** Moves bytes one way with back-pressure. */
function flow(from: Duplex, to: Duplex, direction: 'to-enclave' | 'from-enclave', seen: OpenObservation): void {
  from.on('data', (chunk: Buffer) => {
    seen.saw(direction, chunk.byteLength);
    if (to.writable && !to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
}
