/**
 * Compiles the decision tree's kernel to WebAssembly and writes its bytes into a module, so that the bundler carries them
 * into the image: `enclave/functions/generated/tree-kernel.js` and its types. The compiler is pinned, and the same source
 * gives the same bytes everywhere. Skipped when up to date. Plain JavaScript, because it runs before anything is compiled.
 *
 *     node build/tree-kernel.mjs              writes them where they are missing or old
 *     node build/tree-kernel.mjs --wat        makes the text form anew, to standard output alone
 *     node build/tree-kernel.mjs --print      likewise the module
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);
const functions = join(dirname(dirname(here)), 'enclave', 'functions');
const generated = join(functions, 'generated');
const source = join(functions, 'decision-tree', 'kernel.as');

/** No runtime, no imports; two pages of memory hold 4096 nodes and 256 numbers. */
const OPTIONS =
  '--optimizeLevel 3 --shrinkLevel 0 --noAssert --runtime stub --use abort= --initialMemory 2 --maximumMemory 2'.split(
    ' ',
  );

const TYPES = `/** Written by build/tree-kernel.mjs. */
/** The kernel's WebAssembly, in base64. */
export const treeKernel: string;
`;

function stamp() {
  const require = createRequire(import.meta.url);
  const hash = createHash('sha256').update(readFileSync(here)).update(readFileSync(source));
  for (const name of ['assemblyscript', 'binaryen']) {
    const { version } = JSON.parse(readFileSync(join(packageFolder(require, name), 'package.json'), 'utf8'));
    hash.update(`${name}@${version}\n`);
  }
  return `// Written by build/tree-kernel.mjs from ${hash.digest('hex')}\n`;
}

/** Their `exports` hide package.json, so nothing is resolved. */
function packageFolder(require, name) {
  const found = require.resolve.paths(name).map((folder) => join(folder, name));
  const folder = found.find((candidate) => existsSync(join(candidate, 'package.json')));
  if (folder === undefined) throw new Error(`the package ${name} is not installed (npm ci)`);
  return folder;
}

/** The compiler sees one file in a folder of its own: nothing of this machine takes part. */
export async function compileKernel(text = readFileSync(source, 'utf8')) {
  const { default: asc } = await import('assemblyscript/asc');
  const output = new Map();
  const errors = [];
  const { error } = await asc.main(['kernel.ts', ...OPTIONS, '--outFile', 'kernel.wasm', '--textFile', 'kernel.wat'], {
    stderr: { write: (text) => void errors.push(String(text)) },
    readFile: (name) => (name === 'kernel.ts' ? text : null),
    writeFile: (name, contents) => void output.set(name, contents),
    listFiles: () => [],
  });
  if (error !== null) throw new Error(`the kernel of decision trees cannot be compiled: ${errors.join('')}`);
  return { wasm: Buffer.from(output.get('kernel.wasm')), wat: String(output.get('kernel.wat')) };
}

const moduleOf = (header, { wasm }) => `${header}export const treeKernel =\n  '${wasm.toString('base64')}';\n`;

/** Another command may be reading: a file appears whole or not at all. */
function write(path, text) {
  const next = `${path}.${process.pid}`;
  writeFileSync(next, text);
  renameSync(next, path);
}

async function main([mode]) {
  if (mode === '--wat') {
    process.stdout.write((await compileKernel()).wat);
    return;
  }
  const header = stamp();
  const target = join(generated, 'tree-kernel.js');
  const types = join(generated, 'tree-kernel.d.ts');
  if (mode === '--print') {
    process.stdout.write(moduleOf(header, await compileKernel()));
  } else if (!existsSync(target) || !existsSync(types) || !readFileSync(target, 'utf8').startsWith(header)) {
    const text = moduleOf(header, await compileKernel());
    mkdirSync(generated, { recursive: true });
    write(types, TYPES);
    write(target, text);
  }
}

if (process.argv[1] === here) await main(process.argv.slice(2));
