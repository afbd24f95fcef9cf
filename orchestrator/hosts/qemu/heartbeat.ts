/**
 * The heartbeat that nitro-cli waits for (vsock port 9000): the init sends 0xB7 and gets it back. An image without it runs
 * here all the same; on EC2, nitro-cli would take it for one that did not boot. So its absence is told, and ends nothing.
 */
import type { Duplex } from 'node:stream';

const HEARTBEAT = 0xb7;
const WAIT_MS = 30_000;

export interface Heartbeat {
  /** The handler of host port 9000. */
  readonly answer: (connection: Duplex) => void;
  readonly close: () => void;
}

/** Tells `note` where none came within `waitMs`. */
export function watchHeartbeat(note: (text: string) => void, waitMs: number = WAIT_MS): Heartbeat {
  const timer = setTimeout(
    () => note(`no heartbeat within ${waitMs / 1000} s: nitro-cli would not start this image`),
    waitMs,
  );
  timer.unref();
  return {
    answer(connection) {
      connection.on('error', () => {});
      connection.once('data', (data: Uint8Array) => {
        if (data[0] !== HEARTBEAT) {
          connection.destroy();
          return;
        }
        clearTimeout(timer);
        connection.write(Uint8Array.of(HEARTBEAT));
      });
      connection.once('end', () => connection.end());
    },
    close: () => clearTimeout(timer),
  };
}
