/** `measurements.json`, as `accord build` writes it beside an image: what a party computed for itself, and pins. */
import type { Pcrs } from '../build/measure/pcr.ts';
import { parsePolicyDigest } from '../policies/digest.ts';
import type { PolicyDigest } from '../policies/model.ts';
import { HEX_384 } from './home.ts';
import { jsonFields, parseJson } from './json-fields.ts';

export type MeasurementsCode = 'measurements/malformed';

export interface Measurements extends Pcrs {
  readonly policyDigest: PolicyDigest;
}

/** `where` names the file in messages. @throws Failure<MeasurementsCode>, `malformed` */
export function parseMeasurements(text: string, where: string): Measurements {
  const code: MeasurementsCode = 'measurements/malformed';
  const hint = 'accord build writes measurements.json beside the image';
  const fields = jsonFields(parseJson(text, code, where, hint), code, where, hint);
  return {
    policyDigest: parsePolicyDigest(fields.text('policyDigest', HEX_384)),
    PCR0: fields.text('PCR0', HEX_384),
    PCR1: fields.text('PCR1', HEX_384),
    PCR2: fields.text('PCR2', HEX_384),
  };
}
