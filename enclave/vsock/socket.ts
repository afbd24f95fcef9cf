/**
 * Byte streams between the enclave and its host. There is no other way in or out. Two transports fit behind this
 * interface, unix sockets and AF_VSOCK; which one is a line in the measured image.
 */
import type { Duplex } from 'node:stream';

export type VsockCode =
  | 'vsock/unreachable' // nobody answers, or not in time
  | 'vsock/listen-failed'
  | 'vsock/unavailable' // the kernel gives no socket of this kind
  | 'vsock/unsupported'; // this Node does not do what AF_VSOCK needs of it

/** Ports are the same over every transport. */
export const PORTS = {
  /** Guest. One connection is one session of a party. */
  sessions: 5000,
  /** Host. A dial request, then the raw bytes of that connection. */
  outbound: 8000,
  /** Host. What the enclave must be told at its start, and checks against the policy. */
  launch: 8001,
  /** Host. Contributions, encrypted. */
  blobs: 8002,
} as const;

export interface Listener {
  /** Accepts nothing more. Connections that are open stay so. */
  close(): Promise<void>;
}

export interface Vsock {
  listen(port: number, accept: (connection: Duplex) => void): Promise<Listener>;
  dial(port: number, signal: AbortSignal): Promise<Duplex>;
}
