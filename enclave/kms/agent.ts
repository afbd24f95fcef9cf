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

export type AgentCode = 'tls/outside-validity' | 'tls/handshake-timeout';

export interface RelayedTls {
  /** Roots in PEM; nothing else is believed. */
  readonly roots: readonly string[];
  dial(host: string, port: number): Promise<Duplex>;
  /** Milliseconds since 1970, trusted. */
  now(): Promise<number>;
}

/** Of silence during the handshake. */
const HANDSHAKE_MS = 8_000;

type Created = (error: Error | null, socket?: TLSSocket) => void;

/** An agent for one service. Idle connections are kept, so that the next session saves a handshake. */
export function relayedAgent(tls: RelayedTls): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 32, maxFreeSockets: 4, scheduling: 'lifo' });
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
    socket.setTimeout(HANDSHAKE_MS, () =>
      socket.destroy(
        new Failure<AgentCode>('environment', 'tls/handshake-timeout', `${host} did not finish TLS in time`),
      ),
    );
    socket.once('secureConnect', () => {
      socket.setTimeout(0);
      resolve(socket);
    });
    socket.once('error', (error) => {
      relay.destroy();
      reject(error);
    });
    socket.once('close', () => {
      relay.destroy();
      reject(new Error('the connection closed during the TLS handshake'));
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
