/** A caller's record of a decision tree, looked at before it is sent: a malformed one would cost a call. */
import { validate } from '../enclave/functions/generated/decision-tree-input.js';
import { faultOf } from '../enclave/functions/validator.ts';
import { NotJson, asObjects, parseJson } from '../enclave/encoding/strict-json.ts';

/** {"features": {…}}, and what the schema has words for. */
const DEPTH = 8;

/**
 * What is wrong with it, as the rest of a sentence that begins with its name; undefined where it is JSON that fits
 * `input.schema.json`, read as the enclave will. Which features there are the model's owner knows, and the enclave will say.
 */
export function recordFault(input: Uint8Array): string | undefined {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input);
  } catch {
    return 'is not text in UTF-8';
  }
  if (text.startsWith('\u{feff}')) return 'begins with a byte order mark, which is no JSON: save it without';
  try {
    const fault = faultOf(validate, asObjects(parseJson(text, DEPTH)));
    return fault === undefined ? undefined : `is no record: ${fault}`;
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    if (error.fault === 'duplicate') return `has a name twice in one object (character ${error.at})`;
    return error.fault === 'depth' ? 'is nested too deeply' : `is not JSON (character ${error.at})`;
  }
}
