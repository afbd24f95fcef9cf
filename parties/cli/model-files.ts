/** What is wrong with a model, told with the file that it is wrong in. */
import { Failure } from '../../policies/failure.ts';

export interface ModelFiles {
  readonly manifest: string;
  readonly model: string;
}

/** `where` of a manifest names a place in it, which follows the file's name. What is no fault of a model passes through unchanged. */
export function faultInFiles(cause: unknown, { manifest, model }: ModelFiles): unknown {
  if (!(cause instanceof Failure) || !cause.code.startsWith('model/')) return cause;
  const { kind, code, message, where = '', hint } = cause;
  const place = /^manifest((?:[ ,].*)?)$/.exec(where)?.[1];
  const file = place === undefined ? model : `${manifest}${place}`;
  return new Failure(kind, code, message, { where: file, ...(hint === undefined ? {} : { hint }), cause });
}
