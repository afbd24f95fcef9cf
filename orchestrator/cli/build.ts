import { relative, resolve } from 'node:path';
import { defaultCacheDir } from '../../build/cache.ts';
import { buildLocalImage } from '../../build/pipeline.ts';
import type { BaseInputs } from '../../build/base.ts';
import type { BuildResult } from '../../build/image-builder.ts';
import type { Sizing } from '../../build/sizing.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { Failure } from '../../policies/failure.ts';
import { byteProgress } from '../../parties/cli/progress.ts';
import { renderPcrs } from '../../parties/cli/measure.ts';
import { readPolicy } from '../../parties/cli/policy-files.ts';
import { renderWeakenings, wrap } from '../../parties/cli/render-policy.ts';
import type { Verb } from '../../parties/cli/verb.ts';
import { readArguments, usage } from '../../parties/cli/arguments.ts';

const HELP = `usage: accord build POLICY [PART…] --target local [--trust FILE] -o DIR [--json]

Builds the enclave image that can do what the policy says and nothing else, and computes its measurements. The same policy
and the same installation give the same bytes, each time.

  POLICY          the policy, YAML or JSON; - is stdin
  PART            further files of the same policy, for example one of each party
  --target local  an image for the local host: no kernel, this machine's Node; for trials and tests
  --trust FILE    a local stand-in for AWS (\`accord local-aws\` writes the file), composed in and so measured
  -o, --out DIR   writes DIR/image.eif, DIR/measurements.json and DIR/build-arg.txt
  --json          what measurements.json holds, and the paths

Exit codes: 0 built, 20 a target or policy that this version does not do, 30 a policy with faults, 40 disk or installation.
`;

const OPTIONS = {
  target: { type: 'string' },
  trust: { type: 'string' },
  out: { type: 'string', short: 'o' },
  json: { type: 'boolean' },
} as const;

export type BuildVerbCode = 'build/target';

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { values, positionals } = readArguments('build', argv, OPTIONS, 'any');
    const [file, ...parts] = positionals;
    if (file === undefined) throw usage('build', 'POLICY is missing');
    if (values.out === undefined) throw usage('build', '-o DIR is missing: where should the image go?');
    checkTarget(values.target);
    const policy = await readPolicy(io, [file, ...parts], values.trust);
    const weak = weakenings(policy, { now: new Date() });
    if (values.json !== true && weak.length > 0) io.err(renderWeakenings(weak));
    const progress = byteProgress(io);
    let built: BuildResult<BaseInputs>;
    try {
      built = await buildLocalImage({
        policy,
        outDir: resolve(io.cwd, values.out),
        cacheDir: defaultCacheDir(io.env),
        signal: io.signal,
        onProgress: ({ text, done, total }) => progress.update(text, done, total),
      });
    } finally {
      progress.end();
    }
    const { eifPath, measurementsPath, measurements } = built;
    io.out(
      values.json === true
        ? `${JSON.stringify({ ...measurements, eifPath, measurementsPath })}\n`
        : render(built, relative(io.cwd, eifPath), relative(io.cwd, measurementsPath)),
    );
    return 0;
  },
};

function checkTarget(target: string | undefined): void {
  if (target === 'local') return;
  const asked = target === undefined ? 'an image for EC2 (the default target)' : `the target "${target}"`;
  throw new Failure<BuildVerbCode>('unsupported', 'build/target', `this version does not build ${asked}`, {
    where: '--target',
    hint: 'use --target local: it builds and measures in the same way, and runs on this machine for trials',
  });
}

function render({ measurements, policyDigest, sizing }: BuildResult<BaseInputs>, image: string, file: string): string {
  const { hostLibraries } = measurements.inputs;
  return [
    `${image}: ${(measurements.eif.bytes / 1_000_000).toFixed(1)} MB, for the local host\n\n`,
    renderPcrs(measurements),
    `\nPolicy digest  ${policyDigest}\n\n`,
    renderSizing(sizing),
    '\nNot in the image, hence not measured: the libraries of the machine that runs it\n',
    wrap(hostLibraries.join(', '), '  '),
    '\nNext: each party checks that it gets the same PCR0 and lets its key open to it:\n',
    `  accord measure ${image}\n`,
    `  accord key-policy --key YOUR-KEY-ARN --measurements ${file} --apply\n`,
  ].join('');
}

function renderSizing({ terms, memoryMiB, cpus, notes }: Sizing): string {
  const rows = terms.map(({ what, MiB }) => `  ${String(MiB).padStart(6)} MiB  ${what}\n`).join('');
  const remarks = notes.map((note) => wrap(note, '    ', '  ! ')).join('');
  return `An enclave of this content needs ${memoryMiB} MiB of memory and ${cpus} vCPUs\n${rows}${remarks}`;
}
