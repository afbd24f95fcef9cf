/**
 * HTTPS whose TCP is the host's relay and whose TLS ends here: the relay moves ciphertext to the one name that was
 * dialled, and whatever it does with it the certificate must chain to a pinned root, name that host, and be valid at
 * the NSM's time (OpenSSL has looked at the machine's clock, which the host influences).
 */
import { Agent } from 'node:https';
import type { Duplex } from 'node:stream';
import { checkServerIdentity, connect } from 'node:tls';
import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { within } from '../deadline.ts';

export type AgentCode = 'tls/outside-validity' | 'tls/closed';

export interface RelayedTls {
  readonly timers: Timers;
  /** Roots in PEM; nothing else is believed. */
  readonly roots: readonly string[];
  dial(host: string, port: number): Promise<Duplex>;
  /** Milliseconds since 1970, trusted. */
  now(): Promise<number>;
}

/** The whole handshake: a relay that lets through a byte now and then gains nothing by it. */
const HANDSHAKE_MS = 8_000;
/** Before the relay or KMS closes an idle connection, of which over vsock one may not hear, it is closed from here. */
const IDLE_MS = 20_000;

type Created = (error: Error | null, socket?: TLSSocket) => void;

/** An agent for one service. Idle connections are kept, so that the next session saves a handshake. */
export function relayedAgent(tls: RelayedTls): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 32, maxFreeSockets: 4, scheduling: 'lifo', timeout: IDLE_MS });
  const createConnection = (
    options: { readonly host?: string; readonly port?: number },
    created: Created,
  ): undefined => {
    open(tls, options.host ?? '', options.port ?? 443).then(
      (socket) => created(null, socket),
      (error: unknown) => created(error instanceof Error ? error : new Error(String(error))),
    );
    return undefined;
  };
  return Object.assign(agent, { createConnection });
}

async function open(tls: RelayedTls, host: string, port: number): Promise<TLSSocket> {
  const now = await tls.now();
  const relay = await tls.dial(host, port);
  return within(tls.timers, HANDSHAKE_MS, `TLS with ${host}`, (signal) => secure(tls, relay, host, now, signal));
}

function secure(tls: RelayedTls, relay: Duplex, host: string, now: number, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      socket: relay,
      servername: host,
      ca: [...tls.roots],
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: true,
      checkServerIdentity: (name, certificate) =>
        checkServerIdentity(name, certificate) ?? outsideValidity(certificate, now),
    });
    const giveUp = (): void => void socket.destroy(signal.reason instanceof Error ? signal.reason : undefined);
    const end = (settle: () => void): void => {
      signal.removeEventListener('abort', giveUp);
      settle();
    };
    signal.addEventListener('abort', giveUp, { once: true });
    socket.once('secureConnect', () => end(() => resolve(socket)));
    socket.once('error', (error) => {
      relay.destroy();
      end(() => reject(error));
    });
    socket.once('close', () => {
      relay.destroy();
      end(() => reject(new Failure<AgentCode>('environment', 'tls/closed', `${host} closed during TLS`)));
    });
  });
}

/** The first certificate of the chain, leaf first, that is not valid at `now`. */
export function outsideValidity(leaf: PeerCertificate, now: number): Failure<AgentCode> | undefined {
  const seen = new Set<string>();
  let certificate: PeerCertificate | DetailedPeerCertificate | undefined = leaf;
  while (certificate !== undefined && !seen.has(certificate.fingerprint256)) {
    seen.add(certificate.fingerprint256);
    const from = Date.parse(certificate.valid_from);
    const to = Date.parse(certificate.valid_to);
    // Written so that a date that does not parse is a refusal.
    if (!(from <= now && now <= to)) {
      return new Failure('refused', 'tls/outside-validity', 'a TLS certificate is not valid at the time of the NSM');
    }
    certificate = 'issuerCertificate' in certificate ? certificate.issuerCertificate : undefined;
  }
  return undefined;
}
