/**
 * The bill of materials of an image, as CycloneDX 1.6 JSON: everything that is in it, with version, licence, where it came
 * from and the digest that it was pinned by. Made of the image's inputs and of the two lock files; neither a time nor a
 * serial number is in it, so that whoever builds the same image writes the same bill.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import { Failure } from '../policies/failure.ts';
import { errorCode } from './disk.ts';
import type { BaseInputs } from './local-base.ts';
import type { EifInputs } from './image-inputs.ts';
import type { ImageMeasurements } from './image-builder.ts';
import { DEBIAN_LICENCES } from './debian-licences.ts';
import { readInputsLock } from './inputs/lock.ts';
import type { InputsLock } from './inputs/lock.ts';

export type SbomCode = 'sbom/lock';

export const SBOM_FILE = 'sbom.cdx.json';

/** What is said of a package of npm in package-lock.json. */
interface LockedNpm {
  readonly license?: string;
  readonly integrity?: string;
}
type NpmLock = Readonly<Record<string, LockedNpm>>;

interface Part {
  readonly name: string;
  readonly version: string;
  readonly purl?: string;
  /** An SPDX expression, or a name where there is none. */
  readonly licence?: string;
  /** `sha256:HEX` or `sha512:HEX`. */
  readonly digest?: string;
  /** Where in the image, or how it came into it. */
  readonly place: string;
  readonly type?: Enums.ComponentType;
}

/** The file's text, ended with a line break. Throws `sbom/lock` of kind `environment`. */
export function sbomText(measurements: ImageMeasurements<BaseInputs | EifInputs>): string {
  const bom = new Models.Bom();
  const { collaboration, policyDigest, eif, inputs } = measurements;
  const image = new Models.Component(Enums.ComponentType.Container, collaboration, {
    version: inputs.accord,
    description: 'the image of an enclave',
    bomRef: 'image',
  });
  image.hashes.set(Enums.HashAlgorithm['SHA-384'], eif.sha384);
  for (const name of ['PCR0', 'PCR1', 'PCR2'] as const) image.properties.add(property(name, measurements[name]));
  image.properties.add(property('policyDigest', policyDigest));
  image.properties.add(property('target', measurements.target));
  bom.metadata.component = image;
  for (const part of partsOf(measurements)) {
    const made = component(part);
    bom.components.add(made);
    image.dependencies.add(made.bomRef);
  }
  const factory = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  const text = new Serialize.JsonSerializer(factory).serialize(bom, { sortLists: true, space: 2 });
  return `${text}\n`;
}

const property = (name: string, value: string): Models.Property => new Models.Property(`accord:${name}`, value);

function component({ name, version, purl, licence, digest, place, type }: Part): Models.Component {
  const made = new Models.Component(type ?? Enums.ComponentType.Library, name, {
    version,
    bomRef: purl ?? `${name}@${version}`,
    ...(purl === undefined ? {} : { purl }),
  });
  if (licence !== undefined) {
    made.licenses.add(
      licence.startsWith('LicenseRef-')
        ? new Models.NamedLicense(licence.slice('LicenseRef-'.length))
        : new Models.LicenseExpression(licence),
    );
  }
  const [algorithm, value] = digest?.split(':') ?? [];
  if (value !== undefined) {
    made.hashes.set(algorithm === 'sha256' ? Enums.HashAlgorithm['SHA-256'] : Enums.HashAlgorithm['SHA-512'], value);
  }
  made.properties.add(property('place', place));
  return made;
}

function partsOf({ inputs }: ImageMeasurements<BaseInputs | EifInputs>): readonly Part[] {
  const lock = readInputsLock();
  const npm = readNpmLock(lock.npmLock);
  const { node, packages, bundledPackages } = inputs;
  return [
    {
      name: 'accord',
      version: inputs.accord,
      licence: 'Apache-2.0',
      place: '/accord: the gate, the jails, the policy',
      type: Enums.ComponentType.Application,
    },
    ...bundledPackages.map((spec) => npmPart(spec, npm, "part of the bundled programs' files")),
    ...packages.map((spec) => npmPart(spec, npm, '/accord/node_modules')),
    ...('kernel' in inputs ? nitroParts(inputs, lock, inputs.accord) : [machineNode(node.version)]),
  ];
}

/** The local image carries the Node of the machine that built it. */
const machineNode = (version: string): Part => ({
  name: 'node',
  version,
  licence: 'MIT',
  place: '/usr/bin/node: of the machine that built the image',
  type: Enums.ComponentType.Platform,
});

function nitroParts({ kernel, init, base, boot, node }: EifInputs, lock: InputsLock, accord: string): readonly Part[] {
  const { debian, node: lockedNode } = lock;
  const isOurs = boot === 'accord';
  return [
    {
      name: 'node',
      version: node.version,
      purl: `pkg:npm/${lockedNode.package}@${lockedNode.version}`,
      licence: 'MIT',
      digest: `sha256:${lockedNode.program.sha256}`,
      place: '/usr/bin/node',
      type: Enums.ComponentType.Platform,
    },
    {
      name: 'linux',
      version: kernel.version,
      ...(isOurs ? { purl: debianPurl(debian.kernelSource, debian.suite, 'source') } : {}),
      licence: 'GPL-2.0-only WITH Linux-syscall-note',
      digest: `sha256:${kernel.sha256}`,
      place: isOurs ? "the kernel, compiled from Debian's source" : "the kernel, of AWS's blobs",
      type: Enums.ComponentType.OperatingSystem,
    },
    {
      name: 'init',
      version: isOurs ? accord : kernel.version,
      licence: 'Apache-2.0',
      digest: `sha256:${init.sha256}`,
      place: isOurs ? "the first process: Accord's own" : "the first process: of AWS's blobs",
      type: Enums.ComponentType.Application,
    },
    ...('debian' in base
      ? debian.base.map((one) => ({
          name: one.name,
          version: one.version,
          purl: debianPurl(one, debian.suite, 'amd64'),
          licence: DEBIAN_LICENCES[one.name] ?? 'LicenseRef-see its copyright file',
          digest: `sha256:${one.sha256}`,
          place: '/lib64, /usr/lib/x86_64-linux-gnu, /usr/bin: of it, what build/Dockerfile copies',
        }))
      : [imagePart(base.image)]),
  ];
}

/** `NAME@sha256:…`. What is in it, its registry alone says. */
function imagePart(image: string): Part {
  const at = image.lastIndexOf('@');
  const [name, digest] = [image.slice(0, at), image.slice(at + 1)];
  return {
    name,
    version: digest,
    digest,
    place: 'the C library and bubblewrap, with their libraries, are copied from it',
  };
}

function debianPurl(one: { readonly name: string; readonly version: string }, suite: string, arch: string): string {
  return `pkg:deb/debian/${one.name}@${encodeURIComponent(one.version)}?arch=${arch}&distro=${suite}`;
}

/** `sharp@0.35.5`, `@aws-sdk/core@3.9.1`. */
function npmPart(spec: string, lock: NpmLock, place: string): Part {
  const at = spec.lastIndexOf('@');
  const [name, version] = [spec.slice(0, at), spec.slice(at + 1)];
  const { license, integrity } = lock[spec] ?? {};
  const purl = `pkg:npm/${name.replace(/^@/, '%40')}@${version}`;
  const digest = integrity?.startsWith('sha512-')
    ? `sha512:${Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex')}`
    : undefined;
  return {
    name,
    version,
    purl,
    place,
    ...(license === undefined ? {} : { licence: license }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** By `name@version`. The lock stands at the top of the checkout, above the sources and above what the compiler made. */
function readNpmLock(file: string): NpmLock {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    try {
      const { packages }: { packages: Readonly<Record<string, LockedNpm & { readonly version?: string }>> } =
        JSON.parse(readFileSync(join(folder, file), 'utf8'));
      return Object.fromEntries(
        Object.entries(packages).map(([path, one]) => [
          `${path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)}@${one.version ?? ''}`,
          one,
        ]),
      );
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT' && folder !== dirname(folder)) continue;
      throw new Failure<SbomCode>(
        'environment',
        'sbom/lock',
        `${file} cannot be read, which pins the packages of npm`,
        {
          where: join(folder, file),
          hint: 'build from a whole checkout',
          cause,
        },
      );
    }
  }
}
