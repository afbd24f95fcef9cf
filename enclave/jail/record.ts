/**
 * The reading process of records: JSON in, a vector of one fixed length out. It holds no tree, no keys and no sockets.
 */
import { FRAME, RECORD_PLAN_BYTES, UNREADABLE_BYTES } from './frames.ts';
import { readFrame, writeFrame } from './pipe.ts';
import { runJail } from './program.ts';
import { RECORD_REFUSALS } from './record-refusal.ts';
import { readRecord, type RecordPlan } from './record-vector.ts';

/** A record is small; this is what Node has. */
const LIMITS = { dataBytes: 512 * 2 ** 20, addressBytes: 8 * 2 ** 30, cpuSeconds: 60 } as const;

function serve(): void {
  const first = readFrame({ [FRAME.plan]: RECORD_PLAN_BYTES });
  if (first === undefined) return;
  const plan: RecordPlan = JSON.parse(new TextDecoder().decode(first.body));
  // The first record of a process takes longer. This one is nobody's.
  const blank = Object.fromEntries(plan.features.map((name) => [name, 0.5]));
  readRecord(new TextEncoder().encode(JSON.stringify({ features: blank })), plan);
  writeFrame(FRAME.ready, []);
  for (;;) {
    const frame = readFrame({ [FRAME.input]: plan.maxBytes });
    if (frame === undefined) return;
    const read = readRecord(frame.body, plan);
    if (read instanceof Uint8Array) {
      writeFrame(FRAME.vector, [read]);
      continue;
    }
    const body = new Uint8Array(UNREADABLE_BYTES);
    const view = new DataView(body.buffer);
    view.setUint8(0, RECORD_REFUSALS[read.reason]);
    view.setUint32(1, read.place);
    writeFrame(FRAME.unreadable, [body]);
  }
}

await runJail(LIMITS, serve);
