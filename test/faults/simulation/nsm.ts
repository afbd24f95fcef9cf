/** The Nitro Secure Module: documents with the time of the simulation in them, signed by nobody. */
import type { Nsm } from '../../../enclave/attest/nsm.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { Simulation } from './clock.ts';
import type { Prng } from './prng.ts';

/** Where the time of the module begins. */
export const START: number = Date.parse('2026-11-21T12:00:00Z');

const NOTHING = new Uint8Array(1);

export function createSimulatedNsm(simulation: Simulation, random: Prng): Nsm {
  return {
    attest: ({ publicKey }) => {
      const payload = new Map<string, CborValue>([['timestamp', START + Math.floor(simulation.now())]]);
      if (publicKey !== undefined) payload.set('public_key', publicKey);
      return Promise.resolve(encodeCbor([NOTHING, new Map(), encodeCbor(payload), NOTHING]));
    },
    random: (bytes) => Promise.resolve(random.bytes(bytes)),
    describePcr: () => Promise.resolve(new Uint8Array(48).fill(0xaa)),
  };
}
