/**
 * The format, once. From these shapes come the JSON Schema that editors use (`policy.schema.json`), the loader's
 * checks, and the exact validator of the canonical form inside the enclave.
 */
import { parseKmsKeyArn } from './arn.ts';
import { BOUNDS } from './bounds.ts';
import { isCalendarDate } from './date.ts';
import { anchors, completeAnchors, type WrittenAnchors } from './format/anchors.ts';
import { canonicalAnchors } from './format/canonical-anchors.ts';
import { checkDurability, regionObjection, reportHalves } from './format/durability.ts';
import { canonicalFunctions, functions } from './format/functions.ts';
import { name } from './format/names.ts';
import { canonicalParties, parties } from './format/parties.ts';
import { canonicalState, state, succeeds } from './format/state.ts';
import { canonicalTrust, trust } from './format/trust.ts';
import type { CanonicalPolicy, Policy } from './model.ts';
import { defaulted, object, optional, required } from './reading/object.ts';
import { choice, text, whole } from './reading/scalars.ts';
import { refine, report, type JsonSchema, type Shape } from './reading/shape.ts';
import { follow } from './reading/source.ts';

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

const memoryMiB = whole({
  description: 'Memory of the enclave in MiB.',
  wanted: 'a number of MiB',
  ...BOUNDS.memoryMiB,
});
const cpus = whole({ description: 'CPUs of the enclave.', wanted: 'a number of CPUs', ...BOUNDS.cpus });
const ENCLAVE = { description: 'Size of the enclave.', wanted: '{ memoryMiB, cpus }' };
const STANDARD_ENCLAVE = { memoryMiB: 1024, cpus: 2 };

/** A policy as it is written: anchors before the order and the Regions that they lean on are known. */
type WrittenPolicy = Omit<Policy, 'anchors'> & { readonly anchors: 'none' | WrittenAnchors };

const writtenPolicy: Shape<WrittenPolicy> = object<WrittenPolicy>(
  {
    apiVersion: required(apiVersion),
    collaboration: required(collaboration),
    until: required(until),
    parties: required(parties),
    functions: required(functions),
    anchors: defaulted<WrittenPolicy['anchors']>(anchors, 'none'),
    state: defaulted<Policy['state']>(state, 'none'),
    succeeds: optional(succeeds),
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
  },
);

/** What the parties write. A folder as an anchor is judged by the loader, which knows of the trust file. */
export const policyShape: Shape<Policy> = {
  schema: writtenPolicy.schema,
  read(source, path, reading) {
    const before = reading.faults.length;
    const written = writtenPolicy.read(source, path, reading);
    if (source.kind === 'map') reportHalves(source, path, reading);
    if (written !== undefined && written.anchors !== 'none') {
      for (const [owner, store] of written.anchors.stores) {
        const asked = 's3' in store ? store.region : undefined;
        const wrong = asked === undefined ? undefined : regionObjection(asked, keyRegion(written, owner));
        const inner = ['anchors', owner, 'region'];
        if (wrong !== undefined) report(reading, follow(source, inner)?.at ?? source.at, [...path, ...inner], wrong);
      }
    }
    return written === undefined || reading.faults.length > before ? undefined : complete(written);
  },
};

function complete({ anchors: written, ...rest }: WrittenPolicy): Policy {
  if (written === 'none' || rest.state === 'none') return { ...rest, anchors: 'none' };
  return { ...rest, anchors: completeAnchors(written, rest.state.order, (owner) => keyRegion(rest, owner)) };
}

const keyRegion = ({ parties: all }: Pick<Policy, 'parties'>, owner: string): string =>
  parseKmsKeyArn(all[owner]?.kmsKeyArn ?? '').region;

/** What the image carries: everything said, ARNs hashed, in bytes and milliseconds. */
export const canonicalPolicyShape: Shape<CanonicalPolicy> = refine(
  object<CanonicalPolicy>(
    {
      apiVersion: required(apiVersion),
      collaboration: required(collaboration),
      until: required(until),
      parties: required(canonicalParties),
      functions: required(canonicalFunctions),
      anchors: required(canonicalAnchors),
      state: required(canonicalState),
      succeeds: optional(succeeds),
      enclave: required(object<Policy['enclave']>({ memoryMiB: required(memoryMiB), cpus: required(cpus) }, ENCLAVE)),
      trust: required(canonicalTrust),
    },
    { description: 'The canonical policy.', wanted: 'a policy' },
  ),
  checkDurability,
);

const DIALECT = 'http://json-schema.org/draft-07/schema#';

/** Published as `policies/policy.schema.json`; a test demands that they are equal. */
export const policySchema: JsonSchema = { $schema: DIALECT, title: 'Accord policy', ...policyShape.schema };
