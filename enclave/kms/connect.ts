/** AWS for one enclave: through the host's relay, TLS ending here, under the policy's roots, at the policy's endpoints. */
import type { Duplex } from 'node:stream';
import type { Trust } from '../../policies/model.ts';
import type { Timers } from '../deadline.ts';
import { within } from '../deadline.ts';
import { relayedAgent } from './agent.ts';
import type { AwsSettings } from './aws.ts';
import type { Kms } from './client.ts';
import { createKms } from './client.ts';
import { tlsRoots } from './tls-roots.ts';

export interface AwsConnection {
  readonly trust: Trust;
  /** DER, as the host handed them over. */
  readonly offeredRoots: readonly Uint8Array[];
  /** PEM, those that come with Node. */
  readonly carriedRoots: readonly string[];
  dial(host: string, port: number, signal: AbortSignal): Promise<Duplex>;
  /** Trusted time, and the machine's, with which the SDK signs. Milliseconds since 1970. */
  readonly now: () => Promise<number>;
  wallClock(): number;
  readonly timers: Timers;
}

/** Less than the SDK's own patience, so that its retry comes in time for the session. */
const DIAL_MS = 8_000;

export interface ConnectedAws {
  readonly kms: Kms;
  /** For the clients of other services: the same connections, time and endpoints. */
  readonly settings: AwsSettings;
}

/** Throws `tls/…` where the roots are not those of the policy. */
export async function connectAws(connection: AwsConnection): Promise<ConnectedAws> {
  const { trust, timers, now } = connection;
  const roots = await tlsRoots(trust, connection.offeredRoots, connection.carriedRoots);
  const dial = (host: string, port: number): Promise<Duplex> =>
    within(timers, DIAL_MS, `dialling ${host}`, (signal) => connection.dial(host, port, signal));
  const agent = relayedAgent({ roots, now, dial, timers });
  const settings = { trust, agent, clockOffset: async () => (await now()) - connection.wallClock() };
  return { kms: createKms(settings), settings };
}
