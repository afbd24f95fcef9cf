/**
 * The gate's side of computing: it starts the jails, carries bytes between them, and writes the answer itself. It never
 * parses a picture or a model, and takes from a jail only counts, indexes and numbers, each within its bounds.
 */
import { dirname } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import type { ModelFunctionKind, ModelFunctionPolicy } from '../../policies/model.ts';
import type { Candidate } from '../functions/candidate.ts';
import type { Timers } from '../deadline.ts';
import { rebuildLabels, type ClassificationAnswer } from '../functions/image-classification/answer.ts';
import { channelsOf } from '../functions/model-manifest.ts';
import type { ModelPackage } from '../functions/model-package.ts';
import { MODEL_CODES, modelFailure } from '../functions/model-refusal.ts';
import { rebuildObjects, type DetectionAnswer } from '../functions/object-detection/answer.ts';
import { MEDIA_TYPES, type Picture } from '../functions/picture.ts';
import { validateInput } from '../functions/validators.ts';
import { candidateBytes, decodeCandidates } from './candidates.ts';
import { FRAME, PICTURE_HEADER_BYTES, REFUSAL_BYTES, UNREADABLE_BYTES } from './frames.ts';
import { place, toPicture } from './geometry.ts';
import { jailFailure } from './jail-failure.ts';
import { spawnJail, type Jail, type JailSpec } from './process.ts';
import { createSupply } from './supply.ts';
import { explainUnreadable } from './unreadable.ts';

/** Where the processes come from. */
export interface JailPaths {
  /** The Node binary. */
  readonly node: string;
  /** Entry files of the two processes, with `sharp` and `onnxruntime-node` to be found from where they stand. */
  readonly decode: string;
  readonly compute: string;
  /** An empty folder for them to stand in. Default: the folder of their entry files. */
  readonly cwd?: string;
}

export interface ComputerOptions {
  readonly kind: ModelFunctionKind;
  readonly model: ModelPackage;
  readonly policy: ModelFunctionPolicy;
  readonly paths: JailPaths;
  readonly timers: Timers;
  /** Aborting it while the computer starts ends what was started. */
  readonly signal?: AbortSignal;
  /** Time that loading the model and trying it may take. Default 60 s. */
  readonly loadTimeoutMs?: number;
}

/** An answer as the gate wrote it: labels from the manifest, numbers rounded. Its schema is for the caller to hold it to. */
export type FunctionAnswer = ClassificationAnswer | DetectionAnswer;

export interface Computer {
  /**
   * One call. `input` must not change until it is done. Rejects with `Failure<JailCode>`; the message is for the caller.
   * `timeoutMs` counts from now, waiting for another party's call included; a jail at work is then killed.
   */
  run(input: Uint8Array, options: { readonly timeoutMs: number }): Promise<FunctionAnswer>;
  /** Processes alive now. */
  pids(): readonly number[];
  /** Resolves when no process is left. */
  close(): Promise<void>;
}

/**
 * One jail of each kind at work at a time, and it serves one call: nothing that it saw or became is left for the next. A
 * spare that is warm already hides what that costs.
 */
const LIFE = { lanes: 1, spares: 1, callsPerJail: 1 } as const;
/** From an answer to the start of its jails' successors: the answer leaves first. */
const AFTER_MS = 50;
/** Starting a process and loading a library, on a busy machine. */
const START_MS = 30_000;
const LOAD_MS = 60_000;

/**
 * Starts both processes; the computing one inspects the model, loads it and tries it. Throws `Failure<ModelCode>` where
 * the model is refused, `Failure<JailCode>` where the processes do not start, and the signal's reason.
 */
export async function startComputer(options: ComputerOptions): Promise<Computer> {
  const { kind, model, policy, timers, signal } = options;
  const waiting = new Set<() => void>();
  const later = (run: () => void): void => void waiting.add(run);
  const decoders = createSupply({ ...LIFE, ...decoder(options), later });
  const computers = createSupply({ ...LIFE, ...computer(options), later });
  const makeSuccessors = (): void => {
    for (const run of waiting) run();
    waiting.clear();
  };
  const close = async (): Promise<void> => {
    await Promise.all([decoders.close(), computers.close()]);
  };
  const aborted = (): void => void close();
  signal?.addEventListener('abort', aborted, { once: true });
  try {
    signal?.throwIfAborted();
    await Promise.all([decoders.start(), computers.start()]);
  } catch (error) {
    await close();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', aborted);
  }

  return {
    async run(input, { timeoutMs }) {
      if (input.length === 0) throw jailFailure('jail/input-invalid', 'the input is empty');
      if (input.length > policy.input.maxBytes) {
        const message = `the input has ${input.length} bytes; the policy takes at most ${policy.input.maxBytes}`;
        throw jailFailure('jail/input-invalid', message);
      }
      const late = new AbortController();
      const why = jailFailure('jail/compute-timeout', `the computation was not done in ${timeoutMs} ms`);
      const stop = timers(timeoutMs, () => late.abort(why));
      try {
        const decoded = await decoders.use((jail) => decodeIn(jail, input, model), late.signal);
        const fault = validateInput(kind, decoded.picture);
        if (fault !== undefined) throw jailFailure('jail/input-invalid', `the picture is not taken: ${fault}`);
        const found = await computers.use((jail) => computeIn(jail, decoded.pixels, options), late.signal);
        return answer(found, decoded.picture, options);
      } catch (error) {
        throw forCaller(error);
      } finally {
        stop();
        timers(AFTER_MS, makeSuccessors);
      }
    },
    pids: () => [...decoders.pids(), ...computers.pids()],
    close,
  };
}

/** A fresh process that could not be made ready says why in words for the model's owner: not for whoever calls. */
function forCaller(error: unknown): unknown {
  const known = error instanceof Failure && error.code.startsWith('jail/') && error.code !== 'jail/not-started';
  return known ? error : jailFailure('jail/compute-failed', 'no process could be made ready for this call');
}

interface Kind {
  readonly spawn: () => Jail;
  readonly prepare: (jail: Jail) => Promise<void>;
}

const spec = (paths: JailPaths, entry: string, env: Readonly<Record<string, string>>): JailSpec => ({
  node: paths.node,
  entry,
  cwd: paths.cwd ?? dirname(entry),
  env,
});

const pixelBytes = ({ manifest: { input } }: ModelPackage): number =>
  input.width * input.height * channelsOf(input.colour);

function decoder({ paths, policy, model, timers }: ComputerOptions): Kind {
  const { width, height, resize, colour } = model.manifest.input;
  const plan = { width, height, resize, channels: channelsOf(colour), maxBytes: policy.input.maxBytes };
  return {
    spawn: () => spawnJail(spec(paths, paths.decode, {})),
    prepare: async (jail) => {
      const failed = jailFailure(
        'jail/not-started',
        `the decoding process did not start (${paths.node} ${paths.decode})`,
      );
      const asked = jail.ask(FRAME.plan, [json(plan)], { [FRAME.ready]: 0 }).catch(() => Promise.reject(failed));
      await inTime(timers, asked, jail, START_MS, failed);
    },
  };
}

function computer({ paths, policy, model, timers, loadTimeoutMs = LOAD_MS }: ComputerOptions): Kind {
  const setup = json({ manifest: model.manifest, topK: policy.output.topK });
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, setup.length);
  const limits = { [FRAME.ready]: 0, [FRAME.refused]: REFUSAL_BYTES };
  return {
    // Without this, onnxruntime opens sockets and writes a database; with nothing else, there is nothing to learn.
    spawn: () => spawnJail(spec(paths, paths.compute, { ORT_DISABLE_TELEMETRY: '1' })),
    prepare: async (jail) => {
      const late = modelFailure('model/too-slow', `loading and one run took longer than ${loadTimeoutMs} ms`);
      const crashed = modelFailure('model/crashed', 'the computing process ended while it loaded the model');
      const asked = jail.ask(FRAME.model, [length, setup, model.onnx], limits).catch(() => Promise.reject(crashed));
      const reply = await inTime(timers, asked, jail, loadTimeoutMs, late);
      if (reply.type === FRAME.refused) {
        await jail.kill();
        throw refusal(reply.body);
      }
    },
  };
}

/** The outcome, or `late` after `ms`, with the jail killed. */
async function inTime<T>(timers: Timers, outcome: Promise<T>, jail: Jail, ms: number, late: Error): Promise<T> {
  let stop = (): void => {};
  const timeout = new Promise<never>((_, reject) => {
    stop = timers(ms, () => {
      reject(late);
      void jail.kill();
    });
  });
  try {
    return await Promise.race([outcome, timeout]);
  } catch (error) {
    await jail.kill();
    throw error;
  } finally {
    stop();
  }
}

/** Why the model is not taken, in a jail's words: its owner alone reads them, and they are kept to plain text. */
function refusal(body: Uint8Array): Error {
  const code = MODEL_CODES[body[0] ?? -1] ?? 'model/crashed';
  const words = new TextDecoder().decode(body.subarray(1)).replaceAll(/[^\x20-\x7e]+/g, ' ');
  return modelFailure(code, words.slice(0, 400), 'ONNX file');
}

interface DecodedPicture {
  readonly picture: Picture;
  readonly pixels: Uint8Array;
}

async function decodeIn(jail: Jail, input: Uint8Array, model: ModelPackage): Promise<DecodedPicture> {
  const bytes = PICTURE_HEADER_BYTES + pixelBytes(model);
  const reply = await jail.ask(FRAME.input, [input], { [FRAME.pixels]: bytes, [FRAME.unreadable]: UNREADABLE_BYTES });
  const view = new DataView(reply.body.buffer, reply.body.byteOffset, reply.body.byteLength);
  if (reply.type === FRAME.unreadable && reply.body.length === UNREADABLE_BYTES) {
    const why = explainUnreadable(view.getUint8(0), view.getUint32(1), view.getUint32(5));
    if (why !== undefined) throw jailFailure('jail/input-invalid', why);
  }
  const mediaType = reply.body.length === bytes ? MEDIA_TYPES[view.getUint8(8)] : undefined;
  if (mediaType === undefined) return brokeProtocol(jail);
  const picture = { mediaType, bytes: input.length, width: view.getUint32(0), height: view.getUint32(4) };
  return { picture, pixels: reply.body.subarray(PICTURE_HEADER_BYTES) };
}

async function computeIn(
  jail: Jail,
  pixels: Uint8Array,
  { model, policy }: ComputerOptions,
): Promise<readonly Candidate[]> {
  const boxes = model.manifest.output.kind !== 'classification';
  const most = policy.output.topK * candidateBytes(boxes);
  const reply = await jail.ask(FRAME.pixels, [pixels], { [FRAME.candidates]: most, [FRAME.invalid]: 0 });
  if (reply.type === FRAME.invalid) {
    throw jailFailure('jail/output-invalid', "the model's output for this input is no answer of the function");
  }
  return decodeCandidates(reply.body, boxes) ?? brokeProtocol(jail);
}

async function brokeProtocol(jail: Jail): Promise<never> {
  await jail.kill();
  throw jailFailure('jail/compute-failed', 'the process broke the protocol');
}

/** Writes the answer from indexes and numbers. */
function answer(
  found: readonly Candidate[],
  picture: Picture,
  { kind, model, policy }: ComputerOptions,
): FunctionAnswer {
  const { labels, input } = model.manifest;
  const back = place(input, picture.width, picture.height);
  const output =
    kind === 'image-classification'
      ? rebuildLabels(found, labels, policy.output)
      : rebuildObjects(found, labels, policy.output, (x, y) => toPicture(input, back, x, y));
  if (output === undefined) {
    throw jailFailure('jail/output-invalid', "the model's output for this input is no answer of the function");
  }
  return output;
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
