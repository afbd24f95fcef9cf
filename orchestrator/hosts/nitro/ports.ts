/**
 * The host's vsock ports, one listener each for all enclaves of this machine: whom a connection is for follows from the
 * CID it comes from, which the hypervisor sets and no enclave can choose. A connection from anybody else is closed.
 *
 * An enclave speaks before nitro-cli has told its CID (it waits for the heartbeat first). So while one is being started,
 * a few connections of strangers are held; when the CID is known its own are handed on and the others closed.
 */
import type { Duplex } from 'node:stream';
import { Failure } from '../../../policies/failure.ts';
import type { HostServices } from '../host.ts';

export type PortsCode = 'host/vsock-port-in-use';

/** AF_VSOCK, as far as a parent instance needs it. */
export interface HostVsock {
  /** Rejects when nobody listens, or when the signal is aborted. */
  dial(cid: number, port: number, signal: AbortSignal): Promise<Duplex>;
  /** `accept` gets each connection with the CID of its other end. */
  listen(port: number, accept: (connection: Duplex, peerCid: number) => void): Promise<{ close(): Promise<void> }>;
}

export interface Arrival {
  /** Hands what came from `cid`, and what will come, to the handlers of its ports. The result ends that. */
  adopt(cid: number, handlers: HostServices): () => void;
  /** Closes what was held and not adopted. */
  done(): void;
}

export interface Ports {
  /** Listens on these ports too. */
  open(ports: readonly number[]): Promise<void>;
  /** From now on strangers are held, until `done`. One enclave is started at a time. */
  expect(): Arrival;
  close(): Promise<void>;
}

interface Held {
  readonly connection: Duplex;
  readonly cid: number;
  readonly port: number;
}

const MOST_HELD = 64;
/** CIDs below are the hypervisor, the local loop, the host and the parent instance: no enclave. */
const FIRST_CID = 4;

export function createPorts(vsock: HostVsock): Ports {
  const listeners = new Map<number, { close(): Promise<void> }>();
  const routes = new Map<number, { readonly handlers: HostServices; readonly open: Set<Duplex> }>();
  let held: Held[] | undefined;

  const serve = ({ connection, cid, port }: Held): void => {
    const route = routes.get(cid);
    const handler = route?.handlers[port];
    if (route === undefined || handler === undefined) {
      connection.destroy();
      return;
    }
    route.open.add(connection);
    connection.once('close', () => route.open.delete(connection));
    handler(connection);
  };
  const accept = (arrived: Held): void => {
    arrived.connection.on('error', () => {}); // an abrupt end is an end
    const isStranger = !routes.has(arrived.cid);
    if (!isStranger || held === undefined || held.length >= MOST_HELD || arrived.cid < FIRST_CID) serve(arrived);
    else held.push(arrived);
  };

  return {
    async open(ports) {
      for (const port of ports) {
        if (listeners.has(port)) continue;
        try {
          listeners.set(port, await vsock.listen(port, (connection, cid) => accept({ connection, cid, port })));
        } catch (cause) {
          throw portInUse(port, cause);
        }
      }
    },
    expect() {
      const mine: Held[] = [];
      held = mine;
      return {
        adopt(cid, handlers) {
          const open = new Set<Duplex>();
          routes.set(cid, { handlers, open });
          for (const one of mine.filter((entry) => entry.cid === cid)) serve(one);
          return () => {
            routes.delete(cid);
            for (const connection of open) connection.destroy();
          };
        },
        done() {
          if (held === mine) held = undefined;
          for (const { connection, cid } of mine) if (!routes.has(cid)) connection.destroy();
        },
      };
    },
    async close() {
      await Promise.all([...listeners.values()].map((listener) => listener.close()));
    },
  };
}

function portInUse(port: number, cause: unknown): Failure<PortsCode> {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Failure('environment', 'host/vsock-port-in-use', `vsock port ${port} cannot be listened on: ${why}`, {
    hint:
      'is another `accord up --host nitro` running on this instance? ' +
      'AWS’s own proxy takes port 8000 too, and is not needed: `sudo systemctl disable --now nitro-enclaves-vsock-proxy.service`',
    cause,
  });
}
