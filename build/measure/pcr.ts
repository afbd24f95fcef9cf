/**
 * Platform configuration registers of an image, from the contents of its sections alone. Headers, metadata and signature
 * are not measured, and nothing they say is believed.
 *
 *     PCRn = SHA-384(48 zero bytes ‖ SHA-384(data))
 *     PCR0: kernel ‖ command line ‖ all ramdisks         PCR1: kernel ‖ command line ‖ first ramdisk
 *     PCR2: the ramdisks after the first                 PCR8: the signing certificate, in DER
 *
 * In PCR0 and PCR2 the ramdisks come last, in order. So the hash states before the last ramdisk are worth keeping: with
 * `fork` a new last ramdisk costs the hashing of that ramdisk alone.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { bytesSource, withFileSource } from '../byte-source.ts';
import type { ByteSource } from '../byte-source.ts';
import { scanEif } from '../eif/read.ts';
import type { ScanOptions, SectionKind } from '../eif/read.ts';
import { parseSignature } from '../eif/signature.ts';

/** Lower-case hex, 96 characters each. */
export interface Pcrs {
  readonly PCR0: string;
  readonly PCR1: string;
  readonly PCR2: string;
  /** Only of a signed image. */
  readonly PCR8?: string;
}

export interface Measurement {
  /** Content of a section, in the order of the file; `section` is its index in the file. A section may come in pieces. */
  update(kind: SectionKind, section: number, content: Uint8Array): void;
  /** An independent measurement that starts from what this one has seen so far. */
  fork(): Measurement;
  /** Ends this measurement. */
  finish(): Pcrs;
}

interface State {
  readonly image: Hash;
  readonly boot: Hash;
  readonly application: Hash;
  /** Index of the first ramdisk's section, once it was seen. */
  firstRamdisk: number | undefined;
  signature: readonly Uint8Array[];
}

export function createMeasurement(): Measurement {
  return measurementOf({
    image: createHash('sha384'),
    boot: createHash('sha384'),
    application: createHash('sha384'),
    firstRamdisk: undefined,
    signature: [],
  });
}

function measurementOf(state: State): Measurement {
  return {
    update(kind, section, content) {
      switch (kind) {
        case 'kernel':
        case 'cmdline':
          state.image.update(content);
          state.boot.update(content);
          return;
        case 'ramdisk':
          state.firstRamdisk ??= section;
          state.image.update(content);
          (section === state.firstRamdisk ? state.boot : state.application).update(content);
          return;
        case 'signature':
          state.signature = [...state.signature, new Uint8Array(content)];
          return;
        case 'metadata':
          return;
      }
    },
    fork: () =>
      measurementOf({
        ...state,
        image: state.image.copy(),
        boot: state.boot.copy(),
        application: state.application.copy(),
      }),
    finish: () => ({
      PCR0: extendZeros(state.image.digest()),
      PCR1: extendZeros(state.boot.digest()),
      PCR2: extendZeros(state.application.digest()),
      ...(state.signature.length === 0
        ? {}
        : { PCR8: certificatePcr(parseSignature(Buffer.concat(state.signature)).certificate) }),
    }),
  };
}

/** One extension of a register that starts as zeros. */
function extendZeros(digest: Uint8Array): string {
  return createHash('sha384').update(new Uint8Array(48)).update(digest).digest('hex');
}

/** PCR8, of a certificate in DER. */
export function certificatePcr(certificate: Uint8Array): string {
  return extendZeros(createHash('sha384').update(certificate).digest());
}

/**
 * The PCRs of an EIF: of a file (never loaded whole) or of bytes. Reads everything, keeps nothing, trusts no cache.
 * Throws `Failure<EifCode>`: kind `malformed` for what is not a sound EIF; `Failure<SourceCode>` of kind `environment` for a
 * file that cannot be read.
 */
export async function measureEif(image: string | Uint8Array, options: ScanOptions = {}): Promise<Pcrs> {
  const measure = async (source: ByteSource): Promise<Pcrs> => {
    const measurement = createMeasurement();
    await scanEif(source, (piece, { kind }, index) => measurement.update(kind, index, piece), options);
    return measurement.finish();
  };
  return typeof image === 'string' ? withFileSource(image, measure) : measure(bytesSource(image, 'EIF'));
}
