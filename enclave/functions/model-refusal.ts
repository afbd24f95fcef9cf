/** Why a contributed model is not taken. Each code is one thing that its owner can mend. */
import { Failure } from '../../policies/failure.ts';

export const MODEL_CODES = [
  // the package
  'model/malformed-package', // not u32 length, manifest, file
  'model/too-large',
  'model/malformed-manifest', // not UTF-8, not JSON or with a name twice, not as the schema says
  'model/inconsistent-manifest', // as the schema says, but the parts contradict each other
  'model/wrong-function', // for another function than the policy names
  // the ONNX file
  'model/malformed-onnx', // not a protobuf message of the ONNX format
  'model/unsupported-opset',
  'model/unsupported-field', // a field of the format that is not taken: training info, functions, sparse tensors…
  'model/external-data',
  'model/custom-operator', // an operator of another domain than ONNX's own
  'model/control-flow', // If, Loop, Scan, or any nested graph
  'model/operator-not-allowed',
  'model/too-complex', // more nodes, tensors, dimensions, features or decisions than are taken
  'model/wrong-input', // names, types or shapes are not those of the manifest
  'model/wrong-output',
  // the trial run
  'model/session-refused', // onnxruntime does not take it
  'model/not-finite', // NaN or infinity for an even grey picture, or a threshold that is NaN
  'model/too-slow', // loading and two runs were not done in time
  'model/crashed', // the computing process died of it
  // a decision tree
  'model/malformed-tree', // not a tree in one of the forms that are taken: cycles, missing children, other tests…
] as const;

export type ModelCode = (typeof MODEL_CODES)[number];

export function modelFailure(code: ModelCode, message: string, where?: string, hint?: string): Failure<ModelCode> {
  const details = { ...(where === undefined ? {} : { where }), ...(hint === undefined ? {} : { hint }) };
  return new Failure<ModelCode>('malformed', code, message, details);
}
