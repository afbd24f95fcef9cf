/** Sealed state as the host gives it back: records with their headers, and the set of wrapped keys. */
import { concat } from '../../../enclave/encoding/bytes.ts';
import { encodeKeySet, readKeySet } from '../../../enclave/state/key-set.ts';
import type { KeySetTerms } from '../../../enclave/state/key-set.ts';
import { encodeRecordHead, readRecord } from '../../../enclave/state/record-header.ts';
import { openChunks, sealRecord } from '../../../enclave/state/record.ts';
import { parsePolicyDigest } from '../../../policies/digest.ts';
import { mutate } from '../mutate.ts';
import type { Random } from '../random.ts';
import { codesOf, demand } from '../target.ts';
import type { Target } from '../target.ts';
import { readCbor, varyTree, writeCbor } from '../trees.ts';

const KEY_SET = 1;
const PREFIX_BYTES = 8;
const some = (bytes: number, fill: number): Uint8Array => new Uint8Array(bytes).fill(fill);
const STATE_KEY = some(32, 9);
const TERMS: KeySetTerms = {
  collaboration: 'screening',
  policyDigest: parsePolicyDigest('ab'.repeat(48)),
  seal: 'layered',
  order: ['alice', 'bob'],
};

export async function open(): Promise<Target> {
  const setting = { ...TERMS, keysDigest: some(32, 2) };
  const seal = async (bytes: number): Promise<Uint8Array> => {
    const random = async (count: number): Promise<Uint8Array> => some(count, 3);
    const { parts } = await sealRecord(setting, { name: 'counter', version: 1 }, STATE_KEY, some(bytes, 4), random);
    return concat(Uint8Array.of(0), ...parts);
  };
  const set = { ...TERMS, id: some(16, 5), dataKeys: [some(180, 6), some(180, 7)], wrapped: [some(88, 8)] };
  return {
    codes: codesOf<'state/keys-malformed' | 'state/keys-other-collaboration' | 'state/keys-other-policy' | 'state/keys-other-party'>({
      'state/keys-malformed': true,
      'state/keys-other-collaboration': true,
      'state/keys-other-policy': true,
      'state/keys-other-party': true,
    }), // prettier-ignore
    seeds: [await seal(0), await seal(100), await seal(3_000), concat(Uint8Array.of(KEY_SET), encodeKeySet(set))],
    vary,
    async run(input) {
      const bytes = input.subarray(1);
      if ((input[0] ?? 0) % 2 === KEY_SET) {
        const read = await readKeySet(bytes, TERMS);
        demand(encodeKeySet(read).length === bytes.length, 'a key set is written otherwise');
        return 'key set';
      }
      const record = readRecord(bytes);
      if (record === undefined) return 'no record';
      const { header, head, chunks } = record;
      demand(encodeRecordHead(header).length === head.length, 'a header is written otherwise');
      const opened = await openChunks(STATE_KEY, header, head, chunks);
      return `record, ${opened.found}`;
    },
  };
}

/** Another header of the right length, before the same chunks; or another set. */
function vary(input: Uint8Array, random: Random): Uint8Array {
  const start = (input[0] ?? 0) % 2 === KEY_SET ? 1 : 1 + PREFIX_BYTES;
  const length = start === 1 ? input.length - 1 : lengthAt(input, 5);
  const tree = readCbor(input.subarray(start, start + length));
  const body = tree === undefined ? undefined : writeCbor(varyTree(tree, random));
  if (body === undefined)
    return mutate(input, random, { others: [input], words: ['ACR1'], maxBytes: input.length + 8 });
  const head = input.slice(0, start);
  if (start > 1) new DataView(head.buffer).setUint32(5, body.length);
  return concat(head, body, input.subarray(start + length));
}

const lengthAt = (input: Uint8Array, at: number): number =>
  input.length < at + 4 ? 0 : new DataView(input.buffer, input.byteOffset).getUint32(at);
