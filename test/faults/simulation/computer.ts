/** Jails: an answer that follows from model and input, after a while; sometimes none. */
import { createHash } from 'node:crypto';
import type { PictureManifest } from '../../../enclave/functions/model-manifest.ts';
import { packModel } from '../../../enclave/functions/model-package.ts';
import type { StartComputer } from '../../../enclave/gate.ts';
import { jailFailure } from '../../../enclave/jail/jail-failure.ts';
import type { Prng } from './prng.ts';
import type { Process } from './process.ts';

const LABELS = Array.from({ length: 100 }, (_, i) => `label ${i}`);

const MANIFEST: PictureManifest = {
  apiVersion: 'accord/v1',
  name: 'simulated',
  labels: LABELS,
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

/** A package whose manifest is in order and whose weights are a number. */
export function modelPackage(number: number): Uint8Array {
  return packModel(JSON.stringify(MANIFEST), new TextEncoder().encode(`weights ${number}`));
}

/** The answer (JSON) of the model with this digest to the input of these bytes (hex). */
export function expectedAnswer(model: string, input: string): string {
  const label = LABELS[createHash('sha256').update(`${model} ${input}`).digest().readUInt32BE(0) % LABELS.length] ?? '';
  return JSON.stringify({ labels: [{ label, score: 0.5 }] });
}

export function simulatedComputers(process: Process, random: Prng, fails: () => number): StartComputer {
  return ({ model }) =>
    Promise.resolve({
      run: (input, { signal }) => {
        const answer = expectedAnswer(model.sha256, Buffer.concat(input).toString('hex'));
        const [fail, hang] = [random.chance(fails()), random.chance(0.3)];
        return new Promise((resolve, reject) => {
          const late = (): void => reject(jailFailure('jail/compute-timeout', 'not done in time'));
          signal.addEventListener('abort', late, { once: true });
          if (fail && hang) return;
          process.timers(1 + 40 * random.next(), () => {
            if (!fail) resolve(JSON.parse(answer));
            else reject(jailFailure('jail/compute-failed', 'the process ended before it had an answer'));
          });
        });
      },
      pids: () => [],
      close: () => Promise.resolve(),
    });
}
