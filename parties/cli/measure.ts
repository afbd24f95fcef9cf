import { resolve } from 'node:path';
import { measureSigned } from '../../build/eif/verify-signature.ts';
import type { SignatureVerdict } from '../../build/eif/verify-signature.ts';
import type { Pcrs } from '../../build/measure/pcr.ts';
import { EXIT_CODES } from '../../policies/failure.ts';
import { printable } from '../printable.ts';
import { readArguments } from './arguments.ts';
import { sizeOf } from './files.ts';
import { byteProgress } from './progress.ts';
import type { Verb } from './verb.ts';

const HELP = `usage: accord measure FILE.eif [--json]

Computes the measurements (PCRs) of an image from its bytes, as the hypervisor does when it starts it. Nothing that the
file says about itself is believed, and no cache is read.

  PCR0   the whole image: kernel, command line, all ramdisks. This is what a key policy names.
  PCR1   kernel, command line and first ramdisk
  PCR2   the other ramdisks: the base and the collaboration
  PCR8   the certificate of whoever signed the image; only of a signed one

The signature of a signed image is checked against the PCR0 that was computed. Who may sign is for you to say: compare PCR8.

  --json  {"PCR0": HEX, "PCR1": HEX, "PCR2": HEX[, "PCR8": HEX, "signature": {valid, signer, notBefore, notAfter, …}]}

Exit codes: 0 measured, 10 measured, but the signature is not of this image, 30 not a sound EIF (with the offset and the
reason), 2 there is no such file, 40 it cannot be read.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const options = { json: { type: 'boolean', default: false } } as const;
    const { values, positionals } = readArguments('measure', argv, options, ['FILE.eif']);
    const [file = ''] = positionals;
    await sizeOf(io, file); // a slip in the name is told before the work begins
    const progress = byteProgress(io);
    try {
      const { pcrs, signature } = await measureSigned(resolve(io.cwd, file), new Date(), {
        signal: io.signal,
        onProgress: (done, total) => progress.update(`measuring ${file}`, done, total),
      });
      progress.end();
      io.out(values.json ? `${JSON.stringify({ ...pcrs, signature })}\n` : renderPcrs(pcrs));
      if (signature === undefined) return 0;
      if (!values.json) io.err(renderSignature(signature));
      return signature.valid ? 0 : EXIT_CODES.refused;
    } finally {
      progress.end();
    }
  },
};

/** One register a line. */
export function renderPcrs({ PCR0, PCR1, PCR2, PCR8 }: Pcrs): string {
  const signer = PCR8 === undefined ? '' : `PCR8  ${PCR8}\n`;
  return `PCR0  ${PCR0}\nPCR1  ${PCR1}\nPCR2  ${PCR2}\n${signer}`;
}

function renderSignature({ valid, fault, signer, notBefore, notAfter, when }: SignatureVerdict): string {
  const who = printable(signer);
  if (!valid) {
    return `the signature is not of this image: ${fault}\n  the certificate names ${who}\n  do not run or trust this file\n`;
  }
  const dates = {
    valid: `until ${notAfter}`,
    expired: `but its certificate expired at ${notAfter}: a host may refuse to start the image`,
    'not-yet-valid': `but its certificate is valid from ${notBefore} on: a host may refuse to start the image`,
  } satisfies Record<SignatureVerdict['when'], string>;
  return `signed by the key of ${who}, ${dates[when]}\n`;
}
