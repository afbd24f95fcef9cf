/**
 * What a contributed model says about itself, as types; `model-manifest.schema.json` is the same for everybody else.
 * It describes pre- and post-processing as data, so that no model brings code.
 */
import type { ModelFunctionKind } from '../../policies/model.ts';

export type Layout = 'NCHW' | 'NHWC';
export type Colour = 'RGB' | 'BGR' | 'gray';
export type Activation = 'none' | 'sigmoid' | 'softmax';

export type Resize =
  | { readonly mode: 'stretch' }
  | { readonly mode: 'letterbox'; readonly position: 'top-left' | 'centre'; readonly pad: number }
  | { readonly mode: 'crop'; readonly shortSide?: number };

/** One input tensor of batch 1; an element is `(pixel * scale - mean) / std` with pixels of 0 to 255. */
export interface ModelInput {
  readonly tensor: string;
  readonly dtype: 'float32' | 'uint8';
  readonly layout: Layout;
  readonly width: number;
  readonly height: number;
  readonly colour: Colour;
  readonly resize: Resize;
  /** Default 1. */
  readonly scale?: number;
  /** In the order of `colour`, one number for all or one a channel. Default 0. */
  readonly mean?: readonly number[];
  /** Likewise. Default 1. */
  readonly std?: readonly number[];
}

export interface ClassificationOutput {
  readonly kind: 'classification';
  readonly tensor: string;
  readonly activation: Activation;
}

interface Suppression {
  readonly scoreThreshold: number;
  readonly iouThreshold: number;
  readonly suppress?: 'within-class' | 'across-classes';
}

interface DetectorActivations {
  readonly objectness: 'none' | 'sigmoid';
  readonly classes: Activation;
}

/** [1, N, 5 + labels]: cx, cy, w, h, objectness, classes; N cells of all strides, row by row. */
export interface YoloxOutput extends Suppression {
  readonly kind: 'yolox';
  readonly tensor: string;
  readonly strides: readonly number[];
  readonly boxes: 'grid-exp' | 'pixels';
  readonly activations: DetectorActivations;
}

/** [1, 5 + labels, rows, columns]: objectness, tx, ty, tw, th, classes. */
export interface FastestDetOutput extends Suppression {
  readonly kind: 'fastestdet';
  readonly tensor: string;
  readonly centre: 'tanh' | 'sigmoid' | 'none';
  readonly size: 'sigmoid' | 'none';
  readonly powers: { readonly objectness: number; readonly classes: number };
  readonly activations: DetectorActivations;
}

export interface PriorLevel {
  readonly columns: number;
  readonly rows: number;
  /** Width and height of each prior of a cell, relative to the input. */
  readonly sizes: readonly (readonly number[])[];
}

/** Scores [1, N, classes] and boxes [1, N, 4]. */
export interface SsdOutput extends Suppression {
  readonly kind: 'ssd';
  readonly scores: string;
  readonly boxes: string;
  readonly activation: Activation;
  /** Index of the class that means nothing is there; it has no label. */
  readonly background: number | null;
  readonly order: 'xyxy' | 'yxyx' | 'cxcywh' | 'cycxhw';
  readonly coordinates: 'relative' | 'pixels';
  readonly priors?: { readonly levels: readonly PriorLevel[]; readonly variances: readonly number[] };
}

/** A decision tree in the form of `decision-tree/tree.schema.json`, or as ONNX with one TreeEnsembleClassifier. */
export interface TreeOutput {
  readonly kind: 'tree';
  readonly format: 'json' | 'onnx';
}

/** A record of numbers by name, in the order of the tree's indexes. */
export interface RecordInput {
  readonly features: readonly string[];
}

export type DetectorOutput = YoloxOutput | FastestDetOutput | SsdOutput;
export type PictureOutput = ClassificationOutput | DetectorOutput;
export type ModelOutput = PictureOutput | TreeOutput;

interface Description {
  readonly apiVersion: 'accord/v1';
  readonly name: string;
  readonly labels: readonly string[];
}

export interface PictureManifest extends Description {
  readonly input: ModelInput;
  readonly output: PictureOutput;
}

export interface TreeManifest extends Description {
  readonly input: RecordInput;
  readonly output: TreeOutput;
}

export type ModelManifest = PictureManifest | TreeManifest;

export const isTreeManifest = (manifest: ModelManifest): manifest is TreeManifest => manifest.output.kind === 'tree';

/** Cells, priors or rows of a detector: what one pass of post-processing may look at. */
export const MAX_BOXES = 200_000;

/** Which function a model with this output serves. */
export function functionOf(output: ModelOutput): ModelFunctionKind {
  switch (output.kind) {
    case 'classification':
      return 'image-classification';
    case 'yolox':
    case 'fastestdet':
    case 'ssd':
      return 'object-detection';
    case 'tree':
      return 'decision-tree';
  }
}

export const channelsOf = (colour: Colour): 1 | 3 => (colour === 'gray' ? 1 : 3);

/** The names of the output tensors that post-processing reads. */
export function outputTensors(output: PictureOutput): readonly string[] {
  return output.kind === 'ssd' ? [output.scores, output.boxes] : [output.tensor];
}

/** Number of values a class, cell and the like that the model must give: labels, and the background where there is one. */
export function classCount(manifest: PictureManifest): number {
  const { output, labels } = manifest;
  return labels.length + (output.kind === 'ssd' && output.background !== null ? 1 : 0);
}

/** Number of priors of an SSD-like detector. */
export function priorCount(levels: readonly PriorLevel[]): number {
  return levels.reduce((sum, level) => sum + level.columns * level.rows * level.sizes.length, 0);
}

/** Number of cells of a YOLOX-like detector. */
export function cellCount(input: ModelInput, strides: readonly number[]): number {
  return strides.reduce((sum, stride) => sum + Math.floor(input.width / stride) * Math.floor(input.height / stride), 0);
}
