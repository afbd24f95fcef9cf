/** Programs of tests that must run in a process of their own: bundled from the sources, packages left outside. */
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..', '..');
const programs = new Map<string, Promise<string>>();

/** `source` is relative to the repository; the result is a file that plain Node runs. */
export function bundled(source: string): Promise<string> {
  const known = programs.get(source);
  if (known !== undefined) return known;
  const made = make(source);
  programs.set(source, made);
  return made;
}

async function make(source: string): Promise<string> {
  // Below the repository, so that packages are found; a folder that git does not look at.
  const folder = join(root, 'node_modules', '.cache', 'accord-tests', String(process.pid));
  await mkdir(folder, { recursive: true });
  const outfile = join(folder, basename(source).replace(/\.ts$/, '.mjs'));
  await build({
    entryPoints: [join(root, source)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'silent',
    define: { 'import.meta.dirname': JSON.stringify(join(root, 'orchestrator')) },
  });
  return outfile;
}
