/**
 * A Nitro Secure Module behind a unix socket: requests and responses exactly as `/dev/nsm` takes and gives them
 * (aws-nitro-enclaves-nsm-api), each behind its length as four bytes, big-endian. What the hardware would do is here;
 * that there is none, the root says under which it signs.
 *
 *     request   = "DescribeNSM" / "GetRandom" / { "Attestation": { ? user_data, ? nonce, ? public_key: bstr / null } }
 *               / { "DescribePCR" / "LockPCR": { index } } / { "ExtendPCR": { index, data } } / { "LockPCRs": { range } }
 *     response  = { "Attestation": { document } } / { "GetRandom": { random } } / { "DescribePCR": { lock, data } }
 *               / { "ExtendPCR": { data } } / "LockPCR" / "LockPCRs" / { "DescribeNSM": { … } } / { "Error": text }
 */
import { createHash, randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { NSM_LIMITS } from '../../enclave/attest/device.ts';
import { decodeCbor, encodeCbor, mapReader } from '../../enclave/encoding/cbor.ts';
import type { CborValue, MapReader } from '../../enclave/encoding/cbor.ts';
import { frameReader, writeFrame } from '../../enclave/protocol/frame.ts';
import { Failure } from '../../policies/failure.ts';
import type { AttestationIssuer } from './attestation-issuer.ts';

/** The module's own error names. */
export type NsmError = 'InvalidArgument' | 'InvalidIndex' | 'ReadOnlyIndex' | 'InputTooLarge' | 'InternalError';

const PCR_COUNT = 32;
const PCR_BYTES = 48;
/** Locked at launch: an enclave extends and locks only those from here on. */
const FIRST_FREE_PCR = 16;

export interface LocalNsmOptions {
  readonly socketPath: string;
  /** As measured by the host; those of the first sixteen that are absent are zeros. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly moduleId: string;
  readonly issuer: AttestationIssuer;
}

export interface LocalNsm {
  /** Resolves when no connection and no socket file is left. */
  close(): Promise<void>;
}

/** Starts the module for one enclave. */
export async function startLocalNsm(options: LocalNsmOptions): Promise<LocalNsm> {
  const nsm = createLocalNsm(options);
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
    socket.on('error', () => socket.destroy());
    serve(socket, nsm).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.socketPath, resolve);
  });
  return {
    async close() {
      for (const connection of connections) connection.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(options.socketPath, { force: true });
    },
  };
}

/** One request at a time, in order; a request that is too long ends the connection, as the device refuses it. */
async function serve(socket: Socket, nsm: (request: Uint8Array) => Promise<Uint8Array>): Promise<void> {
  const reader = frameReader(socket, NSM_LIMITS.requestBytes);
  for (;;) {
    const request = await reader.readFrame();
    if (request === undefined) break;
    await writeFrame(socket, await nsm(request));
  }
  socket.end();
}

class Refused extends Error {
  readonly error: NsmError;
  constructor(error: NsmError) {
    super(error);
    this.error = error;
  }
}

/** The module itself, without a socket: one request in CBOR, one response in CBOR. Never throws. */
export function createLocalNsm(
  options: Pick<LocalNsmOptions, 'pcrs' | 'moduleId' | 'issuer'>,
): (request: Uint8Array) => Promise<Uint8Array> {
  const registers = createRegisters(options.pcrs);
  return async (request) => {
    try {
      return encodeCbor(await answer(request, registers, options));
    } catch (error) {
      const name =
        error instanceof Refused ? error.error : error instanceof Failure ? 'InvalidArgument' : 'InternalError';
      return encodeCbor(new Map([['Error', name]]));
    }
  };
}

async function answer(
  request: Uint8Array,
  registers: Registers,
  { moduleId, issuer }: Pick<LocalNsmOptions, 'moduleId' | 'issuer'>,
): Promise<CborValue> {
  const { name, fields } = readRequest(request);
  switch (name) {
    case 'DescribeNSM':
      return response(name, [
        ['version_major', 1],
        ['version_minor', 0],
        ['version_patch', 0],
        ['module_id', moduleId],
        ['max_pcrs', PCR_COUNT],
        ['locked_pcrs', registers.lockedIndexes()],
        ['digest', 'SHA384'],
      ]);
    case 'GetRandom':
      return response(name, [['random', new Uint8Array(randomBytes(NSM_LIMITS.randomBytes))]]);
    case 'DescribePCR': {
      const { locked, value } = registers.read(fields.uint('index'));
      return response(name, [['lock', locked], ['data', value]]); // prettier-ignore
    }
    case 'ExtendPCR':
      return response(name, [
        ['data', registers.extend(fields.uint('index'), sized(fields.bytes('data', { min: 1 })))],
      ]);
    case 'LockPCR':
      registers.lock(fields.uint('index'));
      return name;
    case 'LockPCRs':
      registers.lockBelow(fields.uint('range'));
      return name;
    case 'Attestation': {
      const document = await issuer.sign({
        moduleId,
        pcrs: registers.locked(),
        ...optional('publicKey', fields, 'public_key', 1),
        ...optional('userData', fields, 'user_data', 0),
        ...optional('nonce', fields, 'nonce', 0),
      });
      return response(name, [['document', document]]);
    }
    case undefined:
      throw new Refused('InvalidArgument');
  }
}

const REQUESTS = [
  'DescribeNSM',
  'GetRandom',
  'DescribePCR',
  'ExtendPCR',
  'LockPCR',
  'LockPCRs',
  'Attestation',
] as const;

interface Request {
  readonly name: (typeof REQUESTS)[number] | undefined;
  readonly fields: MapReader;
}

/** Requests without fields are their name alone; the others a map of their name to their fields. */
function readRequest(bytes: Uint8Array): Request {
  const limits = { maxBytes: NSM_LIMITS.requestBytes, maxDepth: 2, maxItems: 16, foreign: true };
  const value = decodeCbor(bytes, limits);
  const [key, fields = new Map()] = typeof value === 'string' ? [value] : soleEntry(value);
  const name = REQUESTS.find((known) => known === key);
  return { name, fields: mapReader(fields, 'InvalidArgument') };
}

function soleEntry(value: CborValue): readonly [string, CborValue] {
  const entries = mapReader(value, 'InvalidArgument').entries();
  const [[key, fields] = []] = entries;
  if (typeof key !== 'string' || fields === undefined || entries.length !== 1) throw new Refused('InvalidArgument');
  return [key, fields];
}

function optional(
  claim: 'publicKey' | 'userData' | 'nonce',
  fields: MapReader,
  key: string,
  min: number,
): { readonly [name in typeof claim]?: Uint8Array } {
  const value = fields.optionalBytes(key, { min }, true);
  return value === undefined ? {} : { [claim]: sized(value) };
}

function sized(field: Uint8Array): Uint8Array {
  if (field.length > NSM_LIMITS.fieldBytes) throw new Refused('InputTooLarge');
  return field;
}

function response(name: string, fields: readonly (readonly [string, CborValue])[]): CborValue {
  return new Map([[name, new Map(fields)]]);
}

interface Registers {
  read(index: number): { readonly locked: boolean; readonly value: Uint8Array };
  extend(index: number, data: Uint8Array): Uint8Array;
  lock(index: number): void;
  lockBelow(range: number): void;
  lockedIndexes(): readonly number[];
  /** What a document holds: locked registers alone. */
  locked(): ReadonlyMap<number, Uint8Array>;
}

function createRegisters(initial: ReadonlyMap<number, Uint8Array>): Registers {
  const registers = Array.from({ length: PCR_COUNT }, (_, index) => ({
    value: new Uint8Array(initial.get(index) ?? new Uint8Array(PCR_BYTES)),
    locked: index < FIRST_FREE_PCR || initial.has(index),
  }));
  const at = (index: number): { value: Uint8Array; locked: boolean } => {
    const register = registers[index];
    if (register === undefined) throw new Refused('InvalidIndex');
    return register;
  };
  const lock = (index: number): void => {
    const register = at(index);
    if (register.locked) throw new Refused('ReadOnlyIndex');
    register.locked = true;
  };
  const lockedIndexes = (): readonly number[] => [...registers.keys()].filter((index) => at(index).locked);
  return {
    read: at,
    extend(index, data) {
      const register = at(index);
      if (register.locked) throw new Refused('ReadOnlyIndex');
      register.value = new Uint8Array(createHash('sha384').update(register.value).update(data).digest());
      return register.value;
    },
    lock,
    lockBelow(range) {
      if (range > PCR_COUNT) throw new Refused('InvalidIndex');
      for (const register of registers.slice(0, range)) register.locked = true;
    },
    lockedIndexes,
    locked: () => new Map(lockedIndexes().map((index) => [index, at(index).value])),
  };
}
