/**
 * A party's session on its way to the enclave (guest port 5000). On the party's side each binary WebSocket message is
 * one frame body; on the enclave's side it has its length before it. The relay checks lengths, moves bytes with
 * back-pressure both ways, and reads nothing: everything after the handshake is sealed, and the handshake is bound
 * into what seals it.
 */
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { frameHead, frameReader } from '../../enclave/protocol/frame.ts';
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { finish } from './ask.ts';
import type { OpenObservation } from './observations.ts';

export interface SessionLimits {
  /** A session on which no frame moves either way for so long is closed: longer than a policy may let an answer wait. */
  readonly idleMs: number;
  /** A session lives so long at most: an hour by the enclave's clock, and what opens it before that. */
  readonly totalMs: number;
  /** Between two pings; a party that has not answered the last one by the next is gone. */
  readonly pingMs: number;
}

export const SESSION_LIMITS: SessionLimits = {
  idleMs: 900_000,
  totalMs: LIMITS.sessionMs + 2 * LIMITS.handshakeMs,
  pingMs: 30_000,
};

/** WebSocket close codes (RFC 6455, 7.4.1), with the reason that the party reads. */
const CLOSE = {
  finished: [1000, 'the enclave closed the session'],
  goingAway: [1001, 'the orchestrator stops'],
  text: [1003, 'only binary messages are relayed'],
  empty: [1002, 'a message of no bytes is no frame'],
  idle: [4408, 'closed after an idle time'],
  expired: [4408, 'closed after its total time'],
  lost: [1011, 'the connection to the enclave broke'],
  enclaveFrame: [1011, 'the enclave sent something that is no frame'],
} as const satisfies Record<string, readonly [number, string]>;

const STOP_MS = 1_000;

export interface RelayedSession {
  /** Resolves when both ends are closed. */
  readonly ended: Promise<void>;
  /** Closes both ends, telling the party that the orchestrator stops. */
  stop(): void;
}

export function relaySession(
  party: WebSocket,
  enclave: Duplex,
  seen: OpenObservation,
  limits: SessionLimits = SESSION_LIMITS,
): RelayedSession {
  const { promise: ended, resolve } = withResolver();
  let isOver = false;
  const close = ([code, reason]: readonly [number, string]): void => {
    if (isOver) return;
    isOver = true;
    seen.closed(reason);
    stopClocks();
    finish(enclave); // what the party sent last still goes out
    party.resume(); // a paused socket would not read the party's own close
    party.close(code, reason);
    if (party.readyState === party.CLOSED) resolve();
  };
  const { touch, stop: stopClocks } = clocks(party, limits, close);

  party.on('close', () => {
    close(CLOSE.finished);
    resolve();
  });
  party.on('error', () => close(CLOSE.lost)); // for instance an oversized message: ws closes with 1009 by itself
  party.on('message', (data, isBinary) => {
    const body = toBytes(data);
    if (isOver) return;
    if (!isBinary) close(CLOSE.text);
    else if (body.byteLength === 0) close(CLOSE.empty);
    else {
      touch();
      seen.saw('to-enclave', body.byteLength);
      // Head and body in one system call, without a copy of the body.
      enclave.cork();
      enclave.write(frameHead(body.byteLength));
      if (!enclave.write(body)) party.pause();
      enclave.uncork();
    }
  });
  enclave.on('drain', () => party.resume());
  enclave.on('error', () => close(CLOSE.lost));
  // A stream whose end was read has closed, whether or not the last frame has reached the party yet.
  enclave.on('close', () => close(enclave.readableEnded && enclave.errored === null ? CLOSE.finished : CLOSE.lost));

  void towardsParty(party, enclave, seen, touch).then(
    () => close(CLOSE.finished),
    () => close(enclave.destroyed ? CLOSE.lost : CLOSE.enclaveFrame),
  );
  return {
    ended,
    stop() {
      close(CLOSE.goingAway);
      setTimeout(() => party.terminate(), STOP_MS).unref(); // one that does not answer holds nobody up
    },
  };
}

/** One frame at a time: the next is taken from the enclave when the last has left for the party. */
async function towardsParty(
  party: WebSocket,
  enclave: Duplex,
  seen: OpenObservation,
  touch: () => void,
): Promise<void> {
  const frames = frameReader(enclave);
  for (;;) {
    const body = await frames.readFrame();
    if (body === undefined) return;
    touch();
    seen.saw('from-enclave', body.byteLength);
    await new Promise<void>((resolve, reject) => {
      party.send(body, { binary: true }, (error) => (error instanceof Error ? reject(error) : resolve()));
    });
  }
}

function clocks(
  party: WebSocket,
  limits: SessionLimits,
  close: (why: readonly [number, string]) => void,
): { readonly touch: () => void; readonly stop: () => void } {
  const idle = setTimeout(() => close(CLOSE.idle), limits.idleMs);
  const total = setTimeout(() => close(CLOSE.expired), limits.totalMs);
  let isAlive = true;
  const ping = setInterval(() => {
    if (!isAlive && !party.isPaused) {
      party.terminate();
      return;
    }
    isAlive = false;
    party.ping();
  }, limits.pingMs);
  party.on('pong', () => (isAlive = true));
  return {
    touch: () => void idle.refresh(),
    stop: () => {
      clearTimeout(idle);
      clearTimeout(total);
      clearInterval(ping);
    },
  };
}

function toBytes(data: RawData): Uint8Array {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return Array.isArray(data) ? Buffer.concat(data) : data;
}

function withResolver(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}
