/**
 * The gate's side of computing: it starts the jails, carries bytes between them, and writes the answer itself. It never
 * parses an input or a model, and takes from a jail only counts, indexes and numbers, each within its bounds.
 */
import { Failure } from '../../policies/failure.ts';
import type { ModelFunctionKind, ModelFunctionPolicy } from '../../policies/model.ts';
import { callersOf } from '../../policies/quota.ts';
import type { Timers } from '../deadline.ts';
import { totalBytes } from '../encoding/bytes.ts';
import { isTreeManifest } from '../functions/model-manifest.ts';
import type { ModelPackage } from '../functions/model-package.ts';
import { modelFailure } from '../functions/model-refusal.ts';
import { jailFailure } from './jail-failure.ts';
import type { Nursery } from './nursery.ts';
import { createPartySupply } from './party-supply.ts';
import { pictureStages } from './picture-stages.ts';
import type { FunctionAnswer, JailPaths, Stages } from './stages.ts';
import { treeStages } from './tree-stages.ts';

export type { FunctionAnswer, JailPaths } from './stages.ts';

export interface ComputerOptions {
  readonly kind: ModelFunctionKind;
  readonly model: ModelPackage;
  readonly policy: ModelFunctionPolicy;
  readonly paths: JailPaths;
  readonly timers: Timers;
  /** Aborting it while the computer starts ends what was started. */
  readonly signal?: AbortSignal;
  /** Where successors are made ready; one for all computers. */
  readonly nursery: Nursery;
}

export interface RunOptions {
  /** Who calls: it has a lane of its own, and waits for nobody else. */
  readonly party: string;
  /** Aborted when the time of the call is over: a jail at work is then killed, and the call rejects at that moment. */
  readonly signal: AbortSignal;
  /** Resolves when the answer has left: successors of the jails are made then. */
  readonly left: Promise<void>;
}

export interface Computer {
  /**
   * One call. `input`, in as many pieces as it came in, must not change until it is done. Rejects with `Failure<JailCode>`; the
   * message is for the caller.
   */
  run(input: readonly Uint8Array[], options: RunOptions): Promise<FunctionAnswer>;
  /** Processes alive now. */
  pids(): readonly number[];
  /** Resolves when no process is left. */
  close(): Promise<void>;
}

/**
 * Starts both processes; the computing one inspects the model, loads it and tries it. Throws `Failure<ModelCode>` where
 * the model is refused, `Failure<JailCode>` where the processes do not start, and the signal's reason.
 */
export async function startComputer(options: ComputerOptions): Promise<Computer> {
  const { policy, signal } = options;
  const stages = stagesOf(options);
  const nursery = options.nursery.family();
  const parties = lanesOf(policy);
  const readers = createPartySupply({ ...stages.reader, parties, nursery });
  const computers = createPartySupply({ ...stages.computer, parties, nursery });
  const makeSuccessors = (party: string): void => {
    readers.replace(party);
    computers.replace(party);
  };
  const close = async (): Promise<void> => {
    await Promise.all([readers.close(), computers.close()]);
  };
  const aborted = (): void => void close();
  signal?.addEventListener('abort', aborted, { once: true });
  try {
    signal?.throwIfAborted();
    const computing = computers.start();
    computing.catch(() => {}); // told below
    // Where no process starts, it is not the model's fault: that is told first.
    await readers.start();
    await computing;
  } catch (error) {
    await close();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', aborted);
  }

  return {
    async run(input, { party, signal: late, left }) {
      const bytes = totalBytes(input);
      if (bytes === 0) throw jailFailure('jail/input-invalid', 'the input is empty');
      if (bytes > policy.input.maxBytes) {
        const message = `the input has ${bytes} bytes; the policy takes at most ${policy.input.maxBytes}`;
        throw jailFailure('jail/input-invalid', message);
      }
      try {
        return await stages.run(
          input,
          (work) => readers.use(party, work, late),
          (work) => computers.use(party, work, late),
        );
      } catch (error) {
        throw late.aborted
          ? jailFailure('jail/compute-timeout', 'the computation was not done in time')
          : forCaller(error);
      } finally {
        void left.then(() => makeSuccessors(party));
      }
    },
    pids: () => [...readers.pids(), ...computers.pids()],
    close,
  };
}

/** Which processes, and what the gate makes of their words. Throws `Failure<ModelCode>` where model and policy do not meet. */
function stagesOf({ model, policy, ...options }: ComputerOptions): Stages {
  const { manifest } = model;
  if (isTreeManifest(manifest) && policy.uses === 'decision-tree') {
    return treeStages({ ...options, manifest, file: model.file, policy });
  }
  if (!isTreeManifest(manifest) && policy.uses !== 'decision-tree') {
    return pictureStages({ ...options, manifest, file: model.file, policy });
  }
  throw modelFailure('model/wrong-function', 'the model is for another function than the policy names');
}

/** Whom the policy lets call. Where it is nobody, the model is looked at nevertheless, for its owner. */
function lanesOf(policy: ModelFunctionPolicy): readonly string[] {
  const callers = callersOf(policy);
  return callers.length > 0 ? callers : [policy.model.from];
}

/** A fresh process that could not be made ready says why in words for the model's owner: not for whoever calls. */
function forCaller(error: unknown): unknown {
  const known = error instanceof Failure && error.code.startsWith('jail/') && error.code !== 'jail/not-started';
  return known ? error : jailFailure('jail/compute-failed', 'no process could be made ready for this call');
}
