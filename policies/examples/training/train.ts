/**
 * Trains the models of the examples from their seeds. With `--check` it writes nothing, and exits 1 unless each model
 * reads at least 95 % of pictures kept from training rightly; without, it writes model, manifest and pictures.
 */
import { readFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { format } from 'prettier';
import { DEMANDED, EXAMPLES, type Example } from './examples.ts';

/** Drawn at full size; many more would take longer than training does. */
const PICTURES = 140;

interface Outcome {
  readonly folder: string;
  readonly share: number;
  readonly onnx: Uint8Array;
}
type Message = { readonly progress: string } | { readonly outcome: Outcome };

/** `examples`: the folder that holds the examples. Returns the exit code. */
export async function main(argv: readonly string[], examples: string, self: URL): Promise<number> {
  const names = argv.filter((word) => word !== '--check');
  const chosen = EXAMPLES.filter(({ folder }) => names.length === 0 || names.includes(folder));
  const unknown = names.find((name) => !EXAMPLES.some(({ folder }) => folder === name));
  if (unknown !== undefined) {
    const known = EXAMPLES.map(({ folder }) => folder).join(', ');
    process.stderr.write(`train: there is no example ${unknown}; usage: train.mjs [--check] [EXAMPLE…], of ${known}\n`);
    return 2;
  }
  const outcomes = await Promise.all(chosen.map(({ folder }) => inWorker(folder, self)));
  let exitCode = 0;
  for (const { folder, share, onnx } of outcomes) {
    const committed = await readFile(join(examples, folder, 'model.onnx')).catch(() => undefined);
    const same = committed !== undefined && Buffer.compare(committed, onnx) === 0;
    const reached = share >= DEMANDED;
    const verdict = reached ? 'enough' : `less than the ${DEMANDED * 100} % demanded`;
    process.stdout.write(
      `${folder}: ${(share * 100).toFixed(1)} % of ${PICTURES} pictures kept from training, ${verdict}; ` +
        `${onnx.length} bytes, ${same ? 'the very model that is committed' : 'other bytes than the committed model'}\n`,
    );
    if (!reached) exitCode = 1;
  }
  if (exitCode !== 0 || argv.includes('--check')) return exitCode;
  for (const { folder, onnx } of outcomes) {
    const example = EXAMPLES.find((one) => one.folder === folder);
    if (example !== undefined) await write(join(examples, folder), example, onnx);
  }
  return 0;
}

async function write(folder: string, { manifest, inputs }: Example, onnx: Uint8Array): Promise<void> {
  await writeFile(join(folder, 'model.onnx'), onnx);
  await writeFile(
    join(folder, 'manifest.json'),
    await format(JSON.stringify(manifest), { parser: 'json', printWidth: 120 }),
  );
  await rm(join(folder, 'inputs'), { recursive: true, force: true });
  await mkdir(join(folder, 'inputs'));
  for (const [file, picture] of await inputs(onnx)) await writeFile(join(folder, 'inputs', file), picture);
}

function inWorker(folder: string, self: URL): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(self, { workerData: folder });
    worker.on('message', (message: Message) => {
      if ('progress' in message) process.stderr.write(`${folder}: ${message.progress}\n`);
      else resolve(message.outcome);
    });
    worker.on('error', reject);
  });
}

/** What a worker does: one example. */
async function work(folder: unknown): Promise<void> {
  const example = EXAMPLES.find((one) => one.folder === folder);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
  const post = (message: Message): void => parentPort?.postMessage(message);
  if (example === undefined) throw new Error(`there is no example ${String(folder)}`);
  const onnx = example.train((progress) => post({ progress }));
  post({ progress: 'reading pictures kept from training' });
  post({ outcome: { folder: example.folder, share: await example.measure(onnx, PICTURES), onnx } });
}

if (!isMainThread) await work(workerData);
