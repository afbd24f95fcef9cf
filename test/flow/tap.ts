/**
 * The host as an eavesdropper with perfect memory: everything that passes between enclave and host, both ways, byte for
 * byte. It sits where the local host hands streams over, so nothing of the product knows of it.
 */
import { Duplex } from 'node:stream';
import type { EnclaveHost, HostServices, RunningEnclave } from '../../orchestrator/hosts/host.ts';

export interface Overheard {
  /** `host port 8000, connection 3, from the enclave`. */
  readonly where: string;
  readonly bytes: Uint8Array;
}

export interface Tap {
  overheard(): readonly Overheard[];
  /** What the enclave that was launched last can ask its host, with the tap on it. */
  services(): HostServices;
  on(host: EnclaveHost): EnclaveHost;
}

export function createTap(): Tap {
  const heard = new Map<string, Uint8Array[]>();
  let services: HostServices = {};
  let connections = 0;
  const onStream = (stream: Duplex, port: string): Duplex => {
    const name = `${port}, connection ${(connections += 1)}`;
    return listenedTo(stream, (direction, bytes) => {
      const where = `${name}, ${direction} the enclave`;
      heard.set(where, [...(heard.get(where) ?? []), new Uint8Array(bytes)]);
    });
  };
  const onServices = (asked: HostServices): HostServices =>
    Object.fromEntries(
      Object.entries(asked).map(([port, handler]) => [
        port,
        (connection: Duplex): void => handler(onStream(connection, `host port ${port}`)),
      ]),
    );
  const onEnclave = (enclave: RunningEnclave): RunningEnclave => ({
    ...enclave,
    connect: async (port) => onStream(await enclave.connect(port), `guest port ${port}`),
  });
  return {
    overheard: () => [...heard].map(([where, chunks]) => ({ where, bytes: Buffer.concat(chunks) })),
    services: () => services,
    on: (host) => ({
      ...host,
      async launch(spec, asked, signal) {
        services = onServices(asked);
        return onEnclave(await host.launch(spec, services, signal));
      },
    }),
  };
}

/** The same stream, with somebody listening: what is read comes from the enclave, what is written goes to it. */
function listenedTo(stream: Duplex, hear: (direction: 'from' | 'to', bytes: Uint8Array) => void): Duplex {
  const tapped = new Duplex({
    allowHalfOpen: true,
    read: () => void stream.resume(),
    write(chunk: Uint8Array, _, written) {
      hear('to', chunk);
      stream.write(chunk, written);
    },
    final: (ended) => void stream.end(ended),
    destroy(error, destroyed) {
      stream.destroy();
      destroyed(error);
    },
  });
  stream.on('data', (chunk: Uint8Array) => {
    hear('from', chunk);
    if (!tapped.push(chunk)) stream.pause();
  });
  stream.on('end', () => tapped.push(null));
  stream.on('error', (error) => tapped.destroy(error));
  stream.on('close', () => {
    if (stream.readableEnded && !tapped.readableEnded) tapped.once('end', () => tapped.destroy());
    else tapped.destroy();
  });
  return tapped;
}
