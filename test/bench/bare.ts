/**
 * The reference of a confidential call: the same decoding and the same ONNX run in one process, without any of the
 * checks. One thread, encoded bytes in, candidates out.
 */
import type Sharp from 'sharp';
import type { Candidate, OutputTensor } from '../../enclave/functions/candidate.ts';
import { classify } from '../../enclave/functions/image-classification/compute.ts';
import { packModel, parseModelPackage } from '../../enclave/functions/model-package.ts';
import { detect } from '../../enclave/functions/object-detection/compute.ts';
import { place } from '../../enclave/jail/geometry.ts';
import { createFiller } from '../../enclave/jail/tensor.ts';
import { OUTPUT } from './samples.ts';
import type { Subject } from './samples.ts';

// Loaded late: a process that measures the memory of others should not have these libraries itself yet.
export async function loadSharp(): Promise<typeof Sharp> {
  const { default: sharp } = await import('sharp');
  sharp.cache(false);
  sharp.concurrency(1);
  return sharp;
}

export async function bareOf(subject: Subject): Promise<() => Promise<readonly Candidate[]>> {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  const [sharp, { default: ort }] = [await loadSharp(), await import('onnxruntime-node')];
  const { manifest, file: onnx } = parseModelPackage(packModel(subject.manifest, subject.onnx), subject.uses);
  const { input, output, labels } = manifest;
  const session = await ort.InferenceSession.create(onnx, {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const filler = createFiller(input);
  return async () => {
    const image = sharp(subject.picture, { failOn: 'error', sequentialRead: true });
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
    return output.kind === 'classification'
      ? classify(tensorOf(output.tensor), output, labels.length, 1)
      : detect(tensorOf, manifest, output, OUTPUT.topK);
  };
}
