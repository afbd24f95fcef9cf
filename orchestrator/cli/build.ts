import { mkdtemp, rmdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { defaultCacheDir } from '../../build/cache.ts';
import { diskFailure, errorCode, makeFolder } from '../../build/disk.ts';
import { signatureSection } from '../../build/eif/sign.ts';
import { buildEifImage } from '../../build/eif-builder.ts';
import type { BuildOptions, BuildResult } from '../../build/image-builder.ts';
import { buildLocalImage } from '../../build/local-builder.ts';
import type { Sizing } from '../../build/sizing.ts';
import { Failure } from '../../policies/failure.ts';
import { weakenings } from '../../policies/weakenings.ts';
import { engineOption } from '../../parties/cli/engine-option.ts';
import { pathOf, readText } from '../../parties/cli/files.ts';
import { byteProgress } from '../../parties/cli/progress.ts';
import { renderPcrs } from '../../parties/cli/measure.ts';
import { readPolicy } from '../../parties/cli/policy-files.ts';
import { renderWeakenings, wrap } from '../../parties/cli/render-policy.ts';
import { demandFolderPlace } from '../../parties/files.ts';
import type { FileCode } from '../../parties/files.ts';
import type { Io, Verb } from '../../parties/cli/verb.ts';
import { readArguments, usage } from '../../parties/cli/arguments.ts';

const HELP = `usage: accord build POLICY [PART…] -o DIR [--trust FILE] [--engine NAME] [--base IMAGE] [--blobs DIR]
                    [--sign KEY --certificate PEM] [--json]
       accord build POLICY [PART…] --target local -o DIR [--trust FILE] [--json]

Builds the enclave image that can do what the policy says and nothing else, and computes its measurements. The same policy
and the same version of Accord give the same measurements, each time, on every machine and with every engine.

  POLICY           the policy, YAML or JSON; - is stdin
  PART             further files of the same policy, for example one of each party
  --target nitro   an image for EC2's enclaves, and for QEMU's Nitro machine (default)
  --target local   an image for the local host: no kernel, this machine's Node; for trials and tests
  --trust FILE     a local stand-in for AWS (\`accord local-aws\` writes the file), composed in and so measured
  -o, --out DIR    writes DIR/image.eif, its measurements.json, build-arg.txt and sbom.cdx.json, in place of those of an
                   earlier build; makes DIR where there is none
  --json           what measurements.json holds, and the paths

with --target nitro:
  --engine NAME    docker, buildah or podman builds it (default: the first that works)
  --base IMAGE     takes the C library and bubblewrap from a registry's Debian 13 image, NAME@sha256:… (default: from locked
                   packages)
  --blobs DIR      AWS's kernel and init, as nitro-cli ships them, in place of Accord's own
  --sign KEY       signs the image: a private key in PEM, on P-256, P-384 or P-521; PCR8 names who signed
  --certificate PEM   the certificate of that key

The first build fetches what build/inputs.lock.json names and compiles the kernel: minutes. Later ones take seconds.

Exit codes: 0 built, 2 called wrongly, 10 what the engine made is not what was asked, or a base without digest, 20 this machine
cannot, 30 a policy or a layer with faults, 40 engine, network, disk or installation.
`;

const OPTIONS = {
  target: { type: 'string', default: 'nitro' },
  trust: { type: 'string' },
  out: { type: 'string', short: 'o' },
  engine: { type: 'string' },
  base: { type: 'string' },
  blobs: { type: 'string' },
  sign: { type: 'string' },
  certificate: { type: 'string' },
  json: { type: 'boolean' },
} as const;

const NITRO_OPTIONS = ['engine', 'base', 'blobs', 'sign', 'certificate'] as const;

interface NitroValues {
  readonly engine?: string | undefined;
  readonly base?: string | undefined;
  readonly blobs?: string | undefined;
  readonly sign?: string | undefined;
  readonly certificate?: string | undefined;
}

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { values, positionals } = readArguments('build', argv, OPTIONS, 'any');
    const [file, ...parts] = positionals;
    if (file === undefined) throw usage('build', 'POLICY is missing');
    if (values.out === undefined) throw usage('build', '-o DIR is missing: where should the image go?');
    const { target } = values;
    if (target !== 'nitro' && target !== 'local') {
      throw usage('build', `--target takes nitro or local, not "${target}"`);
    }
    const stray = NITRO_OPTIONS.find((name) => values[name] !== undefined);
    if (target === 'local' && stray !== undefined) throw usage('build', `--${stray} is of no use with --target local`);
    const nitro = target === 'local' ? undefined : await nitroOptions(io, values);
    const policy = await readPolicy(io, [file, ...parts], values.trust);
    const outDir = pathOf(io, values.out);
    await prepareFolder(outDir);
    const weak = weakenings(policy, { now: new Date() });
    if (values.json !== true && weak.length > 0) io.err(renderWeakenings(weak));
    const progress = byteProgress(io);
    const common = {
      policy,
      outDir,
      cacheDir: defaultCacheDir(io.env),
      signal: io.signal,
      onProgress: ({ text, done, total }) => progress.update(text, done, total),
    } satisfies BuildOptions & Parameters<typeof buildLocalImage>[0];
    let rendered: string;
    try {
      if (nitro === undefined) {
        const built = await buildLocalImage(common);
        progress.end();
        rendered = told(values.json, built, () => renderLocal(built, built.measurements.inputs.hostLibraries, io));
      } else {
        const built = await buildEifImage({ ...common, ...nitro, env: io.env });
        progress.end();
        rendered = told(values.json, built, () => renderNitro(built, values.trust !== undefined, io));
      }
    } finally {
      progress.end();
    }
    io.out(rendered);
    return 0;
  },
};

/**
 * Makes the folder, and tries to write into it, before the work begins: a slip in its name is told at once.
 * @throws Failure: `usage` where none can stand there, else `disk/…`
 */
async function prepareFolder(path: string): Promise<void> {
  await demandFolderPlace(path);
  try {
    await makeFolder(path, 0o777);
    await rmdir(await mkdtemp(join(path, '.accord-')));
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw diskFailure(cause, path, 'preparing the folder');
    // As below /proc: the file system has the folder above and takes nothing into it.
    throw new Failure<FileCode>('usage', 'file/not-a-folder', `nothing can be made in ${path}`, {
      where: path,
      hint: 'name another folder',
      cause,
    });
  }
}

type NitroOptions = Pick<Parameters<typeof buildEifImage>[0], 'engine' | 'base' | 'blobs' | 'sign'>;

async function nitroOptions(io: Io, values: NitroValues): Promise<NitroOptions> {
  const { base, blobs, sign, certificate } = values;
  const engine = engineOption('build', values.engine);
  if ((sign === undefined) !== (certificate === undefined)) {
    throw usage('build', '--sign and --certificate belong together');
  }
  const signer =
    sign === undefined || certificate === undefined
      ? undefined
      : { key: await readText(io, sign), certificate: await readText(io, certificate) };
  return {
    ...(engine === undefined ? {} : { engine }),
    ...(base === undefined ? {} : { base }),
    ...(blobs === undefined ? {} : { blobs: resolve(io.cwd, blobs) }),
    ...(signer === undefined
      ? {}
      : { sign: (pcr0: string) => signatureSection(pcr0, signer.key, signer.certificate, new Date()) }),
  };
}

function told(json: boolean | undefined, built: BuildResult, render: () => string): string {
  const { measurements, eifPath, measurementsPath, sbomPath } = built;
  return json === true ? `${JSON.stringify({ ...measurements, eifPath, measurementsPath, sbomPath })}\n` : render();
}

function renderLocal(built: BuildResult, hostLibraries: readonly string[], io: Io): string {
  return [
    renderImage(built, 'for the local host', io),
    '\nNot in the image, hence not measured: the libraries of the machine that runs it\n',
    wrap(hostLibraries.join(', '), '  '),
    renderNext(built, io),
  ].join('');
}

function renderNitro(built: BuildResult, isTrial: boolean, io: Io): string {
  return [
    renderImage(built, 'for Nitro and QEMU', io),
    renderNext(built, io),
    isTrial
      ? '\nand the coordinator runs it:\n  accord up --host qemu --local-aws DIR\n'
      : '\nand the coordinator runs it, on an EC2 instance with enclaves:\n  accord up --host nitro\n',
  ].join('');
}

function renderImage({ eifPath, measurements, policyDigest, sizing }: BuildResult, what: string, io: Io): string {
  return [
    `${relative(io.cwd, eifPath)}: ${(measurements.eif.bytes / 1_000_000).toFixed(1)} MB, ${what}\n\n`,
    renderPcrs(measurements),
    `\nPolicy digest  ${policyDigest}\n\n`,
    renderSizing(sizing),
  ].join('');
}

function renderNext({ eifPath, measurementsPath, sbomPath }: BuildResult, io: Io): string {
  return [
    `\nWhat is in it, with licences and origins: ${relative(io.cwd, sbomPath)} (CycloneDX)\n`,
    '\nNext: each party checks that it gets the same PCR0 and lets its key open to it:\n',
    `  accord measure ${relative(io.cwd, eifPath)}\n`,
    `  accord key-policy --key YOUR-KEY-ARN --measurements ${relative(io.cwd, measurementsPath)} --apply\n`,
  ].join('');
}

function renderSizing({ terms, memoryMiB, cpus, notes }: Sizing): string {
  const rows = terms.map(({ what, MiB }) => `  ${String(MiB).padStart(6)} MiB  ${what}\n`).join('');
  const remarks = notes.map((note) => wrap(note, '    ', '  ! ')).join('');
  return `An enclave of this content needs ${memoryMiB} MiB of memory and ${cpus} vCPUs\n${rows}${remarks}`;
}
