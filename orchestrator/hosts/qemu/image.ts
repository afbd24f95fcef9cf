/** Whether an image can boot in the machine at all, and its measurements, in one pass over the file. */
import { withFileSource } from '../../../build/byte-source.ts';
import { scanEif } from '../../../build/eif/read.ts';
import { isKernel } from '../../../build/kernel/version.ts';
import { createMeasurement } from '../../../build/measure/pcr.ts';
import { Failure } from '../../../policies/failure.ts';
import type { Measurements } from '../host.ts';

export type ImageCode =
  | 'host/wrong-architecture' // for another processor
  | 'host/no-kernel'; // made for the local host

/** Throws `Failure`: `eif/…` of kind `malformed`, `file/…` of kind `environment`, `ImageCode`. */
export function checkImage(path: string, signal: AbortSignal | undefined): Promise<Measurements> {
  return withFileSource(path, async (source) => {
    const measurement = createMeasurement();
    let canBoot: boolean | undefined;
    const { header } = await scanEif(
      source,
      (piece, { kind }, index) => {
        if (kind === 'kernel') canBoot ??= isKernel(piece); // its first piece has the header
        measurement.update(kind, index, piece);
      },
      signal === undefined ? {} : { signal },
    );
    if (header.architecture !== 'x86_64') {
      throw new Failure<ImageCode>(
        'unsupported',
        'host/wrong-architecture',
        `the image is for ${header.architecture}`,
        {
          where: path,
          hint: 'the machine that QEMU emulates here is x86_64: build the image on such a one',
        },
      );
    }
    if (canBoot !== true) {
      throw new Failure<ImageCode>('unsupported', 'host/no-kernel', 'the image has no kernel that could boot', {
        where: path,
        hint: 'an image of `accord build --target local` runs on the local host alone: build it with --target nitro',
      });
    }
    const { PCR0, PCR1, PCR2 } = measurement.finish();
    return { PCR0, PCR1, PCR2 };
  });
}
