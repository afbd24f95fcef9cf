import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EXTERNAL_PACKAGES, SOURCES, bundleEnclave, bundleEntry, bundleProgram } from '../../build/bundle.ts';
import type { Bundle } from '../../build/bundle.ts';
import { readInputsLock } from '../../build/inputs/lock.ts';
import { plainKeys } from '../../build/lean-tables.ts';
import { findPackages } from '../../build/packages.ts';
import type { Platform } from '../../build/packages.ts';

let folder = '';
let bundles: readonly Bundle[] = [];
const textOf = ({ bytes }: Bundle): string => new TextDecoder().decode(bytes);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-bundle-'));
  bundles = await bundleEnclave();
});
afterAll(() => rm(folder, { recursive: true }));

/** The trusted rooms and the packages, in another place. */
async function checkout(name: string): Promise<string> {
  const root = join(folder, name);
  await mkdir(root, { recursive: true });
  for (const room of ['policies', 'enclave']) await cp(join(SOURCES, room), join(root, room), { recursive: true });
  await cp(join(SOURCES, 'package.json'), join(root, 'package.json'));
  await symlink(join(SOURCES, 'node_modules'), join(root, 'node_modules'));
  return root;
}

describe('what is in the image (law 4)', () => {
  test('is the gate and its jails, where the gate looks for them', () => {
    expect(bundles.map(({ path }) => path)).toEqual([
      'rootfs/accord/gate.mjs',
      'rootfs/accord/jail/decode.mjs',
      'rootfs/accord/jail/compute.mjs',
      'rootfs/accord/jail/record.mjs',
      'rootfs/accord/jail/tree.mjs',
    ]);
  });

  test('of ours is only what stands in the trusted rooms', () => {
    const own = bundles.flatMap(({ inputs }) => inputs.filter((name) => !name.includes(':')));
    expect(own.length).toBeGreaterThan(20);
    expect(own).toContain('enclave/main');
    expect(own.filter((name) => !/^(enclave|policies)\//.test(name))).toEqual([]);
  });

  test('is no YAML, no schema compiler and no native add-on', () => {
    const all = bundles.flatMap(({ inputs }) => inputs);
    expect(all.filter((name) => /^npm:(yaml|ajv|cbor-extract|esbuild|express)\//.test(name))).toEqual([]);
    // In the jails there is nothing that could reach a network or a key.
    const jails = bundles.filter(({ path }) => path.includes('/jail/')).flatMap(({ inputs }) => inputs);
    expect(jails.filter((name) => /aws|smithy|hpke|enclave\/(kms|vsock|pipeline|attest)\//.test(name))).toEqual([]);
  });

  test('has of the compiled schemas what each program judges by', () => {
    const generated = 'enclave/functions/generated/';
    const judged = bundles
      .slice(1)
      .map(({ path, inputs }) => [
        path.replace(/^.*\//, ''),
        inputs.filter((name) => name.startsWith(generated)).map((name) => name.slice(generated.length)),
      ]);
    expect(Object.fromEntries(judged)).toEqual({
      'decode.mjs': [],
      'compute.mjs': [],
      'record.mjs': [],
      'tree.mjs': ['decision-tree', 'tree-kernel'],
    });
  });

  test('has names of modules and no path of this machine, no source map and no time', () => {
    for (const bundle of bundles) {
      const text = textOf(bundle);
      expect(text).not.toContain(SOURCES);
      expect(text).not.toContain('sourceMappingURL=data');
      expect(text).not.toMatch(/\/\*! .*(node_modules|\.\.\/)|"(\.\.\/)+node_modules/);
      expect(text).toMatch(/^\/\*! enclave\/\S+ \*\/$/m);
    }
    expect(bundles.slice(0, 1).map(textOf).join('')).toMatch(/^\/\*! npm:\S+ \*\/$/m);
  });

  test('is of the clients of AWS what the enclave asks for', () => {
    const [gate = ''] = bundles.map(textOf);
    for (const asked of ['DecryptRequest', 'GenerateDataKeyRequest', 'PutObjectRequest', 'ListObjectVersionsRequest'])
      expect(gate).toContain(`"${asked}"`);
    for (const other of ['DeleteObjectRequest', 'PutBucketPolicyRequest', 'CreateBucketRequest'])
      expect(gate).not.toContain(`() => ${other}$`);
    expect(bundles.flatMap(({ packages }) => packages).filter((name) => name.includes('client-iam'))).toEqual([]);
  });

  test('has tables of operations whose keys were texts before', () => {
    const table = 'const _a = "x";\nexport var T$ = [3, { [_a]: 1, [_b]: _a }, [_a]];\n';
    expect(plainKeys(table)).toBe('const _a = "x";\nexport var T$ = [3, { "x": 1, [_b]: _a }, [_a]];\n');
  });

  test('names the packages in it with their versions', () => {
    expect(bundles[0]?.packages).toContain('hpke@1.1.7');
    expect(bundles[0]?.packages.every((name) => /^(@[^/]+\/)?[^@/]+@\d+\.\d+\.\d+/.test(name))).toBe(true);
  });
});

test('what of others is in the image stands in docs/dependencies.md, and nothing else', async () => {
  const page = await readFile(new URL('../../docs/dependencies.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  const listed = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  const platform: Platform = { os: 'linux', cpu: 'x64' };
  const native = findPackages(EXTERNAL_PACKAGES, join(SOURCES, 'package.json'), platform).map(({ name }) => name);
  const bundled = bundles.flatMap(({ packages }) => packages.map((name) => name.replace(/@[^@]+$/, '')));
  const debian = readInputsLock().debian.base.map(({ name }) => name);
  expect(new Set(listed)).toEqual(new Set([...native, ...bundled, ...debian]));
});

describe('the same sources give the same bytes', () => {
  test('twice', async () => {
    expect((await bundleEnclave()).map(textOf)).toEqual(bundles.map(textOf));
  });

  test('in another folder, of another depth', async () => {
    const root = await checkout('some where/else/with spaces');
    const again = await bundleEnclave(root);
    for (const [i, bundle] of again.entries())
      expect(textOf(bundle) === bundles.map(textOf)[i], bundle.path).toBe(true);
  });

  test('as the compiler left them', { timeout: 120_000 }, async () => {
    const root = await checkout('compiled-from');
    const config = {
      extends: join(SOURCES, 'tsconfig.json'),
      include: ['policies/**/*.ts', 'enclave/**/*.ts'],
      exclude: [],
    };
    const compilerOptions = {
      rootDir: root,
      outDir: join(root, 'dist'),
      noEmitOnError: false,
      typeRoots: [join(SOURCES, 'node_modules/@types')],
    };
    await writeFile(join(root, 'tsconfig.json'), JSON.stringify({ ...config, compilerOptions }));
    const tsc = join(SOURCES, 'node_modules/typescript/bin/tsc');
    await promisify(execFile)(process.execPath, [tsc, '-p', root]).catch(() => {}); // types are another test's matter
    await cp(join(root, 'enclave/functions/generated'), join(root, 'dist/enclave/functions/generated'), {
      recursive: true,
    });
    for (const [name, bundle] of [
      ['main', bundles[0]],
      ['jail/decode', bundles[1]],
      ['jail/compute', bundles[2]],
      ['jail/record', bundles[3]],
      ['jail/tree', bundles[4]],
    ] as const) {
      const path = bundle?.path ?? '';
      const compiled = await bundleEntry(join(root, `dist/enclave/${name}.js`), path, join(root, 'dist'));
      expect(compiled.inputs).toEqual(bundle?.inputs);
      expect(firstDifference(textOf(compiled), bundle === undefined ? '' : textOf(bundle)), path).toBeUndefined();
    }
  });
});

describe('a bundle', () => {
  test('that cannot be made says which file and why', async () => {
    const entry = join(folder, 'broken.ts');
    await writeFile(entry, "import { x } from './nowhere.ts';\nx();\n");
    await expect(bundleEntry(entry, 'x.mjs', folder)).rejects.toMatchObject({
      code: 'bundle/failed',
      kind: 'environment',
      where: 'broken.ts:1',
    });
    await expect(bundleProgram('gate', folder)).rejects.toMatchObject({ code: 'bundle/failed' });
  });

  test('of CommonJS that needs a module of Node runs', async () => {
    await writeFile(
      join(folder, 'old.cjs'),
      "exports.name = require('node:os').EOL + typeof require('node:fs').readFileSync;\n",
    );
    await writeFile(join(folder, 'entry.ts'), "import old from './old.cjs';\nprocess.stdout.write(old.name);\n");
    const { bytes, inputs } = await bundleEntry(join(folder, 'entry.ts'), 'entry.mjs', folder);
    expect(inputs).toEqual(['entry', 'old.cjs']);
    await writeFile(join(folder, 'entry.mjs'), bytes);
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--disallow-code-generation-from-strings',
      join(folder, 'entry.mjs'),
    ]);
    expect(stdout).toBe('\nfunction');
    expect(await readFile(join(folder, 'entry.mjs'), 'utf8')).not.toContain(folder);
  });
});

/** For a message that a person can use; the bundles have a megabyte. */
function firstDifference(a: string, b: string): readonly [string, string] | undefined {
  if (a === b) return undefined;
  let at = 0;
  while (a[at] === b[at]) at++;
  return [a.slice(Math.max(0, at - 80), at + 80), b.slice(Math.max(0, at - 80), at + 80)];
}
