/**
 * The computing process: one model in, once; then pixels in and candidates out. It is the only process in which
 * onnxruntime runs. It must be started with ORT_DISABLE_TELEMETRY=1: without it, creating a session looks up a host,
 * opens sockets and writes a database.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { refuseDebugger } from '../no-debugger.ts';
import { Failure } from '../../policies/failure.ts';
import type { Candidate, OutputTensor } from '../functions/candidate.ts';
import { classify } from '../functions/image-classification/compute.ts';
import { outputTensors, type ModelManifest } from '../functions/model-manifest.ts';
import { MODEL_CODES, modelFailure } from '../functions/model-refusal.ts';
import { detect } from '../functions/object-detection/compute.ts';
import { encodeCandidates } from './candidates.ts';
import { FRAME, REFUSAL_BYTES } from './frames.ts';
import { inspectOnnx, matchManifest } from './onnx/inspect.ts';
import { readFrame, writeFrame } from './pipe.ts';
import { createFiller } from './tensor.ts';
import { tether, volunteerForTheOomKiller } from './tether.ts';

/** What the gate wants of the model; JSON before the ONNX bytes. */
export interface ComputeSetup {
  readonly manifest: ModelManifest;
  readonly topK: number;
}

/** Longest body the first frame may have: setup and ONNX bytes. */
const MODEL_BYTES = 300_000_000;

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

/** Inspects the model, makes a session of it and tries it on an even grey picture. Throws `Failure<ModelCode>`. */
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
  await compute(new Uint8Array(width * height * 3).fill(128));
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
  manifest: ModelManifest,
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

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Of the model, for its owner alone. */
function refuseModel(error: unknown): void {
  const failure =
    error instanceof Failure ? error : modelFailure('model/session-refused', `it cannot be loaded: ${reason(error)}`);
  const code = MODEL_CODES.findIndex((known) => known === failure.code);
  const words = [failure.message, failure.where === undefined ? '' : ` [${failure.where}]`].join('');
  const text = new TextEncoder().encode(words).subarray(0, REFUSAL_BYTES - 1);
  writeFrame(FRAME.refused, [Uint8Array.of(code), text]);
}

async function main(): Promise<void> {
  refuseDebugger();
  volunteerForTheOomKiller();
  tether();
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

// Whatever goes wrong, the gate sees the pipe close and refuses the one call; nobody reads a stack trace in here.
main().then(
  () => process.exit(0),
  () => process.exit(1),
);
