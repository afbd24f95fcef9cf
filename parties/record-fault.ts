/** A caller's record of a decision tree, looked at before it is sent: a malformed one would cost a call. */
import { validate } from '../enclave/functions/generated/decision-tree-input.js';
import { faultOf } from '../enclave/functions/validator.ts';

/**
 * What is wrong with it, as the rest of a sentence that begins with its name; undefined where it is JSON that fits
 * `input.schema.json`. Which features there are the model's owner knows, and the enclave will say.
 */
export function recordFault(input: Uint8Array): string | undefined {
  try {
    const fault = faultOf(validate, JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(input)));
    return fault === undefined ? undefined : `is no record: ${fault}`;
  } catch {
    return 'is not JSON in UTF-8';
  }
}
