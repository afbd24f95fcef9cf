/** Sealed models in memory: where a party puts one, and where the enclave fetches it, with no orchestrator between. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ContributionKeeper } from '../../orchestrator/relay/contributions.ts';
import type { Coordinator } from '../../parties/coordinator/client.ts';

export interface Envelopes {
  readonly contributions: ContributionKeeper;
  readonly coordinator: Pick<Coordinator, 'contribute'>;
}

export function createEnvelopes(): Envelopes {
  const envelopes = new Map<string, Uint8Array>();
  return {
    contributions: {
      async give(name) {
        const envelope = envelopes.get(name);
        return envelope && { bytes: envelope.length, stream: Readable.from([envelope]) };
      },
      taken: async () => true,
    },
    coordinator: {
      async contribute(_, name, { content }) {
        const pieces: Uint8Array[] = [];
        // The party's sealing may write the next piece over this one.
        for await (const piece of content) pieces.push(new Uint8Array(piece));
        const envelope = Buffer.concat(pieces);
        envelopes.set(name, envelope);
        const sha256 = createHash('sha256').update(envelope).digest('hex');
        return { function: name, bytes: envelope.length, sha256 };
      },
    },
  };
}
