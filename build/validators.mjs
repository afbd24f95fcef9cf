/**
 * Compiles the JSON Schemas of the enclave's functions to plain validators, so that nothing inside the enclave
 * generates code: `enclave/functions/generated/validators.js` and its types. Deterministic, and skipped when up to
 * date. Plain JavaScript, because it runs before anything is compiled.
 *
 *     node build/validators.mjs              writes them where they are missing or old
 *     node build/validators.mjs --print      makes them anew, to standard output alone
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);
const functions = join(dirname(dirname(here)), 'enclave', 'functions');
const generated = join(functions, 'generated');

/** Exported name of each validator, and its schema. */
const SCHEMAS = {
  modelManifest: 'model-manifest.schema.json',
  picture: 'picture.schema.json',
  imageClassificationOutput: 'image-classification/output.schema.json',
  counterOutput: 'counter/output.schema.json',
  objectDetectionOutput: 'object-detection/output.schema.json',
};

const TYPES = `/** Written by build/validators.mjs. */
export interface SchemaFault {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message?: string;
  readonly params: Readonly<Record<string, unknown>>;
}
export interface Validator {
  (value: unknown): boolean;
  /** The first fault of the last call; null after a valid value. */
  readonly errors?: readonly SchemaFault[] | null;
}
${Object.keys(SCHEMAS)
  .map((name) => `export const ${name}: Validator;\n`)
  .join('')}`;

function stamp() {
  const require = createRequire(import.meta.url);
  const hash = createHash('sha256').update(readFileSync(here));
  for (const name of ['ajv', 'esbuild']) hash.update(`${name}@${require(`${name}/package.json`).version}\n`);
  for (const path of Object.values(SCHEMAS)) hash.update(readFileSync(join(functions, path)));
  return `// Written by build/validators.mjs from ${hash.digest('hex')}\n`;
}

/** Another command may be reading: a file appears whole or not at all. */
function write(path, text) {
  const next = `${path}.${process.pid}`;
  writeFileSync(next, text);
  renameSync(next, path);
}

/** ajv's run-time parts carry, as text, the source that would load them; without it no `require` is left even in text. */
const withoutOwnSource = {
  name: 'without-own-source',
  setup(build) {
    build.onLoad({ filter: /[/\\]ajv[/\\]dist[/\\]runtime[/\\]\w+\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(/^\w+\.code = .*$/m, ''),
    }));
  },
};

async function compile() {
  const [{ default: Ajv }, { default: standaloneCode }, { build }] = await Promise.all([
    import('ajv/dist/2020.js'),
    import('ajv/dist/standalone/index.js'),
    import('esbuild'),
  ]);
  const schemas = Object.values(SCHEMAS).map((path) => JSON.parse(readFileSync(join(functions, path), 'utf8')));
  const ajv = new Ajv.default({
    schemas,
    strict: true,
    discriminator: true,
    inlineRefs: false,
    allowUnionTypes: true,
    ownProperties: true,
    code: { source: true, esm: true, lines: true },
  });
  const ids = Object.fromEntries(Object.keys(SCHEMAS).map((name, index) => [name, schemas[index].$id]));
  // ajv's own run-time parts are named by `require` in what it writes: bundling puts them in.
  const bundle = await build({
    stdin: { contents: (standaloneCode.default ?? standaloneCode)(ajv, ids), resolveDir: dirname(here) },
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    legalComments: 'none',
    write: false,
    plugins: [withoutOwnSource],
  });
  const text = bundle.outputFiles[0].text;
  const forbidden = /\brequire\s*\(\s*["']|\bnew Function\b|\beval\s*\(|^\s*import\s/m.exec(text);
  if (forbidden !== null) throw new Error(`the compiled validators contain ${JSON.stringify(forbidden[0])}`);
  return text;
}

const header = stamp();
const target = join(generated, 'validators.js');
const upToDate =
  existsSync(target) &&
  existsSync(join(generated, 'validators.d.ts')) &&
  readFileSync(target, 'utf8').startsWith(header);

if (process.argv.includes('--print')) {
  process.stdout.write(header + (await compile()));
} else if (!upToDate) {
  const text = header + (await compile());
  mkdirSync(generated, { recursive: true });
  write(join(generated, 'validators.d.ts'), TYPES);
  write(target, text);
}
