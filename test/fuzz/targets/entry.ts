/** What stands at one place in an anchor: genuine, foreign or malformed, and never anything else. */
import { encodeEntry, entryKey, entryOf, parseEntry, readEntry } from '../../../enclave/claims/entry.ts';
import type { Entry } from '../../../enclave/claims/entry.ts';
import { parseAnchorCredential } from '../../../enclave/claims/anchor-credential.ts';
import type { AnchorCredentialCode } from '../../../enclave/claims/anchor-credential.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { codesOf, demand, demandSame } from '../target.ts';
import type { Target } from '../target.ts';
import { varyJson } from '../trees.ts';

const PLACE = { name: 'accord/v1/screening/keys', k: 0 };
const some = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const ENTRY = 0;

export async function open(): Promise<Target> {
  const key = await entryKey(some(1));
  const entries: readonly Entry[] = [
    { kind: 'ticket', first: some(2), second: some(3) },
    entryOf('version', some(4)),
    entryOf('closed', some(5)),
  ];
  const genuine = await Promise.all(entries.map((entry) => encodeEntry(key, PLACE, entry)));
  const credential = new TextEncoder().encode('{"accessKeyId":"AKIAANCHOR","secretAccessKey":"secret"}');
  return {
    codes: codesOf<AnchorCredentialCode>({ 'anchor-credential/malformed': true }),
    seeds: [...genuine.map((bytes) => concat(Uint8Array.of(ENTRY), bytes)), concat(Uint8Array.of(1), credential)],
    vary: async (input, random) =>
      (input[0] ?? 0) % 4 === 1
        ? concat(input.subarray(0, 1), await varyJson(input.subarray(1), random))
        : input.slice(),
    /** A forger without the key cannot do this: what is between the mac's ends is right, its author is not. */
    async repair(input) {
      const entry = parseEntry(input.subarray(1));
      return entry === undefined ? input : concat(input.subarray(0, 1), await encodeEntry(key, PLACE, entry));
    },
    async run(input) {
      const bytes = input.subarray(1);
      if ((input[0] ?? 0) % 4 === 1) {
        parseAnchorCredential(bytes);
        return 'credential';
      }
      const reading = await readEntry(key, PLACE, bytes);
      demand((reading.outcome === 'malformed') === (parseEntry(bytes) === undefined), 'two readings differ');
      if (reading.outcome === 'genuine') {
        demandSame(await encodeEntry(key, PLACE, reading.entry), bytes, 'an entry is written otherwise');
      }
      return reading.outcome;
    },
  };
}
