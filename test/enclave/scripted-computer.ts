/** Jails as an argument: answers that follow from the first byte of the input, and every way of not answering. */
import { randomBytes } from 'node:crypto';
import { concat } from '../../enclave/encoding/bytes.ts';
import type { Computer, FunctionAnswer } from '../../enclave/jail/gate-side.ts';
import { orAborted } from '../../enclave/deadline.ts';
import type { StartComputer } from '../../enclave/gate.ts';
import { jailFailure } from '../../enclave/jail/jail-failure.ts';
import type { PictureManifest } from '../../enclave/functions/model-manifest.ts';
import type { ModelPackage } from '../../enclave/functions/model-package.ts';
import { packModel } from '../../enclave/functions/model-package.ts';

/** First bytes of an input, and what becomes of it. */
export const INPUTS = {
  plain: 0x01,
  unreadable: 0x10,
  unfitting: 0x11,
  crash: 0x12,
  hang: 0x13,
  surprise: 0x14,
  broken: 0x15,
  /** Answered when `release` is called. */
  held: 0x16,
} as const;

/** An input that is answered, like no other. */
export const plainInput = (): Uint8Array => Uint8Array.of(INPUTS.plain, ...randomBytes(99));

export interface ScriptedComputers {
  readonly start: StartComputer;
  /** Inputs that were computed, by SHA-256 of the model. */
  readonly computed: { readonly model: string; readonly input: Uint8Array }[];
  /** Inputs at work when the time of their call was over. */
  readonly killed: Uint8Array[];
  /** SHA-256 of the models whose computers were closed. */
  readonly closed: string[];
  /** Lets every held input go on. */
  release(): void;
  /** Thrown by the next start. */
  refuse: Error | undefined;
}

export function createScriptedComputers(): ScriptedComputers {
  let waiting: (() => void)[] = [];
  const computers: ScriptedComputers = {
    computed: [],
    killed: [],
    closed: [],
    refuse: undefined,
    release() {
      for (const go of waiting.splice(0)) go();
      waiting = [];
    },
    start: ({ model }) => {
      if (computers.refuse !== undefined) return Promise.reject(computers.refuse);
      return Promise.resolve(computer(model));
    },
  };

  const computer = (model: ModelPackage): Computer => ({
    async run(pieces, { signal }) {
      // A copy: what is wiped after the call stays here.
      const input = concat(...pieces);
      computers.computed.push({ model: model.sha256, input });
      signal.addEventListener('abort', () => computers.killed.push(input), { once: true });
      return orAborted(outcome(input[0] ?? 0, model), signal).catch((error: unknown) => {
        throw signal.aborted ? jailFailure('jail/compute-timeout', 'not done in time') : error;
      });
    },
    pids: () => [],
    close: () => {
      computers.closed.push(model.sha256);
      return Promise.resolve();
    },
  });

  const outcome = async (first: number, model: ModelPackage): Promise<FunctionAnswer> => {
    const label = model.manifest.labels[first % model.manifest.labels.length] ?? '';
    const answer = { labels: [{ label, score: 0.5 }] };
    switch (first) {
      case INPUTS.unreadable:
        throw jailFailure('jail/input-invalid', 'this is not a picture');
      case INPUTS.unfitting:
        throw jailFailure('jail/output-invalid', 'no answer of the function');
      case INPUTS.crash:
        throw jailFailure('jail/compute-failed', 'the process ended before it had an answer');
      case INPUTS.hang:
        throw jailFailure('jail/compute-timeout', 'not done in time');
      case INPUTS.surprise:
        throw new TypeError('a bug of ours');
      case INPUTS.broken:
        return { labels: [{ label: 'x'.repeat(2000), score: 7 }] };
      case INPUTS.held:
        await new Promise<void>((resolve) => waiting.push(resolve));
        return answer;
      default:
        return answer;
    }
  };
  return computers;
}

export const MANIFEST: PictureManifest = {
  apiVersion: 'accord/v1',
  name: 'scripted',
  labels: ['benign', 'malignant', 'unclear'],
  input: {
    tensor: 'x',
    dtype: 'float32',
    layout: 'NCHW',
    width: 8,
    height: 8,
    colour: 'RGB',
    resize: { mode: 'stretch' },
  },
  output: { kind: 'classification', tensor: 'y', activation: 'softmax' },
};

/** A package whose manifest is in order and whose weights are `seed`. */
export function testModel(seed: string): Uint8Array {
  return packModel(JSON.stringify(MANIFEST), new TextEncoder().encode(`not ONNX: ${seed}`));
}
