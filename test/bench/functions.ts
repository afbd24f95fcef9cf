/**
 * What computing in processes of its own costs over the same decoding and the same ONNX run in one process. One thread
 * on both sides; the reference is fed as the jails are: encoded bytes in, objects out.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packModel, parseModelPackage, type ModelPackage } from '../../enclave/functions/model-package.ts';
import { detect } from '../../enclave/functions/object-detection/compute.ts';
import type { OutputTensor } from '../../enclave/functions/candidate.ts';
import { startComputer, type Computer } from '../../enclave/jail/gate-side.ts';
import { place } from '../../enclave/jail/geometry.ts';
import { createFiller } from '../../enclave/jail/tensor.ts';
import type { FunctionPolicy } from '../../policies/model.ts';
import { jailEntries, type Entries } from '../enclave/jail/entries.ts';
import { interleaved, median, timed, type Emit } from './figure.ts';

const ROUNDS = 25;

/** The folder of real vectors beside the repository, from source and from `dist` alike. */
function vectorsFolder(): string | undefined {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  const vectors = process.env['ACCORD_VECTORS'] ?? join(folder, '..', 'shared', 'vectors');
  return existsSync(vectors) ? vectors : undefined;
}

const policy: FunctionPolicy = {
  uses: 'object-detection',
  model: { from: 'bob' },
  calls: { alice: 1 },
  input: { maxBytes: 8_388_608 },
  output: { topK: 10, decimals: 3 },
  release: { padTo: 4_096 },
};

function readModel(vectors: string, name: string): ModelPackage {
  const manifest = readFileSync(join(import.meta.dirname, '..', 'vectors-manifests', `${name}.json`), 'utf8');
  return parseModelPackage(packModel(manifest, readFileSync(join(vectors, 'models', `${name}.onnx`))), policy.uses);
}

// Loaded late: while this process has not mapped these libraries, the jails' share of their pages is counted whole.
const loadSharp = async () => (await import('sharp')).default;
const loadOrt = async () => (await import('onnxruntime-node')).default;

/** Decoding and computing in this process, without any of the checks. */
async function bare({ manifest, onnx }: ModelPackage): Promise<(input: Uint8Array) => Promise<unknown>> {
  const [sharp, ort] = [await loadSharp(), await loadOrt()];
  const { input, output } = manifest;
  if (output.kind === 'classification') throw new Error('a detector is expected');
  const session = await ort.InferenceSession.create(onnx, {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const filler = createFiller(input);
  return async (bytes) => {
    const image = sharp(bytes);
    const { autoOrient } = input.resize.mode === 'stretch' ? { autoOrient: input } : await image.metadata();
    const scaled = place(input, autoOrient.width, autoOrient.height);
    const pixels = await image
      .autoOrient()
      .resize({ width: scaled.width, height: scaled.height, fit: 'fill' })
      .toColourspace('srgb')
      .raw()
      .toBuffer();
    const padded = new Uint8Array(input.width * input.height * 3).fill(114);
    for (let row = 0; row < scaled.height; row++) {
      padded.set(pixels.subarray(row * scaled.width * 3, (row + 1) * scaled.width * 3), row * input.width * 3);
    }
    const elements = filler.fill(padded);
    if (elements instanceof Uint8Array) throw new Error('a tensor of float32 is expected');
    const outputs = await session.run({ [input.tensor]: new ort.Tensor('float32', elements, filler.dims) });
    const tensorOf = (name: string): OutputTensor => {
      const tensor = outputs[name];
      if (tensor === undefined || !(tensor.data instanceof Float32Array)) throw new Error(`no tensor ${name}`);
      return { data: tensor.data, dims: tensor.dims };
    };
    return detect(tensorOf, manifest, output, policy.output.topK);
  };
}

/** Proportional set size of a process, in MB (its own memory, and its share of what it shares). */
function pss(pid: number): number {
  const kilobytes = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}

const rounded = (value: number, digits = 2): number => Number(value.toFixed(digits));

async function withComputer(model: ModelPackage, entries: Entries, work: (computer: Computer) => Promise<void>) {
  const computer = await startComputer({ kind: policy.uses, model, policy, paths: entries.paths });
  try {
    await work(computer);
  } finally {
    await computer.close();
  }
}

async function emitMemory(emit: Emit, model: ModelPackage, input: Uint8Array, entries: Entries): Promise<void> {
  await withComputer(model, entries, async (computer) => {
    for (let call = 0; call < ROUNDS; call++) await computer.run(input, { timeoutMs: 60_000 });
    const [decode = 0, compute = 0] = computer.pids();
    emit({
      figure: 'jails: memory of the computing process with YOLOX-nano',
      value: rounded(pss(compute), 0),
      unit: 'MB PSS',
      target: 'gate and one computing process <= 400 MB',
      met: pss(compute) <= 300,
      note: `after ${ROUNDS} calls; 100 MB of the target are kept for the gate; the decoding process beside it: ${rounded(pss(decode), 0)} MB`,
    });
  });
}

/** Emits the figures of decoding and computing; says why where the vectors are absent. */
export async function benchFunctions(emit: Emit): Promise<void> {
  const vectors = vectorsFolder();
  if (vectors === undefined) {
    process.stderr.write('bench: functions skipped: real vectors are absent (set ACCORD_VECTORS)\n');
    return;
  }
  const entries = await jailEntries();
  try {
    const airShow = readFileSync(join(vectors, 'images', 'air-show.jpg'));
    await emitMemory(emit, readModel(vectors, 'yolox-nano'), airShow, entries);

    const sharp = await loadSharp();
    sharp.cache(false);
    sharp.concurrency(1);
    const small = await sharp(airShow).resize(640).jpeg({ quality: 85 }).toBuffer();

    const fast = readModel(vectors, 'FastestDet');
    const bareFast = await bare(fast);
    await withComputer(fast, entries, async (computer) => {
      const call = (): Promise<unknown> => computer.run(airShow, { timeoutMs: 60_000 });
      const { value, reference, ratio } = await interleaved(ROUNDS, call, () => bareFast(airShow));
      emit({
        figure: 'jails: air-show.jpg with FastestDet',
        value: rounded(value),
        unit: 'ms',
        reference: rounded(reference),
        ratio: rounded(ratio, 3),
        target: '<= 1.10 x bare',
        met: ratio <= 1.1,
        note: 'gate to jails and back, without session and relay; bare: the same decoding and ONNX run in one process, one thread',
      });
    });

    const nano = readModel(vectors, 'yolox-nano');
    const bareNano = await bare(nano);
    await withComputer(nano, entries, async (computer) => {
      const call = (): Promise<unknown> => computer.run(small, { timeoutMs: 60_000 });
      const { value, reference, ratio, difference } = await interleaved(2 * ROUNDS, call, () => bareNano(small));
      emit({
        figure: 'jails: 640-pixel picture with YOLOX-nano',
        value: rounded(value),
        unit: 'ms',
        reference: rounded(reference),
        ratio: rounded(ratio, 3),
        target: '<= bare + 5 ms',
        met: difference <= 5,
        note: `median of the differences round by round: ${rounded(difference)} ms`,
      });
    });

    const starts: number[] = [];
    for (let round = 0; round < 5; round++) starts.push(await timed(() => withComputer(nano, entries, async () => {})));
    emit({
      figure: 'jails: start, YOLOX-nano inspected, loaded and tried, end',
      value: rounded(median(starts), 0),
      unit: 'ms',
      target: 'none: for the reader',
      met: true,
    });
  } finally {
    entries.remove();
  }
}
