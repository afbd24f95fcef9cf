/**
 * What nitro-cli prints to standard output, read strictly: each member that is used must be there and of its type. What is
 * not used is ignored, since later versions say more.
 *
 *     run-enclave         { EnclaveName, EnclaveID, ProcessID, EnclaveCID, NumberOfCPUs, CPUIDs, MemoryMiB }
 *     describe-enclaves   [ { …the same, State: RUNNING | TERMINATING | EMPTY, Flags: NONE | DEBUG_MODE,
 *                             Measurements: { HashAlgorithm: "Sha384 { ... }", PCR0, PCR1, PCR2, PCR8? } } ]
 *     terminate-enclave   { EnclaveName, EnclaveID, Terminated }
 *
 * `Measurements` are of the image file, in debug mode too (where the enclave's own PCRs are zeros).
 * Source: aws-nitro-enclaves-cli, src/common/json_output.rs, and its command reference.
 */
import { jsonFields, parseJson } from '../../../parties/json-fields.ts';
import type { Fields } from '../../../parties/json-fields.ts';
import { Failure } from '../../../policies/failure.ts';
import type { Measurements } from '../host.ts';

export type NitroOutputCode = 'host/nitro-cli-output';

const CODE: NitroOutputCode = 'host/nitro-cli-output';
const HINT = 'this is not what nitro-cli 1.2 and later print: which version is installed? `nitro-cli --version`';
const ID = /^i-[0-9a-f]{8,17}-enc[0-9a-f]{1,32}$/;
const PCR = /^[0-9a-f]{96}$/;
const STATES = ['RUNNING', 'TERMINATING', 'EMPTY'] as const;
/** CIDs 0 to 3 are the hypervisor, the local loop, the host and the parent instance. */
const FIRST_CID = 4;
const LAST_CID = 0xffff_fffe;

export interface StartedEnclave {
  readonly id: string;
  readonly cid: number;
  readonly cpus: number;
  readonly memoryMiB: number;
}

export interface ListedEnclave extends StartedEnclave {
  /** Undefined for one that a version without names started. */
  readonly name: string | undefined;
  readonly state: (typeof STATES)[number];
  readonly isDebug: boolean;
  readonly measurements: Measurements | undefined;
}

export function readStarted(stdout: string): StartedEnclave {
  return started(jsonFields(parse(stdout, 'run-enclave'), CODE, 'nitro-cli run-enclave', HINT));
}

export function readListed(stdout: string): readonly ListedEnclave[] {
  const whole = { enclaves: parse(stdout, 'describe-enclaves') };
  return jsonFields(whole, CODE, 'nitro-cli describe-enclaves', HINT).list('enclaves').map(listed);
}

/** True where nitro-cli says that this very enclave has ended. */
export function readTerminated(stdout: string, id: string): boolean {
  const fields = jsonFields(parse(stdout, 'terminate-enclave'), CODE, 'nitro-cli terminate-enclave', HINT);
  const terminated = fields.entries().find(([name]) => name === 'Terminated')?.[1];
  if (typeof terminated !== 'boolean') throw malformed('terminate-enclave', 'Terminated is not true or false');
  return fields.text('EnclaveID', ID) === id && terminated;
}

function started(fields: Fields): StartedEnclave {
  const cid = fields.count('EnclaveCID');
  if (cid < FIRST_CID || cid > LAST_CID) throw malformed('run-enclave', `${cid} is not the CID of an enclave`);
  return {
    id: fields.text('EnclaveID', ID),
    cid,
    cpus: fields.count('NumberOfCPUs'),
    memoryMiB: fields.count('MemoryMiB'),
  };
}

function listed(fields: Fields): ListedEnclave {
  const state = STATES.find((known) => known === fields.text('State'));
  if (state === undefined) throw malformed('describe-enclaves', 'State is none that is known');
  const measurements = fields.optionalFields('Measurements');
  return {
    ...started(fields),
    name: fields.optionalText('EnclaveName'),
    state,
    isDebug: fields.text('Flags', /^(?:NONE|DEBUG_MODE)$/) === 'DEBUG_MODE',
    measurements: measurements && {
      PCR0: measurements.text('PCR0', PCR),
      PCR1: measurements.text('PCR1', PCR),
      PCR2: measurements.text('PCR2', PCR),
    },
  };
}

function parse(stdout: string, verb: string): unknown {
  return parseJson(stdout, CODE, `what nitro-cli ${verb} printed`, HINT);
}

function malformed(verb: string, what: string): Failure<NitroOutputCode> {
  return new Failure('malformed', CODE, `nitro-cli ${verb}: ${what}`, { hint: HINT });
}
