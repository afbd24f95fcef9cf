/**
 * The computing process: one model in, once; then pixels in and candidates out. It is the only process in which
 * onnxruntime runs. It must be started with ORT_DISABLE_TELEMETRY=1: without it, creating a session looks up a host,
 * opens sockets and writes a database.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Candidate, OutputTensor } from '../functions/candidate.ts';
import { classify } from '../functions/image-classification/compute.ts';
import { outputTensors, type PictureManifest } from '../functions/model-manifest.ts';
import { modelFailure } from '../functions/model-refusal.ts';
import { detect } from '../functions/object-detection/compute.ts';
import { encodeCandidates } from './candidates.ts';
import { FRAME, MODEL_BYTES } from './frames.ts';
import { reason, refuseModel } from './model-words.ts';
import { inspectOnnx } from './onnx/inspect.ts';
import { matchManifest } from './onnx/match-manifest.ts';
import { readFrame, writeFrame } from './pipe.ts';
import { runJail } from './program.ts';
import { createFiller } from './tensor.ts';

/** What the gate wants of the model; JSON before the ONNX bytes. */
export interface ComputeSetup {
  readonly manifest: PictureManifest;
  readonly topK: number;
}

/** The largest model three times (as it came, as read, as optimised), what it computes with, and what Node has. */
const LIMITS = { dataBytes: 2 * 2 ** 30, addressBytes: 8 * 2 ** 30, cpuSeconds: 900 } as const;

/** One thread, no files, no log: an answer must not depend on the machine, and nothing may leave by another way. */
const SESSION = {
  executionProviders: ['cpu'],
  executionMode: 'sequential',
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  graphOptimizationLevel: 'all',
  enableCpuMemArena: true,
  enableMemPattern: true,
  logSeverityLevel: 3,
} as const;

type Compute = (pixels: Uint8Array) => Promise<readonly Candidate[]>;

/** Inspects the model, makes a session of it and tries it, twice, on an even grey picture. Throws `Failure<ModelCode>`. */
async function load(body: Uint8Array): Promise<{ readonly compute: Compute; readonly setup: ComputeSetup }> {
  const length = new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(0);
  const setup: ComputeSetup = JSON.parse(new TextDecoder().decode(body.subarray(4, 4 + length)));
  const onnx = body.subarray(4 + length);
  matchManifest(inspectOnnx(onnx), setup.manifest);
  const session = await InferenceSession.create(onnx, SESSION).catch((error: unknown) => {
    throw modelFailure('model/session-refused', `onnxruntime does not take the model: ${reason(error)}`);
  });
  const compute = prepare(session, setup);
  const { width, height } = setup.manifest.input;
  // Twice: what the first run needed of memory, onnxruntime lays out for the second.
  for (let run = 0; run < 2; run++) await compute(new Uint8Array(width * height * 3).fill(128));
  return { compute, setup };
}

function prepare(session: InferenceSession, { manifest, topK }: ComputeSetup): Compute {
  const filler = createFiller(manifest.input);
  const fetches = outputTensors(manifest.output);
  return async (pixels) => {
    const elements = filler.fill(pixels);
    const tensor =
      elements instanceof Uint8Array
        ? new Tensor('uint8', elements, filler.dims)
        : new Tensor('float32', elements, filler.dims);
    const outputs = await session.run({ [manifest.input.tensor]: tensor }, fetches).catch((error: unknown) => {
      throw modelFailure('model/session-refused', `onnxruntime stopped: ${reason(error)}`);
    });
    return candidates((name) => outputOf(outputs[name], name), manifest, topK);
  };
}

function candidates(
  tensorOf: (name: string) => OutputTensor,
  manifest: PictureManifest,
  topK: number,
): readonly Candidate[] {
  const { output, labels } = manifest;
  return output.kind === 'classification'
    ? classify(tensorOf(output.tensor), output, labels.length, topK)
    : detect(tensorOf, manifest, output, topK);
}

function outputOf(tensor: Tensor | undefined, name: string): OutputTensor {
  if (tensor === undefined || !(tensor.data instanceof Float32Array)) {
    throw modelFailure('model/wrong-output', `${name} is not a tensor of float32`, name);
  }
  return { data: tensor.data, dims: tensor.dims };
}

async function serve(): Promise<void> {
  const first = readFrame({ [FRAME.model]: MODEL_BYTES });
  if (first === undefined) return;
  const loaded = await load(first.body).catch(refuseModel);
  if (loaded === undefined) return;
  const { compute, setup } = loaded;
  const { width, height, colour } = setup.manifest.input;
  const boxes = setup.manifest.output.kind !== 'classification';
  writeFrame(FRAME.ready, []);
  for (;;) {
    const frame = readFrame({ [FRAME.pixels]: width * height * (colour === 'gray' ? 1 : 3) });
    if (frame === undefined) return;
    const found = await compute(frame.body).catch(() => undefined);
    if (found === undefined) writeFrame(FRAME.invalid, []);
    else writeFrame(FRAME.candidates, [encodeCandidates(found, boxes)]);
  }
}

await runJail(LIMITS, serve);
