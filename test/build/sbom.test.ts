/** The bill of materials: whole, valid, with a licence and a digest for everything, and the same whoever writes it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Ajv } from 'ajv';
import { beforeAll, describe, expect, test } from 'vitest';
import type { BaseInputs } from '../../build/local-base.ts';
import type { EifInputs } from '../../build/image-inputs.ts';
import { enclaveFiles } from '../../build/enclave-files.ts';
import type { ImageMeasurements } from '../../build/image-builder.ts';
import { readInputsLock } from '../../build/inputs/lock.ts';
import { thisPlatform } from '../../build/packages.ts';
import { sbomText } from '../../build/sbom.ts';
import type { PolicyDigest } from '../../policies/model.ts';

type Component = Readonly<Record<'name' | 'version' | 'purl', string>> & {
  readonly licenses?: readonly unknown[];
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
};
interface Bom {
  readonly components: readonly Component[];
  readonly metadata: { readonly component: { readonly properties: readonly unknown[] }; readonly timestamp?: string };
  readonly serialNumber?: string;
}

const hex = (length: number): string => 'ab'.repeat(length / 2);
let inputs: EifInputs;

beforeAll(async () => {
  const files = await enclaveFiles({}, thisPlatform());
  inputs = {
    boot: 'accord',
    kernel: { version: '6.12.57', sha256: hex(64) },
    init: { sha256: hex(64) },
    base: { debian: hex(64) },
    node: { version: readInputsLock().node.version, platform: 'linux-x64' },
    packages: files.packages,
    bundledPackages: files.bundledPackages,
  };
}, 120_000);

function measurementsOf<Inputs>(own: Inputs): ImageMeasurements<Inputs> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a made-up digest
  const policyDigest = hex(96) as PolicyDigest;
  const sizing = { eifBytes: 1, unpackedBytes: 1, nitroCliMiB: 64, memoryMiB: 1024, cpus: 2, terms: [], notes: [] };
  return {
    apiVersion: 'accord/v1',
    target: 'nitro',
    collaboration: 'trial',
    policyDigest,
    PCR0: hex(96),
    PCR1: hex(96),
    PCR2: hex(96),
    eif: { bytes: 1, sha384: hex(96) },
    sizing,
    inputs: { accord: '0.1.0', ...own },
  };
}

const bomOf = (own: EifInputs | BaseInputs): Bom => JSON.parse(sbomText(measurementsOf(own)));

/** As the library ships it. */
function schema(name: string): object {
  const entry = createRequire(import.meta.url).resolve('@cyclonedx/cyclonedx-library');
  const [home = ''] = /^.*\/cyclonedx-library\//.exec(dirname(entry) + '/') ?? [];
  return JSON.parse(readFileSync(join(home, 'res', 'schema', `${name}.SNAPSHOT.schema.json`), 'utf8'));
}

describe('the bill of materials of an image', () => {
  test('is CycloneDX 1.6 by its own schema', () => {
    const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true, addUsedSchema: false });
    ajv.addSchema(schema('spdx'), 'http://cyclonedx.org/schema/spdx.SNAPSHOT.schema.json');
    ajv.addSchema(schema('jsf-0.82'), 'http://cyclonedx.org/schema/jsf-0.82.SNAPSHOT.schema.json');
    const validate = ajv.compile(schema('bom-1.6'));
    validate(bomOf(inputs));
    expect(validate.errors ?? []).toEqual([]);
    expect(validate({ bomFormat: 'CycloneDX' })).toBe(false);
  });

  test('names everything that is in it, each with version, licence and digest', () => {
    const { components } = bomOf(inputs);
    const named = components.map(({ name, version }) => `${name}@${version}`);
    const debian = readInputsLock().debian.base.map(({ name, version }) => `${name}@${version}`);
    expect(named).toEqual(expect.arrayContaining([...inputs.packages, ...inputs.bundledPackages, ...debian]));
    expect(named).toEqual(expect.arrayContaining(['accord@0.1.0', 'linux@6.12.57', `node@${inputs.node.version}`]));
    const own = new Set(['accord']);
    for (const { name, licenses, hashes } of components) {
      expect(licenses, `the licence of ${name}`).toHaveLength(1);
      if (!own.has(name)) expect(hashes, `the digest of ${name}`).toHaveLength(1);
    }
  });

  test('is the same for the same inputs: no time, no serial number', () => {
    const bom = bomOf(inputs);
    expect(sbomText(measurementsOf(inputs))).toBe(sbomText(measurementsOf(inputs)));
    expect(bom.metadata.timestamp).toBeUndefined();
    expect(bom.serialNumber).toBeUndefined();
    expect(bom.metadata.component.properties).toContainEqual({ name: 'accord:PCR0', value: hex(96) });
  });

  test('of the local image says that Node is the machine’s', () => {
    const { node, packages, bundledPackages } = inputs;
    const { components } = bomOf({ node, packages, bundledPackages, hostLibraries: [] });
    const [found] = components.filter(({ name }) => name === 'node');
    expect(found?.hashes).toBeUndefined();
    expect(components.map(({ name }) => name)).not.toContain('linux');
  });

  test('of an image on a registry’s base names that one by its digest, and what is taken from it', () => {
    const image = `registry.example/base@sha256:${hex(64)}`;
    const { components } = bomOf({ ...inputs, base: { image } });
    const base = components.find(({ name }) => name === 'registry.example/base');
    expect(base).toMatchObject({ version: `sha256:${hex(64)}`, hashes: [{ alg: 'SHA-256', content: hex(64) }] });
    expect(JSON.stringify(base)).toMatch(/C library and bubblewrap/);
    expect(components.map(({ name }) => name)).not.toContain('bubblewrap');
  });
});
