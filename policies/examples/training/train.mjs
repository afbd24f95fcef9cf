#!/usr/bin/env node
// Bundles the trainer beside it (TypeScript), and runs it. See README.md.
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

// onnxruntime reports home unless it is told not to, before it is loaded.
process.env.ORT_DISABLE_TELEMETRY = '1';

const here = dirname(fileURLToPath(import.meta.url));
// Inside the repository, where the packages it imports are found.
const folder = join(here, '..', '..', '..', 'node_modules', '.cache', `accord-training-${process.pid}`);
const bundle = pathToFileURL(join(folder, 'train.mjs'));
await mkdir(folder, { recursive: true });
try {
  await build({
    entryPoints: [join(here, 'train.ts')],
    outfile: fileURLToPath(bundle),
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
  });
  const { main } = await import(bundle.href);
  process.exitCode = await main(process.argv.slice(2), join(here, '..'), bundle);
} finally {
  await rm(folder, { recursive: true, force: true });
}
