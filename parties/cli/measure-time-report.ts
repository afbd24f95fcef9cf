/** What `accord measure-time` found: as it is kept, as JSON, and in words. */
import { availableParallelism, hostname } from 'node:os';
import type { ModelPackage } from '../../enclave/functions/model-package.ts';
import type { FunctionPolicy, ModelFunctionPolicy, Policy } from '../../policies/model.ts';
import { termsOf } from '../measure-time/measured.ts';
import type { Measurement } from '../measure-time/measured.ts';
import { recommended } from '../measure-time/rounds.ts';
import type { Times } from '../measure-time/rounds.ts';

/** One size of inputs, and what calls with it took. */
export interface SizeTimes extends Times {
  readonly bytes: number;
}

export interface Found {
  readonly policy: Policy;
  readonly name: string;
  readonly one: ModelFunctionPolicy;
  readonly model: ModelPackage;
  readonly sizes: readonly SizeTimes[];
  /** Measured with this very model, and not with any that the policy takes. */
  readonly isPinned: boolean;
}

/** Of the slowest size, of which there is one. */
export function measurementOf({ policy, name, one, model, sizes, isPinned }: Found): Measurement {
  const slowest = sizes.toSorted((a, b) => b.maxMs - a.maxMs)[0];
  if (slowest === undefined) throw new Error('nothing was measured');
  const { calls, p50Ms, p99Ms, maxMs } = slowest;
  return {
    collaboration: policy.collaboration,
    function: name,
    terms: termsOf(one),
    ...(isPinned ? { modelSha256: model.sha256 } : {}),
    at: new Date().toISOString(),
    host: hostname(),
    cpus: availableParallelism(),
    calls,
    p50Ms,
    p99Ms,
    maxMs,
    recommendedAfterMs: recommended(slowest),
  };
}

export function inJson(measured: Measurement, one: FunctionPolicy, sizes: readonly SizeTimes[], file: string): object {
  const { terms: _, ...rest } = measured;
  return { ...rest, sizes, afterMs: one.release.afterMs, file };
}

export function render(
  measured: Measurement,
  one: FunctionPolicy,
  { anchors }: Policy,
  sizes: readonly SizeTimes[],
): string {
  const { function: name, host, cpus, p99Ms, recommendedAfterMs } = measured;
  const { afterMs } = one.release;
  const rows = sizes.map(({ bytes, calls, p50Ms, p99Ms: p99, maxMs }) =>
    [`${bytes} bytes`, `${calls}`, `${p50Ms} ms`, `${p99} ms`, `${maxMs} ms`].map((cell) => cell.padStart(14)).join(''),
  );
  const head = ['input', 'calls', 'p50', 'p99', 'most'].map((cell) => cell.padStart(14)).join('');
  const callers = Object.values(one.calls).filter((amount) => amount > 0).length;
  return [
    `${name} on ${host} (${cpus} CPUs), ${callers} ${callers === 1 ? 'party' : 'parties at once'}, without a pause:\n\n`,
    `${[head, ...rows].join('\n')}\n\n`,
    `recommended: afterMs: ${recommendedAfterMs}${anchors === 'none' ? '' : ', and what the anchors take'}\n`,
    ...(anchors === 'none'
      ? []
      : ['every call of this policy asks its anchors, too: leave room for some round trips to the slowest of them\n']),
    afterMs === 0
      ? 'the policy has no release time: the host learns how long computing takes\n'
      : `the policy says afterMs: ${afterMs}${afterMs < p99Ms ? ', which is less than computing takes here' : ''}\n`,
  ].join('');
}
