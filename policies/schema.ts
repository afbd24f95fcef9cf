/**
 * The format, once. From these shapes come the JSON Schema that editors use (`policy.schema.json`), the loader's
 * checks, and the exact validator of the canonical form inside the enclave.
 */
import { BOUNDS } from './bounds.ts';
import { isCalendarDate } from './date.ts';
import { canonicalFunctions, functions } from './format/functions.ts';
import { name } from './format/names.ts';
import { canonicalParties, parties } from './format/parties.ts';
import { canonicalTrust, trust } from './format/trust.ts';
import type { CanonicalPolicy, Policy } from './model.ts';
import { defaulted, object, required } from './reading/object.ts';
import { choice, text, whole } from './reading/scalars.ts';
import { report, type JsonSchema, type Shape } from './reading/shape.ts';

const apiVersion: Shape<'accord/v1'> = choice('Version of this format.', 'a version of this format', ['accord/v1'], {
  'accord/v2': 'a later version of this format',
});
const collaboration: Shape<string> = name('Name of the collaboration.', 'a name');

const until: Shape<string> = text({
  description: 'Last day (UTC) on which calls are served, by the clock of the enclave hardware.',
  wanted: 'a date, like 2027-06-30',
  pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$',
  maxLength: 10,
  code: 'policy/bad-date',
  hint: 'write year-month-day, like 2027-06-30',
  check: (date) =>
    /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(date) && !isCalendarDate(date)
      ? { code: 'policy/bad-date', message: `the calendar has no ${date}`, hint: 'write a day that exists' }
      : undefined,
});

const noAnchors: Shape<'none'> = choice(
  'Where spent calls are written down. `none`: in the memory of the enclave, so a restart resets them.',
  '`none`',
  ['none'],
);
const anchors: Shape<'none'> = {
  schema: noAnchors.schema,
  read: (source, path, reading) =>
    source.kind === 'map'
      ? report(reading, source.at, path, {
          code: 'policy/unsupported',
          message: 'stores for spent calls: not enforced by this version, hence not accepted',
          hint: 'write `anchors: none`, or use a version that enforces it',
        })
      : noAnchors.read(source, path, reading),
};

const memoryMiB = whole({
  description: 'Memory of the enclave in MiB.',
  wanted: 'a number of MiB',
  ...BOUNDS.memoryMiB,
});
const cpus = whole({ description: 'CPUs of the enclave.', wanted: 'a number of CPUs', ...BOUNDS.cpus });
const ENCLAVE = { description: 'Size of the enclave.', wanted: '{ memoryMiB, cpus }' };
const STANDARD_ENCLAVE = { memoryMiB: 1024, cpus: 2 };

/** What the parties write. */
export const policyShape: Shape<Policy> = object<Policy>(
  {
    apiVersion: required(apiVersion),
    collaboration: required(collaboration),
    until: required(until),
    parties: required(parties),
    functions: required(functions),
    anchors: defaulted(anchors, 'none'),
    enclave: defaulted(
      object<Policy['enclave']>(
        {
          memoryMiB: defaulted(memoryMiB, STANDARD_ENCLAVE.memoryMiB),
          cpus: defaulted(cpus, STANDARD_ENCLAVE.cpus),
        },
        ENCLAVE,
      ),
      STANDARD_ENCLAVE,
    ),
    trust: defaulted(trust, 'aws'),
  },
  {
    description: 'What the parties agree to. All of it is measured; nothing beyond it can be computed.',
    wanted: 'a policy',
    unsupported: { state: 'state that is sealed and outlives the enclave' },
  },
);

/** What the image carries: everything said, ARNs hashed, in bytes and milliseconds. */
export const canonicalPolicyShape: Shape<CanonicalPolicy> = object<CanonicalPolicy>(
  {
    apiVersion: required(apiVersion),
    collaboration: required(collaboration),
    until: required(until),
    parties: required(canonicalParties),
    functions: required(canonicalFunctions),
    anchors: required(noAnchors),
    enclave: required(object<Policy['enclave']>({ memoryMiB: required(memoryMiB), cpus: required(cpus) }, ENCLAVE)),
    trust: required(canonicalTrust),
  },
  { description: 'The canonical policy.', wanted: 'a policy' },
);

const DIALECT = 'http://json-schema.org/draft-07/schema#';

/** Published as `policies/policy.schema.json`; a test demands that they are equal. */
export const policySchema: JsonSchema = { $schema: DIALECT, title: 'Accord policy', ...policyShape.schema };
