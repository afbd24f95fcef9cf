/** Release times that are shorter than computing was found to take. */
import type { CanonicalPolicy, Policy } from './model.ts';
import { count } from './words.ts';
import type { Weakening } from './weakening.ts';

/** How long calls of a function took on some machine; milliseconds. */
export interface MeasuredTime {
  readonly p99Ms: number;
  readonly maxMs: number;
  /** The machine's name and its CPUs. */
  readonly host: string;
  readonly cpus: number;
  /** ISO time. */
  readonly at: string;
}

/** By the function's name. */
export type MeasuredTimes = Readonly<Record<string, MeasuredTime>>;

export function ofMeasuredTimes({ functions }: Policy | CanonicalPolicy, measured: MeasuredTimes): Weakening[] {
  return Object.entries(functions).flatMap(([name, { release }]) => {
    const found = Object.hasOwn(measured, name) ? measured[name] : undefined;
    if (found === undefined || release.afterMs === 0 || release.afterMs >= found.p99Ms) return [];
    const text =
      `${name}: answers leave ${release.afterMs} ms after the request, but computing took ${found.p99Ms} ms (99th percentile; ` +
      `${found.maxMs} ms at most), measured ${whereAndWhen(found)}. Calls that are not done in time are refused; asking ` +
      'again costs no call, and may end likewise.';
    return [{ code: 'release-too-soon', text }];
  });
}

/** `on example.org with 2 CPUs, 2026-11-22`. */
export function whereAndWhen({ host, cpus, at }: MeasuredTime): string {
  return `on ${host} with ${count(cpus, 'CPU')}, ${at.slice(0, 10)}`;
}
