/** What the functions of a policy take of the enclave: memory by the plan of `build/sizing.ts`, time as it was measured. */
import { sizeImage } from '../../build/sizing.ts';
import type { SizingTerm } from '../../build/sizing.ts';
import type { FunctionPolicy, Policy } from '../../policies/model.ts';
import { whereAndWhen } from '../../policies/weakenings-time.ts';
import type { Measurement } from '../measure-time/measured.ts';

/** The lanes of all parties that may call: their processes, models and inputs, whatever image they stand in. */
export function computingMemory(policy: Policy): readonly SizingTerm[] {
  const names = Object.keys(policy.functions);
  return sizeImage(policy, 0, 0).terms.filter(({ what }) => names.some((name) => what.startsWith(`${name}: `)));
}

const sumOf = (terms: readonly SizingTerm[]): number => terms.reduce((all, { MiB }) => all + MiB, 0);

/** Where computing alone takes more than the policy asks for: what to write instead. `terms`: of `computingMemory`. */
export function memoryMissing({ enclave: { memoryMiB } }: Policy, terms: readonly SizingTerm[]): string | undefined {
  const sum = sumOf(terms);
  if (sum <= memoryMiB) return undefined;
  return (
    `enclave.memoryMiB: computing alone takes ${sum} MiB, and the policy asks for ${memoryMiB}: the enclave will not last. ` +
    'Raise it; `accord build` says how much the whole image needs.'
  );
}

/** One sentence each. */
export function needs(
  policy: Policy,
  terms: readonly SizingTerm[],
  measured: Readonly<Record<string, Measurement>>,
): readonly string[] {
  return [
    ...terms.map(({ what, MiB }) => `${what}: ${MiB} MiB.`),
    `Together ${sumOf(terms)} of ${policy.enclave.memoryMiB} MiB; the kernel, the gate and the image itself come on top (\`accord build\` says how much).`,
    ...Object.entries(policy.functions).flatMap(([name, one]) =>
      one.uses === 'counter' ? [] : [timeOf(name, one, Object.hasOwn(measured, name) ? measured[name] : undefined)],
    ),
  ];
}

function timeOf(name: string, { release }: FunctionPolicy, measured: Measurement | undefined): string {
  if (measured === undefined) {
    return `${name}: how long it computes was not measured under these terms (\`accord measure-time\`).`;
  }
  const { p50Ms, p99Ms, maxMs, calls, recommendedAfterMs } = measured;
  const has = release.afterMs === 0 ? 'there is no release time' : `afterMs is ${release.afterMs}`;
  return (
    `${name}: computes for ${p50Ms} ms (median of ${calls} calls of the slowest size; 99 % within ${p99Ms} ms, ${maxMs} ms at most), measured ` +
    `${whereAndWhen(measured)}; ${has}, recommended is ${recommendedAfterMs}.`
  );
}
