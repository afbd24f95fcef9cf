/** Changes of values: of one node somewhere in a tree of maps, lists and plain values. CBOR and JSON share them. */
import { decodeCbor, encodeCbor, isCborArray } from '../../enclave/encoding/cbor.ts';
import type { CborKey, CborLimits, CborValue } from '../../enclave/encoding/cbor.ts';
import { mutate } from './mutate.ts';
import type { Random } from './random.ts';
import type { Variation } from './target.ts';

const LOOSE: CborLimits = { maxBytes: 2 ** 24, maxDepth: 64, maxItems: 2 ** 20, floats: true, foreign: true };
const NUMBERS: readonly CborValue[] = [0, 1, -1, 23, 24, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -(2 ** 53 - 1), 1.5, -0, 1e308, 2n ** 63n, 2n ** 64n - 1n]; // prettier-ignore
const TEXTS: readonly string[] = ['', ' ', '0', '-1', 'a', '__proto__', 'constructor', 'toString', '\0', '\r\n', '\u2028', '🦄', 'é', '..', '/', '../../etc/passwd', 'x'.repeat(64), 'x'.repeat(5_000)]; // prettier-ignore

/** A tree like this one with one node changed. */
export function varyTree(tree: CborValue, random: Random): CborValue {
  const nodes = nodesOf(tree);
  const chosen = random.int(nodes.length);
  let at = -1;
  const walk = (node: CborValue): CborValue => {
    at += 1;
    if (at === chosen) {
      at += nodesOf(node).length - 1;
      return varyNode(node, nodes, random);
    }
    if (node instanceof Map) return new Map([...node].map(([key, value]): [CborKey, CborValue] => [key, walk(value)]));
    return isCborArray(node) ? node.map(walk) : node;
  };
  return walk(tree);
}

/** Every node, a parent before its children. */
function nodesOf(tree: CborValue): readonly CborValue[] {
  if (tree instanceof Map) return [tree, ...[...tree.values()].flatMap(nodesOf)];
  return isCborArray(tree) ? [tree, ...tree.flatMap(nodesOf)] : [tree];
}

function varyNode(node: CborValue, nodes: readonly CborValue[], random: Random): CborValue {
  if (random.chance(0.15)) return random.pick(nodes);
  if (random.chance(0.1)) return plain(random);
  if (random.chance(0.04)) return nested(node, random.pick([1, 2, 8, 20]));
  if (node instanceof Map) return varyMap(node, nodes, random);
  if (isCborArray(node)) return varyList(node, nodes, random);
  if (node instanceof Uint8Array) return varyBytes(node, random);
  if (typeof node === 'string') return varyText(node, random);
  if (typeof node === 'number' && random.chance(0.4)) return Math.trunc(node) + random.pick([-1, 1, 256]);
  return plain(random);
}

const plain = (random: Random): CborValue =>
  random.pick<() => CborValue>([
    () => random.pick(NUMBERS),
    () => random.pick(TEXTS),
    () => random.chance(0.5),
    () => null,
    () => new Uint8Array(random.pick([0, 1, 16, 32, 48, 64, 1_025])).fill(random.int(256)),
    () => [],
    () => new Map(),
  ])();

function nested(node: CborValue, depth: number): CborValue {
  let value = node;
  for (let left = depth; left > 0; left -= 1) value = [value];
  return value;
}

function varyMap(map: ReadonlyMap<CborKey, CborValue>, nodes: readonly CborValue[], random: Random): CborValue {
  const entries: [CborKey, CborValue][] = [...map];
  const at = random.int(entries.length + 1);
  switch (random.int(4)) {
    case 0:
      entries.splice(at, 1);
      break;
    case 1:
      entries.splice(at, 0, [random.pick(TEXTS), random.pick(nodes)]);
      break;
    case 2:
      entries.splice(at, 0, [random.pick([0, 1, -1, 31, 32, 255]), random.pick(nodes)]);
      break;
    default:
      entries.reverse();
  }
  return new Map(entries);
}

function varyList(list: readonly CborValue[], nodes: readonly CborValue[], random: Random): CborValue {
  const at = random.int(list.length + 1);
  switch (random.int(4)) {
    case 0:
      return list.toSpliced(at, 1);
    case 1:
      return list.toSpliced(at, 0, random.pick(nodes));
    case 2:
      return list.toSpliced(at, 0, ...list.slice(0, 64));
    default:
      return list.toReversed();
  }
}

function varyBytes(bytes: Uint8Array, random: Random): Uint8Array {
  if (random.chance(0.3)) return bytes.slice(0, random.int(bytes.length + 1));
  return mutate(bytes, random, {
    others: [bytes],
    words: [],
    maxBytes: bytes.length + random.pick([0, 0, 0, 1, 1_025]),
  });
}

function varyText(text: string, random: Random): string {
  const at = random.int(text.length + 1);
  switch (random.int(4)) {
    case 0:
      return random.pick(TEXTS);
    case 1:
      return text.slice(0, at);
    case 2:
      return `${text.slice(0, at)}${random.pick(TEXTS)}${text.slice(at)}`;
    default:
      return (
        text.slice(0, at) +
        String.fromCodePoint(random.pick([0, 9, 10, 0x22, 0x5c, 0x7f, 0xe9, 0x1f984])) +
        text.slice(at + 1)
      );
  }
}

/** Of an input that is one CBOR item; any other comes back as it is, cut at random. */
export const varyCbor: Variation = (input, random) => {
  const tree = readCbor(input);
  if (tree === undefined) return mutate(input, random, { others: [input], words: [], maxBytes: input.length + 8 });
  return writeCbor(varyTree(tree, random)) ?? input;
};

export function readCbor(bytes: Uint8Array): CborValue | undefined {
  try {
    return decodeCbor(bytes, LOOSE);
  } catch {
    return undefined;
  }
}

export function writeCbor(tree: CborValue, indefiniteMap = false): Uint8Array | undefined {
  try {
    return encodeCbor(tree, { indefiniteMap });
  } catch {
    return undefined;
  }
}

/** Of an input that is JSON. */
export const varyJson: Variation = (input, random) => {
  const tree = readJson(input);
  if (tree === undefined) return mutate(input, random, { others: [input], words: [], maxBytes: input.length + 8 });
  return new TextEncoder().encode(jsonText(varyTree(tree, random)));
};

export function readJson(input: Uint8Array): CborValue | undefined {
  try {
    return fromJson(JSON.parse(new TextDecoder().decode(input)));
  } catch {
    return undefined;
  }
}

/** Objects become maps, so that `__proto__` is a key like any other. */
function fromJson(value: unknown): CborValue {
  if (Array.isArray(value)) return value.map((one: unknown) => fromJson(one));
  if (typeof value === 'object' && value !== null) {
    return new Map(
      Object.entries(value).map(([key, one]: [string, unknown]): [string, CborValue] => [key, fromJson(one)]),
    );
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
}

/** Numbers that JSON does not have, and bytes, become what comes nearest. */
export function jsonText(tree: CborValue): string {
  if (tree instanceof Map) {
    return `{${[...tree].map(([key, value]) => `${JSON.stringify(String(key))}:${jsonText(value)}`).join(',')}}`;
  }
  if (isCborArray(tree)) return `[${tree.map(jsonText).join(',')}]`;
  if (tree instanceof Uint8Array) return JSON.stringify(Buffer.from(tree).toString('base64'));
  return typeof tree === 'bigint' ? String(tree) : JSON.stringify(tree);
}
