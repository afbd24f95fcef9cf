/** Answers, held to the output schema of their function. */
import type { FunctionKind } from '../../policies/model.ts';
import { validate as counter } from './generated/counter-output.js';
import { validate as tree } from './generated/decision-tree-output.js';
import { validate as classification } from './generated/image-classification-output.js';
import { validate as detection } from './generated/object-detection-output.js';
import { faultOf, type Validator } from './validator.ts';

const OUTPUT = {
  'image-classification': classification,
  'object-detection': detection,
  'decision-tree': tree,
  counter,
} as const satisfies Record<FunctionKind, Validator>;

/** What is wrong with an answer; undefined where it is valid. */
export function validateOutput(kind: FunctionKind, value: unknown): string | undefined {
  return faultOf(OUTPUT[kind], value);
}
