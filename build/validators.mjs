/**
 * Compiles the JSON Schemas of the enclave's functions to plain validators, so that nothing inside the enclave
 * generates code: a module for each schema in `enclave/functions/generated`, and its types, so that a program of the
 * image carries those alone that it uses. Deterministic, and skipped when up to date. Plain JavaScript, because it runs
 * before anything is compiled.
 *
 *     node build/validators.mjs              writes them where they are missing or old
 *     node build/validators.mjs --to DIR     writes them to an existing folder, whatever stands there
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);
const functions = join(dirname(dirname(here)), 'enclave', 'functions');
const generated = join(functions, 'generated');

/** Name of each module, and its schema. */
const SCHEMAS = {
  'model-manifest': 'model-manifest.schema.json',
  picture: 'picture.schema.json',
  'image-classification-output': 'image-classification/output.schema.json',
  'counter-output': 'counter/output.schema.json',
  'object-detection-output': 'object-detection/output.schema.json',
  'decision-tree': 'decision-tree/tree.schema.json',
  'decision-tree-input': 'decision-tree/input.schema.json',
  'decision-tree-output': 'decision-tree/output.schema.json',
};

/** Where the type of a validator stands, seen from a module. */
const TYPE_AT = '../validator.ts';
/** Of every module: it exports its validator and nothing else. */
const TYPES = `/** Written by build/validators.mjs. */
import type { Validator } from '${TYPE_AT}';
export const validate: Validator;
`;

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

/** The text of each module, by its name. */
async function compile() {
  const [{ default: Ajv }, { default: standaloneCode }] = await Promise.all([
    import('ajv/dist/2020.js'),
    import('ajv/dist/standalone/index.js'),
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
  const codeOf = standaloneCode.default ?? standaloneCode;
  return Promise.all(
    Object.keys(SCHEMAS).map(async (name, index) => [
      name,
      await whole(codeOf(ajv, { validate: schemas[index].$id }), name),
    ]),
  );
}

/** ajv's own run-time parts are named by `require` in what it writes: bundling puts them in. */
async function whole(code, name) {
  const { build } = await import('esbuild');
  const bundle = await build({
    stdin: { contents: code, resolveDir: dirname(here) },
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
  if (forbidden !== null) throw new Error(`the compiled validator ${name} contains ${JSON.stringify(forbidden[0])}`);
  return text;
}

const header = stamp();
const filesOf = (name) => [join(generated, `${name}.js`), join(generated, `${name}.d.ts`)];
const isUpToDate = (name) => {
  const [code, types] = filesOf(name);
  return existsSync(code) && readFileSync(code, 'utf8').startsWith(header) && existsSync(types);
};

const to = process.argv.indexOf('--to');
const folder = to === -1 ? generated : process.argv[to + 1];
if (folder === undefined) throw new Error('--to needs a folder');
if (to !== -1 || !Object.keys(SCHEMAS).every(isUpToDate)) {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of await compile()) {
    write(join(folder, `${name}.d.ts`), TYPES);
    write(join(folder, `${name}.js`), header + text);
  }
}
