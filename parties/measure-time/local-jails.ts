/** The jails of a policy's own image, running on this machine. */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { PATHS } from '../../build/image/ramdisk.ts';
import { unpackEif } from '../../build/image/unpack.ts';
import { buildLocalImage } from '../../build/local-builder.ts';
import type { ModelPackage } from '../../enclave/functions/model-package.ts';
import { startComputer, type Computer, type JailPaths } from '../../enclave/jail/gate-side.ts';
import { createNursery } from '../../enclave/jail/nursery.ts';
import { openPrison } from '../../enclave/jail/prison.ts';
import type { ModelFunctionPolicy, Policy } from '../../policies/model.ts';
import { realTimers } from '../timers.ts';

export interface JailsOptions {
  readonly policy: Policy;
  readonly cacheDir: string;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string, done?: number, total?: number) => void;
}

export interface LocalJails {
  /** As the gate starts them. Throws `Failure<ModelCode>` where the model is refused, `Failure<JailCode>` where none starts. */
  start(policy: ModelFunctionPolicy, model: ModelPackage): Promise<Computer>;
  /** Removes what was unpacked; every computer must be closed. */
  remove(): Promise<void>;
}

/** Builds the image for the local host and unpacks it: what is measured is what will run. */
export async function unpackJails({ policy, cacheDir, signal, onProgress }: JailsOptions): Promise<LocalJails> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-measure-time-')));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const { eifPath } = await buildLocalImage({
      policy,
      outDir: join(folder, 'image'),
      cacheDir,
      signal,
      onProgress: ({ text, done, total }) => onProgress(text, done, total),
    });
    onProgress('unpacking the image');
    const root = join(folder, 'root');
    const { cmd } = await unpackEif(eifPath, root);
    signal.throwIfAborted();
    const nursery = createNursery(availableParallelism());
    const files = pathsIn(root, cmd[0] ?? PATHS.node);
    const prison = await openPrison(
      { node: files.node, entry: files.decode, cwd: dirname(files.decode), env: {} },
      realTimers,
    );
    const paths = { ...files, prison };
    return {
      start: (one, model) =>
        startComputer({ kind: one.uses, model, policy: one, paths, timers: realTimers, nursery, signal }),
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

function pathsIn(root: string, node: string): Omit<JailPaths, 'prison'> {
  const beside = (name: string): string => join(root, dirname(PATHS.compute), `${name}.mjs`);
  return {
    node: resolve(root, node),
    decode: beside('decode'),
    compute: beside('compute'),
    record: beside('record'),
    tree: beside('tree'),
  };
}
