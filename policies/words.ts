/** How the agreement is said in English. */
import type { TreeBounds } from './model.ts';

export function count(amount: number, one: string, many: string = `${one}s`): string {
  return `${amount} ${amount === 1 ? one : many}`;
}

export function times(amount: number): string {
  if (amount === 0) return 'not at all';
  if (amount === 1) return 'once';
  return amount === 2 ? 'twice' : `${amount} times`;
}

/** `alice`, `alice and bob`, `alice, bob and charlie`. */
export function enumerate(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} and ${last}`;
}

export function digits(decimals: number): string {
  return decimals === 0 ? 'no digits after the point' : `${count(decimals, 'digit')} after the point`;
}

/** `depth 4, 31 nodes and 6 features`. */
export function treeInWords({ depth, nodes, features }: TreeBounds): string {
  return `depth ${depth}, ${count(nodes, 'node')} and ${count(features, 'feature')}`;
}
