/** A caller's record for a tree: as the reading jail takes it, and as the caller's own side looks at it before. */
import { RECORD_REFUSALS, explainRecord } from '../../../enclave/jail/record-refusal.ts';
import { readRecord } from '../../../enclave/jail/record-vector.ts';
import { recordFault } from '../../../parties/record-fault.ts';
import { Failure } from '../../../policies/failure.ts';
import { demand } from '../target.ts';
import type { Target } from '../target.ts';
import { varyJson } from '../trees.ts';

const FEATURES = ['age', '7', 'name with "quotes"'] as const;
const WIDTH = 5;
const PLAN = { features: FEATURES, width: WIDTH, maxBytes: 4_096 };
/** What can be told without the model, and hence before it costs a call. */
const FORM = new Set(['notText', 'notJson', 'duplicate', 'shape', 'tooDeep']);

const record = (values: readonly (number | boolean)[]): Uint8Array =>
  new TextEncoder().encode(
    JSON.stringify({ features: Object.fromEntries(FEATURES.map((name, index) => [name, values[index]])) }),
  );

export async function open(): Promise<Target> {
  return {
    codes: new Set(Object.keys(RECORD_REFUSALS).map((reason) => `record/${reason}`)),
    seeds: [record([1, 2, 3]), record([true, -0, 1e-45]), record([3e38, 0.1, false])],
    vary: varyJson,
    words: ['"features"', '"age"', '"7"', '"\\u0061ge"', '1e39', '1e999', 'true', '\ufeff', '"__proto__"', '{{', '0.1'],
    run(input) {
      const read = readRecord(input, PLAN);
      const fault = recordFault(input);
      if (read instanceof Uint8Array) {
        demand(fault === undefined, `the caller's side refuses what is taken: ${fault ?? ''}`);
        demand(read.length === 4 * WIDTH, 'a vector of another length');
        demand(new Float32Array(read.buffer).every(Number.isFinite), 'a vector with a number that is none');
        return 'record';
      }
      const words = explainRecord(RECORD_REFUSALS[read.reason], read.place, FEATURES);
      demand(words !== undefined, `${read.reason} at ${read.place} has no words`);
      demand(!FORM.has(read.reason) || fault !== undefined, `the caller's side takes what is ${read.reason}`);
      throw new Failure('malformed', `record/${read.reason}`, words ?? '');
    },
  };
}
