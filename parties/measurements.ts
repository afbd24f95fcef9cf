/** `measurements.json`, as `accord build` writes it beside an image: what a party computed for itself, and pins. */
import type { TargetName } from '../build/image-builder.ts';
import type { Pcrs } from '../build/measure/pcr.ts';
import type { Claim } from '../build/reproduce.ts';
import { parsePolicyDigest } from '../policies/digest.ts';
import type { PolicyDigest } from '../policies/model.ts';
import { HEX_384 } from './home.ts';
import { jsonFields, parseJson } from './json-fields.ts';

export type MeasurementsCode = 'measurements/malformed';

export interface Measurements extends Pcrs {
  readonly policyDigest: PolicyDigest;
}

const CODE: MeasurementsCode = 'measurements/malformed';
const HINT = 'accord build writes measurements.json beside the image';

/** `where` names the file in messages. @throws Failure<MeasurementsCode>, `malformed` */
export function parseMeasurements(text: string, where: string): Measurements {
  const fields = jsonFields(parseJson(text, CODE, where, HINT), CODE, where, HINT);
  return {
    policyDigest: parsePolicyDigest(fields.text('policyDigest', HEX_384)),
    PCR0: fields.text('PCR0', HEX_384),
    PCR1: fields.text('PCR1', HEX_384),
    PCR2: fields.text('PCR2', HEX_384),
  };
}

/** All that can be built again and compared. */
export interface ReproducibleClaim extends Claim {
  readonly target: TargetName;
  /** Of an image for Nitro: the registry's image that it has its C library from, and whether it has nitro-cli's kernel. */
  readonly base?: string;
  readonly isFromBlobs: boolean;
}

/** Likewise, of a file that must say everything that `accord build` writes. @throws Failure<MeasurementsCode>, `malformed` */
export function parseClaim(text: string, where: string): ReproducibleClaim {
  const { policyDigest } = parseMeasurements(text, where);
  const all = parseJson(text, CODE, where, HINT);
  const fields = jsonFields(all, CODE, where, HINT);
  fields.text('apiVersion', /^accord\/v1$/);
  const target = fields.text('target', /^(local|nitro)$/) === 'local' ? 'local' : 'nitro';
  fields.text('collaboration');
  const eif = fields.fields('eif');
  eif.count('bytes');
  eif.text('sha384', HEX_384);
  fields.fields('sizing');
  const inputs = fields.fields('inputs');
  const base = inputs.optionalFields('base')?.optionalText('image');
  const isFromBlobs = inputs.optionalText('boot') === 'aws-blobs';
  const PCR8 = fields.has('PCR8') ? fields.text('PCR8', HEX_384) : undefined;
  return {
    policyDigest,
    target,
    all,
    isFromBlobs,
    ...(base === undefined ? {} : { base }),
    ...(PCR8 === undefined ? {} : { PCR8 }),
  };
}
