/** What the models say about themselves; the same numbers as in training. */
import { DETECTOR_READING, DETECTOR_SIDE } from './detector.ts';
import { INPUT_MEAN, INPUT_SCALE, INPUT_STD, SIDE } from './classifier.ts';
import { LESION_LABELS } from './lesions.ts';
import type { TensorNames } from './onnx.ts';
import { SCENE_LABELS } from './scenes.ts';

export const CLASSIFIER_TENSORS: TensorNames = { input: 'picture', output: 'logits' };
export const DETECTOR_TENSORS: TensorNames = { input: 'picture', output: 'grid' };

const inputOf = (side: number): object => ({
  tensor: 'picture',
  dtype: 'float32',
  layout: 'NCHW',
  width: side,
  height: side,
  colour: 'RGB',
  resize: { mode: 'stretch' },
  scale: INPUT_SCALE,
  mean: [INPUT_MEAN],
  std: [INPUT_STD],
});

export const classifierManifest = (name: string): object => ({
  apiVersion: 'accord/v1',
  name,
  labels: LESION_LABELS,
  input: inputOf(SIDE),
  output: { kind: 'classification', tensor: CLASSIFIER_TENSORS.output, activation: 'softmax' },
});

export const detectorManifest = (name: string): object => ({
  apiVersion: 'accord/v1',
  name,
  labels: SCENE_LABELS,
  input: inputOf(DETECTOR_SIDE),
  output: {
    kind: 'fastestdet',
    tensor: DETECTOR_TENSORS.output,
    centre: 'sigmoid',
    size: 'sigmoid',
    powers: { objectness: 1, classes: 1 },
    activations: { objectness: 'sigmoid', classes: 'softmax' },
    ...DETECTOR_READING,
    suppress: 'across-classes',
  },
});
