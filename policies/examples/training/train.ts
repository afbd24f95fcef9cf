/**
 * Trains the models of the examples from their seeds. With `--check` it writes nothing, and exits 1 unless each model,
 * and the committed one where its bytes are others, reads at least 95 % of pictures kept from training rightly; without,
 * it writes model, manifest and pictures.
 */
import { readFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
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
  readonly committed: Committed;
}
/** How the model in the tree compares with the one just trained. */
type Committed = 'none' | 'same' | { readonly share: number };
interface Task {
  readonly folder: string;
  readonly committed: Uint8Array | undefined;
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
  const check = argv.includes('--check');
  const outcomes = await onEachCore(chosen, async ({ folder }) => {
    const committed = await readFile(join(examples, folder, 'model.onnx')).catch(() => undefined);
    const outcome = await inWorker({ folder, committed }, self);
    return { ...outcome, good: told(outcome, check) };
  });
  if (outcomes.some(({ good }) => !good)) return 1;
  if (check) return 0;
  for (const { folder, onnx } of outcomes) {
    const example = EXAMPLES.find((one) => one.folder === folder);
    if (example !== undefined) await write(join(examples, folder), example, onnx);
  }
  return 0;
}

/** As many at once as there are cores, in the order given: the longest should stand first. */
async function onEachCore<T, Result>(items: readonly T[], run: (item: T) => Promise<Result>): Promise<Result[]> {
  const waiting = [...items];
  const results: Result[] = [];
  const lane = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) results.push(await run(item));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return results;
}

/** Says how it went, and whether that is good enough: to be written, or, for a check, to stay. */
function told({ folder, share, onnx, committed }: Outcome, check: boolean): boolean {
  const percent = (part: number): string => `${(part * 100).toFixed(1)} %`;
  const verdict = share >= DEMANDED ? 'enough' : `less than the ${percent(DEMANDED)} demanded`;
  const comparison =
    committed === 'none'
      ? 'no model is committed'
      : committed === 'same'
        ? 'the very model that is committed'
        : `other bytes than the committed model, which reads ${percent(committed.share)}`;
  process.stdout.write(
    `${folder}: ${percent(share)} of ${PICTURES} pictures kept from training, ${verdict}; ${onnx.length} bytes, ${comparison}\n`,
  );
  if (!check || committed === 'same') return share >= DEMANDED;
  return share >= DEMANDED && committed !== 'none' && committed.share >= DEMANDED;
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

function inWorker(task: Task, self: URL): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(self, { workerData: task });
    worker.on('message', (message: Message) => {
      if ('progress' in message) process.stderr.write(`${task.folder}: ${message.progress}\n`);
      else resolve(message.outcome);
    });
    worker.on('error', reject);
  });
}

/** What a worker does: one example. */
async function work({ folder, committed }: Task): Promise<void> {
  const example = EXAMPLES.find((one) => one.folder === folder);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
  const post = (message: Message): void => parentPort?.postMessage(message);
  if (example === undefined) throw new Error(`there is no example ${folder}`);
  const onnx = example.train((progress) => post({ progress }));
  post({ progress: 'reading pictures kept from training' });
  const share = await example.measure(onnx, PICTURES);
  post({ outcome: { folder, share, onnx, committed: await compare(example, onnx, committed) } });
}

async function compare(example: Example, onnx: Uint8Array, committed: Uint8Array | undefined): Promise<Committed> {
  if (committed === undefined) return 'none';
  if (Buffer.compare(committed, onnx) === 0) return 'same';
  return { share: await example.measure(committed, PICTURES) };
}

if (!isMainThread) {
  const task: Task = workerData;
  await work(task);
}
