/**
 * The Nitro Secure Module's protocol, as `/dev/nsm` speaks it: one CBOR request, one CBOR response, at most 4096 and
 * 12,288 bytes (aws-nitro-enclaves-nsm-api).
 *
 *     request   = { "Attestation": { user_data, nonce, public_key: bytes[1..1024] / null } }
 *               / "GetRandom" / { "DescribePCR": { index: uint } }
 *     response  = { "Attestation": { document: bytes } } / { "GetRandom": { random: bytes[1..256] } }
 *               / { "DescribePCR": { lock: bool, data: bytes[32, 48, 64] } } / { "Error": text }
 *
 * What carries the bytes is a transport: an argument, chosen by the image's measured transport line.
 */
import { Failure } from '../../policies/failure.ts';
import type { CborCode, CborValue, MapReader } from '../encoding/cbor.ts';
import { decodeCbor, encodeCbor, mapReader } from '../encoding/cbor.ts';
import type { AttestRequest, Nsm } from './nsm.ts';

export type NsmCode = CborCode | 'nsm/malformed' | 'nsm/error' | 'nsm/too-large';

export interface NsmTransport {
  /** One request, one response. Requests may overlap; the transport puts them in order. */
  exchange(request: Uint8Array): Promise<Uint8Array>;
  close(): void;
}

export const NSM_LIMITS = { requestBytes: 4096, responseBytes: 12_288, fieldBytes: 1024, randomBytes: 256 } as const;
/** PCRs of an enclave are SHA-384. */
const PCR_BYTES = 48;

export function createNsm(transport: NsmTransport): Nsm {
  const ask = async (request: CborValue, expected: 'Attestation' | 'GetRandom' | 'DescribePCR'): Promise<MapReader> => {
    const bytes = encodeCbor(request);
    if (bytes.length > NSM_LIMITS.requestBytes) throw tooLarge(`a request of ${bytes.length} bytes`);
    return readResponse(await transport.exchange(bytes), expected);
  };

  return {
    async attest(request) {
      const response = await ask(new Map([['Attestation', attestationOf(request)]]), 'Attestation');
      const document = response.bytes('document', { min: 1, max: NSM_LIMITS.responseBytes });
      response.done();
      return document;
    },

    async random(bytes) {
      if (!Number.isInteger(bytes) || bytes < 1 || bytes > NSM_LIMITS.randomBytes) {
        throw new RangeError(`the module gives 1 to ${NSM_LIMITS.randomBytes} bytes a call, not ${bytes}`);
      }
      const response = await ask('GetRandom', 'GetRandom');
      const random = response.bytes('random', { min: bytes, max: NSM_LIMITS.randomBytes });
      response.done();
      return random.slice(0, bytes);
    },

    async describePcr(index) {
      const response = await ask(new Map([['DescribePCR', new Map([['index', index]])]]), 'DescribePCR');
      response.boolean('lock');
      const data = response.bytes('data', { exact: PCR_BYTES });
      response.done();
      return data;
    },
  };
}

function attestationOf({ publicKey, userData, nonce }: AttestRequest): CborValue {
  for (const [name, field] of [
    ['public_key', publicKey],
    ['user_data', userData],
    ['nonce', nonce],
  ] as const) {
    if (field !== undefined && field.length > NSM_LIMITS.fieldBytes) {
      throw tooLarge(`${name} of ${field.length} bytes`);
    }
  }
  return new Map([
    ['user_data', userData ?? null],
    ['nonce', nonce ?? null],
    ['public_key', publicKey ?? null],
  ]);
}

function readResponse(bytes: Uint8Array, expected: string): MapReader {
  const value = decodeCbor(bytes, { maxBytes: NSM_LIMITS.responseBytes, maxDepth: 3, maxItems: 16, foreign: true });
  const outer = mapReader<NsmCode>(value, 'nsm/malformed', 'NSM response');
  if (outer.has('Error')) {
    const error = outer.text('Error', { max: 64 });
    throw new Failure<NsmCode>('environment', 'nsm/error', `the NSM refused a request: ${error}`, { where: expected });
  }
  const inner = outer.map(expected);
  outer.done();
  return inner;
}

function tooLarge(what: string): Failure<NsmCode> {
  return new Failure('malformed', 'nsm/too-large', `${what} is more than the NSM takes`);
}
