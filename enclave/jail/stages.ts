/**
 * What computing is made of, whatever the function: one jail reads the input, another computes, and the gate says to each
 * what it is for.
 */
import { dirname } from 'node:path';
import type { Timers } from '../deadline.ts';
import type { TreeAnswer } from '../functions/decision-tree/answer.ts';
import type { ClassificationAnswer } from '../functions/image-classification/answer.ts';
import { MODEL_CODES, modelFailure } from '../functions/model-refusal.ts';
import type { DetectionAnswer } from '../functions/object-detection/answer.ts';
import { DETAIL_CHARACTERS } from '../protocol/answer.ts';
import { FRAME, REFUSAL_BYTES } from './frames.ts';
import { jailFailure } from './jail-failure.ts';
import type { Prison } from './prison.ts';
import { spawnJail, type Jail } from './process.ts';

/** Where the processes come from. */
export interface JailPaths {
  /** The Node binary. */
  readonly node: string;
  /** Entry files: of pictures, with `sharp` and `onnxruntime-node` to be found from where they stand, and of trees. */
  readonly decode: string;
  readonly compute: string;
  readonly record: string;
  readonly tree: string;
  /** An empty folder for them to stand in. Default: the folder of their entry files. */
  readonly cwd?: string;
  /** How they are started. */
  readonly prison: Prison;
}

/** An answer as the gate wrote it: labels from the manifest, numbers rounded. Its schema is for the caller to hold it to. */
export type FunctionAnswer = ClassificationAnswer | DetectionAnswer | TreeAnswer;

export interface JailKind {
  readonly spawn: () => Jail;
  /** Makes a jail ready for its first call. Rejecting, it has killed the jail. */
  readonly prepare: (jail: Jail) => Promise<void>;
  /** Has the jail that is next take a call's memory beforehand; the others stay small. Rejecting, it has killed the jail. */
  readonly prefault?: (jail: Jail) => Promise<void>;
}

/** Runs `work` with a jail of this call's own. */
export type Use = <T>(work: (jail: Jail) => Promise<T>) => Promise<T>;

export interface Stages {
  readonly reader: JailKind;
  readonly computer: JailKind;
  /** One call. Rejects with `Failure<JailCode>`. */
  run(input: readonly Uint8Array[], useReader: Use, useComputer: Use): Promise<FunctionAnswer>;
}

export interface StageOptions {
  readonly paths: JailPaths;
  readonly timers: Timers;
  /** The model's file. */
  readonly file: Uint8Array;
}

/** Starting a process and loading a library, on a busy machine. */
const START_MS = 30_000;
/** Loading the model and trying it, twice. */
export const LOAD_MS = 60_000;

/** A process that reads inputs, once it knows what is wanted of them. */
export function readerOf(
  { paths, timers }: StageOptions,
  entry: string,
  env: Readonly<Record<string, string>>,
  plan: unknown,
): JailKind {
  return {
    spawn: () => start(paths, entry, env),
    prepare: async (jail) => {
      const failed = jailFailure('jail/not-started', `the reading process did not start (${paths.node} ${entry})`);
      const asked = jail.ask(FRAME.plan, [json(plan)], { [FRAME.ready]: 0 }).catch(() => Promise.reject(failed));
      await inTime(timers, asked, jail, START_MS, failed);
    },
  };
}

/** The same, once it has taken the memory of a call from the kernel. */
export function prefaulting(kind: JailKind, { timers }: StageOptions): JailKind {
  return {
    ...kind,
    prefault: async (jail) => {
      const failed = jailFailure('jail/not-started', 'the reading process did not take its memory');
      const asked = jail.ask(FRAME.prefault, [], { [FRAME.ready]: 0 }).catch(() => Promise.reject(failed));
      await inTime(timers, asked, jail, START_MS, failed);
    },
  };
}

/** A process that computes, once it has taken the model. */
export function computerOf(
  { paths, timers, file }: StageOptions,
  entry: string,
  env: Readonly<Record<string, string>>,
  setup: unknown,
): JailKind {
  const said = json(setup);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, said.length);
  const limits = { [FRAME.ready]: 0, [FRAME.refused]: REFUSAL_BYTES };
  return {
    spawn: () => start(paths, entry, env),
    prepare: async (jail) => {
      const late = modelFailure('model/too-slow', `loading and two runs took longer than ${LOAD_MS} ms`);
      const crashed = modelFailure('model/crashed', 'the computing process ended while it loaded the model');
      const asked = jail.ask(FRAME.model, [length, said, file], limits).catch(() => Promise.reject(crashed));
      const reply = await inTime(timers, asked, jail, LOAD_MS, late);
      if (reply.type === FRAME.refused) {
        await jail.kill();
        throw refusal(reply.body);
      }
    },
  };
}

function start({ node, cwd, prison }: JailPaths, entry: string, env: Readonly<Record<string, string>>): Jail {
  return spawnJail({ node, entry, cwd: cwd ?? dirname(entry), env }, prison);
}

/** Ends a jail that said what it may not. */
export async function brokeProtocol(jail: Jail): Promise<never> {
  await jail.kill();
  throw jailFailure('jail/compute-failed', 'the process broke the protocol');
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
  return modelFailure(code, words.slice(0, DETAIL_CHARACTERS), "the model's file");
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
