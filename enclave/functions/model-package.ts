/**
 * A contributed model: its manifest and its file (ONNX, or the JSON of a tree) in one piece, so that one digest names both.
 *
 *     struct {
 *       uint32 length;                     big-endian, 1 to 262,144
 *       opaque manifest[length];           UTF-8 JSON, see model-manifest.schema.json
 *       opaque file[];                     the rest, 1 byte to 256 MiB; untrusted, parsed in the computing jail alone
 *     } ModelPackage;
 */
import { createHash } from 'node:crypto';
import type { ModelFunctionKind, PictureFunctionKind } from '../../policies/model.ts';
import { NotJson, asObjects, parseJson, type Json } from '../encoding/strict-json.ts';
import { validate } from './generated/model-manifest.js';
import {
  MAX_BOXES,
  cellCount,
  channelsOf,
  functionOf,
  isTreeManifest,
  priorCount,
  type ModelManifest,
  type PictureManifest,
  type TreeManifest,
} from './model-manifest.ts';
import { modelFailure } from './model-refusal.ts';
import { faultOf } from './validator.ts';

/** 256 KiB: a thousand labels of 64 characters and a description fit. */
export const MANIFEST_BYTES = 262_144;
/** 256 MiB: while it loads, a model stands in memory about three times. */
export const FILE_BYTES = 268_435_456;
/** The sizes of an SSD's priors are at seven. */
const DEPTH = 16;

export interface ModelPackage<Manifest extends ModelManifest = ModelManifest> {
  readonly manifest: Manifest;
  /** The manifest as contributed. */
  readonly manifestBytes: Uint8Array;
  /** ONNX, or the JSON of a tree, as the manifest says. */
  readonly file: Uint8Array;
  /** Lower-case hex of SHA-256 over the whole package: what a policy pins. */
  readonly sha256: string;
}

/** Joins a manifest (JSON text) and the model's file. Checks neither: `parseModelPackage` does, on both sides. */
export function packModel(manifestJson: string, file: Uint8Array): Uint8Array {
  const manifest = new TextEncoder().encode(manifestJson);
  const bytes = new Uint8Array(4 + manifest.length + file.length);
  new DataView(bytes.buffer).setUint32(0, manifest.length);
  bytes.set(manifest, 4);
  bytes.set(file, 4 + manifest.length);
  return bytes;
}

/**
 * Splits a package and checks its manifest against the schema, the function and the policy's bound on labels. The parts are views of `bytes`.
 * Throws `Failure<ModelCode>`. The file's bytes are only measured: `startComputer` has them inspected.
 */
export function parseModelPackage(
  bytes: Uint8Array,
  kind: PictureFunctionKind,
  mostLabels?: number,
): ModelPackage<PictureManifest>;
export function parseModelPackage(
  bytes: Uint8Array,
  kind: 'decision-tree',
  mostLabels?: number,
): ModelPackage<TreeManifest>;
export function parseModelPackage(bytes: Uint8Array, kind: ModelFunctionKind, mostLabels?: number): ModelPackage;
export function parseModelPackage(bytes: Uint8Array, kind: ModelFunctionKind, mostLabels?: number): ModelPackage {
  const { manifestBytes, file } = split(bytes);
  const manifest = parseManifest(manifestBytes);
  checkFunction(manifest, kind);
  checkLabels(manifest, mostLabels);
  if (!isTreeManifest(manifest)) checkConsistency(manifest);
  return { manifest, manifestBytes, file, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function split(bytes: Uint8Array): { readonly manifestBytes: Uint8Array; readonly file: Uint8Array } {
  const malformed = (what: string): never => {
    throw modelFailure('model/malformed-package', `not a model package: ${what}`, `${bytes.length} bytes`);
  };
  if (bytes.length < 4) malformed('it is shorter than its length field');
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);
  if (length === 0 || length > MANIFEST_BYTES)
    malformed(`the manifest claims ${length} bytes (1 to ${MANIFEST_BYTES})`);
  if (4 + length >= bytes.length) malformed(`the manifest claims ${length} bytes and no model follows it`);
  const file = bytes.subarray(4 + length);
  if (file.length > FILE_BYTES) {
    throw modelFailure('model/too-large', `the model's file has ${file.length} bytes; at most ${FILE_BYTES} are taken`);
  }
  return { manifestBytes: bytes.subarray(4, 4 + length), file };
}

function parseManifest(bytes: Uint8Array): ModelManifest {
  const value = asObjects(readJson(bytes));
  if (!isManifest(value)) {
    const fault = faultOf(validate, value) ?? 'is not valid';
    throw modelFailure('model/malformed-manifest', `the manifest is not valid: ${fault}`, 'manifest');
  }
  checkForm(value);
  return value;
}

function readJson(bytes: Uint8Array): Json {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw modelFailure('model/malformed-manifest', 'the manifest is not UTF-8 text', 'manifest');
  }
  try {
    return parseJson(text, DEPTH);
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    const words = { syntax: 'not JSON', duplicate: 'JSON with a name that stands twice', depth: 'nested too deeply' };
    const where = `manifest, character ${error.at}`;
    throw modelFailure('model/malformed-manifest', `the manifest is ${words[error.fault]}`, where);
  }
}

/** The schema has labels differ; in one form of Unicode no two of them are the same text written in two ways. */
function checkForm(manifest: ModelManifest): void {
  const check = (text: string, where: string): void => {
    if (text === text.normalize('NFC')) return;
    const message = 'a text is not in the form C of Unicode, so that another one could be the same text';
    throw modelFailure('model/malformed-manifest', message, `manifest ${where}`, 'write it in NFC');
  };
  check(manifest.name, '/name');
  manifest.labels.forEach((label, index) => check(label, `/labels/${index}`));
  if (!isTreeManifest(manifest)) return;
  manifest.input.features.forEach((feature, index) => check(feature, `/input/features/${index}`));
}

function isManifest(value: unknown): value is ModelManifest {
  return validate(value);
}

function checkLabels({ labels }: ModelManifest, most: number | undefined): void {
  if (most === undefined || labels.length <= most) return;
  const message = `the model has ${labels.length} labels; the policy takes at most ${most}`;
  throw modelFailure('model/wrong-function', message, 'manifest /labels');
}

function checkFunction(manifest: ModelManifest, kind: ModelFunctionKind): void {
  const serves = functionOf(manifest.output);
  if (serves !== kind) {
    const message = `the model is for ${serves} (output kind ${manifest.output.kind}); the policy's function is ${kind}`;
    throw modelFailure('model/wrong-function', message, 'manifest /output/kind');
  }
}

/** What a schema cannot say: that the parts fit each other. */
function checkConsistency({ input, output, labels }: PictureManifest): void {
  const demand = (holds: boolean, where: string, message: string): void => {
    if (!holds) throw modelFailure('model/inconsistent-manifest', message, `manifest ${where}`);
  };
  const channels = channelsOf(input.colour);
  for (const name of ['mean', 'std'] as const) {
    const values = input[name];
    const fits = values === undefined || values.length === 1 || values.length === channels;
    demand(
      fits,
      `/input/${name}`,
      `${name} has ${values?.length ?? 0} numbers; ${input.colour} takes 1 or ${channels}`,
    );
  }
  const raw = input.scale === undefined && input.mean === undefined && input.std === undefined;
  demand(input.dtype === 'float32' || raw, '/input', 'uint8 takes pixels as they are: leave out scale, mean and std');
  if (input.resize.mode === 'crop' && input.resize.shortSide !== undefined) {
    const enough = input.resize.shortSide >= Math.max(input.width, input.height);
    demand(enough, '/input/resize/shortSide', 'shortSide is less than the longer side of the input');
  }
  if (output.kind === 'yolox') {
    const fits = output.strides.every((stride) => input.width % stride === 0 && input.height % stride === 0);
    demand(fits, '/output/strides', 'a stride does not divide width and height of the input');
    demand(cellCount(input, output.strides) <= MAX_BOXES, '/output/strides', `more than ${MAX_BOXES} cells`);
  }
  if (output.kind === 'ssd') {
    const { background, priors, order } = output;
    demand(
      background === null || background <= labels.length,
      '/output/background',
      'background is beyond the classes',
    );
    if (priors === undefined) return;
    demand(order === 'cxcywh' || order === 'cycxhw', '/output/order', 'with priors, order is cxcywh or cycxhw');
    demand(output.coordinates === 'relative', '/output/coordinates', 'with priors, coordinates are relative');
    demand(priorCount(priors.levels) <= MAX_BOXES, '/output/priors', `more than ${MAX_BOXES} priors`);
  }
}
