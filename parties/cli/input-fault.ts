/** What an input is not, as far as it shows without decoding it: the enclave would refuse it, and count the call. */
import { sniff } from '../../enclave/jail/picture.ts';
import type { ModelFunctionKind } from '../../policies/model.ts';
import { recordFault } from '../record-fault.ts';

/** In words that follow the file's name; undefined where nothing is wrong. */
export function inputFault(uses: ModelFunctionKind, input: Uint8Array): string | undefined {
  if (input.length === 0) return 'is empty';
  if (uses === 'decision-tree') return recordFault(input);
  return sniff(input) === undefined ? 'does not begin like a JPEG, PNG or WebP file' : undefined;
}
