/** What times and sizes show to the host, in words. */
import type { CanonicalPolicy, FunctionPolicy, Policy } from './model.ts';
import { formatSize } from './units.ts';
import { count, enumerate } from './words.ts';

/** How answers of one function leave: what follows `…;`. */
export function ofRelease({ release: { afterMs, padTo } }: FunctionPolicy): string {
  const padded = `every answer and every refusal is padded to ${formatSize(padTo)}`;
  return afterMs === 0
    ? `${padded}, and leaves when it is ready.`
    : `${padded}, and leaves ${afterMs} ms after its request arrived, whatever happened inside.`;
}

/** What the host learns of inputs, of times, and of which function was called. */
export function ofTimesAndSizes({ functions }: Policy | CanonicalPolicy): string[] {
  const all = Object.entries(functions);
  return [...all.map(([name, one]) => ofSizes(name, one)), ...ofTimes(all), ...ofKinds(all)];
}

function ofSizes(name: string, { input: { buckets } }: FunctionPolicy): string {
  const sizes = enumerate(buckets.map(formatSize));
  return buckets.length === 1
    ? `Every input of ${name} is padded to ${sizes}: of its size the host learns nothing.`
    : `Inputs of ${name} are padded: the host learns which of ${buckets.length} sizes an input has (${sizes}), and of its size nothing else.`;
}

function ofTimes(all: readonly (readonly [string, FunctionPolicy])[]): string[] {
  const timed = all.filter(([, one]) => one.release.afterMs > 0).map(([name]) => name);
  if (timed.length === 0) return [];
  return [
    `When an answer of ${enumerate(timed)} leaves follows from when its request arrived alone. A computation that is not done ` +
      'by then is killed and refused at that very moment; asking again costs no call.',
  ];
}

/** Functions that do not look alike can be told apart. */
function ofKinds(all: readonly (readonly [string, FunctionPolicy])[]): string[] {
  if (all.length < 2) return [];
  const looks = ([, { release, input }]: readonly [string, FunctionPolicy]): string =>
    [release.afterMs, release.padTo, ...input.buckets].join();
  const kinds = new Set(all.map(looks)).size;
  if (kinds === 1 && all.every(([, { release }]) => release.afterMs > 0))
    return ['All functions have the same times and sizes: the host cannot tell which of them is called.'];
  if (kinds === 1)
    return [
      'All functions have the same sizes, and none has a release time: the host can tell them apart by how long they compute.',
    ];
  return [
    `Times and sizes are of ${count(kinds, 'kind')} among ${count(all.length, 'function')}: where they differ, the host can tell ` +
      'which function is called. The same release and input for all would hide it.',
  ];
}
