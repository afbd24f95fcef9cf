/**
 * BER and DER as a tree that can be changed and written again: lengths follow the content, so that a change stays whole
 * around itself. Reading is loose; what is no tree comes back undefined.
 */
import { concat } from '../../enclave/encoding/bytes.ts';
import { mutate } from './mutate.ts';
import type { Random } from './random.ts';

export interface Tlv {
  readonly tag: number;
  readonly indefinite: boolean;
  /** Of a constructed element. */
  readonly children?: readonly Tlv[];
  readonly content: Uint8Array;
}

const CONSTRUCTED = 0x20;
const MAX_DEPTH = 16;

export function readTlv(bytes: Uint8Array): Tlv | undefined {
  const found = element(bytes, 0, bytes.length, 0);
  return found !== undefined && found.end === bytes.length ? found.tlv : undefined;
}

interface Found {
  readonly tlv: Tlv;
  readonly end: number;
}

function element(bytes: Uint8Array, start: number, end: number, depth: number): Found | undefined {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined || start + 2 > end || depth > MAX_DEPTH) return undefined;
  if (first === 0x80) return indefinite(bytes, start, end, depth);
  const width = first < 0x80 ? 0 : first & 0x7f;
  if (width > 3) return undefined;
  let length = width === 0 ? first : 0;
  for (let i = 0; i < width; i += 1) length = length * 256 + (bytes[start + 2 + i] ?? 0);
  const from = start + 2 + width;
  if (from + length > end) return undefined;
  const content = bytes.slice(from, from + length);
  const children = (tag & CONSTRUCTED) === 0 ? undefined : listOf(content, depth + 1);
  return {
    tlv: { tag, indefinite: false, content, ...(children === undefined ? {} : { children }) },
    end: from + length,
  };
}

function listOf(bytes: Uint8Array, depth: number): readonly Tlv[] | undefined {
  const list: Tlv[] = [];
  for (let at = 0; at < bytes.length;) {
    const found = element(bytes, at, bytes.length, depth);
    if (found === undefined) return undefined;
    list.push(found.tlv);
    at = found.end;
  }
  return list;
}

function indefinite(bytes: Uint8Array, start: number, end: number, depth: number): Found | undefined {
  const children: Tlv[] = [];
  let at = start + 2;
  while (!(bytes[at] === 0 && bytes[at + 1] === 0)) {
    const found = element(bytes, at, end, depth + 1);
    if (found === undefined) return undefined;
    children.push(found.tlv);
    at = found.end;
  }
  return at + 2 > end
    ? undefined
    : { tlv: { tag: bytes[start] ?? 0, indefinite: true, content: bytes.slice(start + 2, at), children }, end: at + 2 };
}

export function writeTlv({ tag, indefinite: open, children, content }: Tlv): Uint8Array {
  const body = children === undefined ? content : concat(...children.map(writeTlv));
  if (open) return concat(Uint8Array.of(tag, 0x80), body, Uint8Array.of(0, 0));
  const { length } = body;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : length < 0x1_0000
          ? [tag, 0x82, length >> 8, length & 0xff]
          : [tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
  return concat(Uint8Array.from(head), body);
}

const nodesOf = (tlv: Tlv): readonly Tlv[] => [tlv, ...(tlv.children ?? []).flatMap(nodesOf)];

/** A tree like this one with one element changed, dropped, doubled, or put in the place of another. */
export function varyTlv(tree: Tlv, random: Random): Tlv {
  const nodes = nodesOf(tree);
  const chosen = random.pick(nodes);
  const walk = (node: Tlv): readonly Tlv[] => {
    if (node === chosen) return varyElement(node, nodes, random);
    return [node.children === undefined ? node : { ...node, children: node.children.flatMap(walk) }];
  };
  return walk(tree)[0] ?? tree;
}

function varyElement(node: Tlv, nodes: readonly Tlv[], random: Random): readonly Tlv[] {
  const wider = { others: [node.content], words: [], maxBytes: node.content.length + random.pick([0, 1, 40]) };
  switch (random.int(8)) {
    case 0:
      return [];
    case 1:
      return [node, node];
    case 2:
      return [random.pick(nodes)];
    case 3:
      return [
        { ...node, tag: random.pick([0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x17, 0x18, 0x30, 0x31, 0x80, 0xa0, 0xa3]) },
      ];
    case 4:
      return [{ ...node, indefinite: node.children !== undefined && !node.indefinite }];
    case 5:
      return [{ tag: node.tag, indefinite: false, content: mutate(writeTlv(node), random, wider) }];
    default:
      return [{ tag: node.tag, indefinite: false, content: mutate(node.content, random, wider) }];
  }
}
