/** The local target's builder, as collaborations use it: one base, hashed once and kept open, for all policies. */
import type { BuildProgress } from '../build/image-builder.ts';
import { createLocalBuilder } from '../build/pipeline.ts';
import type { LocalBuilder } from '../build/pipeline.ts';
import type { ImageBuilder } from './collaborations.ts';

/** The base is opened when the first image is asked for. Builds come one at a time. */
export function createImageBuilder(): ImageBuilder {
  let opening: Promise<LocalBuilder> | undefined;
  let listener: (progress: BuildProgress) => void = () => {};
  const open = async (signal: AbortSignal): Promise<LocalBuilder> => {
    opening ??= createLocalBuilder({ signal, onProgress: (progress) => listener(progress) });
    try {
      return await opening;
    } catch (error) {
      opening = undefined; // the next build tries again
      throw error;
    }
  };
  return {
    async build(policy, folder, { onProgress, signal }) {
      listener = (progress) => onProgress({ ...progress });
      const { measurements, sizing } = await (await open(signal)).build(policy, folder);
      const { PCR0, PCR1, PCR2 } = measurements;
      return { measurements: { PCR0, PCR1, PCR2 }, sizing: { ...sizing } };
    },
    async close() {
      await (await opening?.catch(() => undefined))?.close();
    },
  };
}
