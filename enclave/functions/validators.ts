/**
 * Judges values by the functions' JSON Schemas. The validators were compiled at build time (`build/validators.mjs`):
 * nothing here generates code.
 */
import type { FunctionKind, ModelFunctionKind } from '../../policies/model.ts';
import {
  counterOutput,
  imageClassificationOutput,
  modelManifest,
  objectDetectionOutput,
  picture,
  type Validator,
} from './generated/validators.js';
import type { ModelManifest } from './model-manifest.ts';

const OUTPUT = {
  'image-classification': imageClassificationOutput,
  'object-detection': objectDetectionOutput,
  counter: counterOutput,
} as const satisfies Record<FunctionKind, Validator>;

const INPUT = {
  'image-classification': picture,
  'object-detection': picture,
} as const satisfies Record<ModelFunctionKind, Validator>;

/** What is wrong first, and where; undefined where the value is valid. */
function fault(validator: Validator, value: unknown): string | undefined {
  if (validator(value)) return undefined;
  const first = validator.errors?.[0];
  if (first === undefined) return 'is not valid';
  const where = first.instancePath === '' ? 'the whole' : first.instancePath;
  const extra = first.params['additionalProperty'] ?? first.params['allowedValues'] ?? first.params['allowedValue'];
  return `${where} ${first.message ?? first.keyword}${extra === undefined ? '' : ` (${JSON.stringify(extra)})`}`;
}

/** What the decoder says of an input, against the function's input schema. Undefined means valid. */
export function validateInput(kind: ModelFunctionKind, value: unknown): string | undefined {
  return fault(INPUT[kind], value);
}

/** An answer, against the function's output schema. Undefined means valid. */
export function validateOutput(kind: FunctionKind, value: unknown): string | undefined {
  return fault(OUTPUT[kind], value);
}

/** The parsed JSON of a manifest, typed once it fits the schema; else the first fault. */
export function readManifest(value: unknown): { readonly manifest: ModelManifest } | { readonly fault: string } {
  return isManifest(value) ? { manifest: value } : { fault: fault(modelManifest, value) ?? 'is not valid' };
}

function isManifest(value: unknown): value is ModelManifest {
  return modelManifest(value);
}
