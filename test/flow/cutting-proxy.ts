/** A wire between a party and the orchestrator that breaks when the answer to a call comes, and loses it. */
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';

export interface CuttingProxy {
  readonly url: string;
  /** How often it cut. */
  cuts(): number;
  close(): Promise<void>;
}

/** More than handshake and authentication send, less than they send with a picture after them. */
const SENT_WITH_INPUT = 24_576;

/** Once a connection has sent a whole input, the next bytes from the other side are lost, and the connection with them. */
export async function cuttingProxy(target: string): Promise<CuttingProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let cuts = 0;
  const server = createServer((party) => {
    const orchestrator = connect(Number(port), hostname);
    let sent = 0;
    for (const socket of [party, orchestrator]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => (party.destroy(), orchestrator.destroy(), sockets.delete(socket)));
    }
    party.on('data', (data) => {
      sent += data.length;
      orchestrator.write(data);
    });
    orchestrator.on('data', (data) => {
      if (sent < SENT_WITH_INPUT) party.write(data);
      else {
        cuts += 1;
        party.destroy();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the proxy does not listen');
  return {
    url: `http://127.0.0.1:${address.port}`,
    cuts: () => cuts,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
