/**
 * The walking process: one tree in, once; then vectors in and indexes of labels out, by the oblivious kernel.
 */
import type { TreeBounds } from '../../policies/model.ts';
import { createKernel, instantiateKernel, type Kernel } from '../functions/decision-tree/kernel.ts';
import type { TreeManifest } from '../functions/model-manifest.ts';
import { FRAME, MODEL_BYTES } from './frames.ts';
import { refuseModel } from './model-words.ts';
import { readFrame, writeFrame } from './pipe.ts';
import { runJail } from './program.ts';
import { readTree } from './tree-file.ts';

/** What the gate wants of the tree; JSON before the file's bytes. */
export interface TreeSetup {
  readonly manifest: TreeManifest;
  readonly bounds: TreeBounds;
}

/** The largest package as it came, and what Node has. V8 reserves 10 GiB of addresses around a memory of any size. */
const LIMITS = { dataBytes: 2 ** 30, addressBytes: 32 * 2 ** 30, cpuSeconds: 120 } as const;

interface Loaded {
  readonly kernel: Kernel;
  readonly bounds: TreeBounds;
}

function load(body: Uint8Array): Loaded {
  const length = new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(0);
  const { manifest, bounds }: TreeSetup = JSON.parse(new TextDecoder().decode(body.subarray(4, 4 + length)));
  const kernel = createKernel(readTree(body.subarray(4 + length), manifest, bounds), bounds, instantiateKernel());
  // The first walk of a process takes longer. This one is nobody's.
  kernel.evaluate(new Uint8Array(4 * bounds.features));
  return { kernel, bounds };
}

function serve(): void {
  const first = readFrame({ [FRAME.model]: MODEL_BYTES });
  if (first === undefined) return;
  let loaded: Loaded;
  try {
    loaded = load(first.body);
  } catch (error) {
    refuseModel(error);
    return;
  }
  writeFrame(FRAME.ready, []);
  const { kernel, bounds } = loaded;
  for (;;) {
    const frame = readFrame({ [FRAME.vector]: 4 * bounds.features });
    if (frame === undefined) return;
    const label = new Uint8Array(2);
    new DataView(label.buffer).setUint16(0, kernel.evaluate(frame.body));
    writeFrame(FRAME.label, [label]);
  }
}

await runJail(LIMITS, serve);
