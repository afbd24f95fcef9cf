/** Whether an ONNX file is the model that its manifest describes: the same input, and the outputs that are read. */
import { channelsOf, outputTensors, type PictureManifest } from '../../functions/model-manifest.ts';
import { modelFailure, type ModelCode } from '../../functions/model-refusal.ts';
import type { OnnxSummary } from './inspect.ts';

/** The graph's input and outputs against those of the manifest. Throws `Failure<ModelCode>`. */
export function matchManifest(summary: OnnxSummary, manifest: PictureManifest): void {
  const { input, output } = manifest;
  const channels = channelsOf(input.colour);
  const expected =
    input.layout === 'NCHW' ? [1, channels, input.height, input.width] : [1, input.height, input.width, channels];
  const wrong = (code: ModelCode, message: string, where: string): never => {
    throw modelFailure(code, message, where, 'make the manifest say what the ONNX file has');
  };
  const [only, ...others] = summary.inputs;
  if (only === undefined || others.length > 0 || only.name !== input.tensor) {
    const has = summary.inputs.map(({ name }) => name).join(', ');
    wrong('model/wrong-input', `the graph's inputs are: ${has}; the manifest names ${input.tensor} alone`, 'inputs');
    return;
  }
  if (only.element !== input.dtype) {
    wrong('model/wrong-input', `${only.name} is ${only.element}; the manifest says ${input.dtype}`, only.name);
  }
  // A batch left open is fed with 1.
  const fits =
    only.shape?.length === 4 &&
    only.shape.every((size, index) => size === expected[index] || (index === 0 && typeof size === 'string'));
  if (!fits) {
    const has = only.shape === undefined ? 'no shape' : `shape [${only.shape.join(', ')}]`;
    wrong('model/wrong-input', `${only.name} has ${has}; the manifest makes [${expected.join(', ')}]`, only.name);
  }
  for (const name of outputTensors(output)) {
    const found = summary.outputs.find((candidate) => candidate.name === name);
    if (found === undefined) {
      const has = summary.outputs.map(({ name }) => name).join(', ');
      wrong('model/wrong-output', `the graph's outputs are: ${has}; the manifest names ${name}`, name);
    } else if (found.element !== 'float32') {
      wrong('model/wrong-output', `${name} is ${found.element}; float32 is taken`, name);
    }
  }
}
