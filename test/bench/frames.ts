/** A party's frames straight to the gate, without an orchestrator between: what is measured is the machine. */
import type { Duplex } from 'node:stream';
import { frameReader, writeFrame } from '../../enclave/protocol/frame.ts';
import type { FrameChannel } from '../../parties/session/channel.ts';

export function overStream(stream: Duplex): FrameChannel {
  const reader = frameReader(stream);
  stream.on('error', () => {}); // whoever sends or receives learns of it
  return {
    send: (body, signal) => writeFrame(stream, body, signal),
    async receive(signal) {
      const body = await reader.readFrame(signal);
      if (body === undefined) throw new Error('the enclave hung up');
      return body;
    },
    async close() {
      stream.destroy();
    },
  };
}
