import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { measureEif } from '../../build/measure/pcr.ts';
import type { Pcrs } from '../../build/measure/pcr.ts';
import { byteProgress } from './byte-progress.ts';
import { usage } from './policy-arguments.ts';
import type { Verb } from './verb.ts';

const HELP = `usage: accord measure FILE.eif [--json]

Computes the measurements (PCRs) of an image from its bytes, as the hypervisor does when it starts it. Nothing that the
file says about itself is believed, and no cache is read.

  PCR0   the whole image: kernel, command line, all ramdisks. This is what a key policy names.
  PCR1   kernel, command line and first ramdisk
  PCR2   the other ramdisks: the base and the collaboration
  PCR8   the certificate of whoever signed the image; only of a signed one

  --json  {"PCR0": HEX, "PCR1": HEX, "PCR2": HEX[, "PCR8": HEX]}

Exit codes: 0 measured, 30 not a sound EIF (with the offset and the reason), 40 the file cannot be read.
`;

export const verb: Verb = {
  name: 'measure',
  summary: "compute an image's PCRs from its bytes",
  help: HELP,
  async run(argv, io) {
    const { file, json } = readArguments(argv);
    const progress = byteProgress(io);
    try {
      const pcrs = await measureEif(resolve(io.cwd, file), {
        signal: io.signal,
        onProgress: (done, total) => progress.update(`measuring ${file}`, done, total),
      });
      progress.end();
      io.out(json ? `${JSON.stringify(pcrs)}\n` : renderPcrs(pcrs));
      return 0;
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

function readArguments(argv: readonly string[]): { readonly file: string; readonly json: boolean } {
  const { values, positionals } = parse(argv);
  const [file, extra] = positionals;
  if (file === undefined) throw usage('measure', 'FILE.eif is missing');
  if (extra !== undefined) throw usage('measure', `"${extra}" is one argument too many`);
  return { file, json: values.json ?? false };
}

function parse(argv: readonly string[]): { values: { json?: boolean }; positionals: readonly string[] } {
  try {
    const options = { json: { type: 'boolean' } } as const;
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: true });
  } catch (error) {
    throw usage('measure', (error instanceof Error ? error.message : String(error)).split('. ')[0] ?? '');
  }
}
