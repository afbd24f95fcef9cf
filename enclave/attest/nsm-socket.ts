/**
 * The NSM over a unix socket, for the local host: requests and responses exactly as `/dev/nsm` takes and gives them, each
 * behind its length as four bytes, big-endian. One request at a time on one connection.
 */
import type { Duplex } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import type { FrameReader } from '../protocol/frame.ts';
import { frameReader, writeFrame } from '../protocol/frame.ts';
import type { NsmTransport } from './device.ts';
import { NSM_LIMITS } from './device.ts';

export type NsmSocketCode = 'nsm/closed';

interface Line {
  readonly stream: Duplex;
  readonly reader: FrameReader;
}

export function nsmOverSocket(connect: () => Promise<Duplex>): NsmTransport {
  let line: Line | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  const opened = async (): Promise<Line> => {
    if (line !== undefined && !line.stream.destroyed && line.stream.readable) return line;
    const stream = await connect();
    line = { stream, reader: frameReader(stream, NSM_LIMITS.responseBytes) };
    return line;
  };

  const once = async (request: Uint8Array): Promise<Uint8Array> => {
    const { stream, reader } = await opened();
    try {
      await writeFrame(stream, request);
      const response = await reader.readFrame();
      if (response !== undefined) return response;
    } catch (cause) {
      // After a fault nobody knows where in the exchange the other side is.
      stream.destroy();
      throw cause;
    }
    throw new Failure<NsmSocketCode>('environment', 'nsm/closed', 'the NSM closed the connection');
  };

  return {
    exchange(request) {
      const response = queue.then(() => once(request));
      queue = response.catch(() => {});
      return response;
    },
    close: () => void line?.stream.destroy(),
  };
}
