/** Leaks that are planted, one at a time: each must be found, and none where there is none. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../flow/processes.ts';
import { timeKernel } from './kernel.ts';
import type { KernelVerdict } from './kernel.ts';
import { SHARES } from './kinds.ts';
import type { PairName } from './kinds.ts';
import { plantedBundles } from './planted-gate.ts';
import type { Planted } from './planted-gate.ts';
import { trial } from './trial.ts';
import type { Trial } from './trial.ts';
import type { PairVerdict } from './verdicts.ts';

/** Answers against refusals, of which neither needs a process. */
const PAIR: PairName = 'quota left / exceeded';
/** So many calls of that pair alone, as many of one class as of the other. */
const CALLS = 4_000;
const EVENLY = { ...SHARES, success: 500, 'quota-exceeded': 500 };
/** What is planted, in milliseconds: while it is not found, and would not be on this machine, more calls are made. */
const LATE_MS = 0.05;
/** Of each pair, in a loop inside this process. */
export const KERNEL_CALLS = 200_000;
/** One node of 255 in some steps is some 17 ns of 5,000: more are needed to tell. */
const PLANTED_KERNEL_CALLS = 1_000_000;

interface Leak {
  readonly name: string;
  readonly planted: Planted | undefined;
  readonly isFound: (verdict: PairVerdict) => boolean;
}

const LEAKS: readonly Leak[] = [
  { name: 'none', planted: undefined, isFound: ({ passes }) => !passes },
  {
    name: 'refusals 50 us late',
    planted: { 'enclave/pipeline/release': 'release-late.mjs', 'enclave/pipeline/pad': 'pad-marking.mjs' },
    isFound: ({ time }) => time.leaks,
  },
  {
    name: 'refusals one byte longer',
    planted: { 'enclave/pipeline/pad': 'pad-longer.mjs' },
    isFound: ({ sizesEqual }) => !sizesEqual,
  },
];

/** True where all are found, and nothing else. */
export async function plantedTrials(options: Trial, say: (line: string) => void): Promise<boolean> {
  const outcomes: boolean[] = [];
  const told = (name: string, found: boolean): void => {
    const isMeant = found === (name !== 'none' && name !== 'none, in the kernel');
    say(`planted: ${name}: ${found ? 'found' : 'not found'}${isMeant ? '' : ': NOT AS IT SHOULD BE'}`);
    outcomes.push(isMeant);
  };
  for (const { name, planted, isFound } of LEAKS) {
    const bundles = planted === undefined ? undefined : await plantedBundles(planted);
    const [verdict] = await trial({
      ...options,
      calls: CALLS,
      shares: EVENLY,
      pairs: [PAIR],
      enough: (seen) => isFound(seen) || seen.time.detectable <= LATE_MS,
      ...(bundles && { bundles }),
    });
    told(name, verdict !== undefined && isFound(verdict));
  }
  told('none, in the kernel', sayKernel(timeKernel(PLANTED_KERNEL_CALLS, options.random), say));
  told(
    'a kernel that skips a node',
    sayKernel(timeKernel(PLANTED_KERNEL_CALLS, options.random, await skippingKernel()), say),
  );
  return outcomes.every(Boolean);
}

/** Whether any pair leaks. */
export function sayKernel(
  verdicts: readonly KernelVerdict[],
  say: (line: string) => void,
  asJson: boolean = false,
): boolean {
  const ns = (milliseconds: number): string => (milliseconds * 1e6).toFixed(1);
  for (const verdict of verdicts) {
    const { pair, time } = verdict;
    if (asJson) say(JSON.stringify(verdict));
    else
      say(
        `kernel: ${pair}: ${time.leaks ? 'LEAKS' : 'no difference'}: |t| ${Math.abs(time.worst.t).toFixed(2)} (${time.worst.name} ms); ` +
          `${time.n.join(' + ')} calls; means differ by ${ns(time.mean[1] - time.mean[0])} ns of ${ns(time.mean[0])}; ` +
          `would have found ${ns(time.detectable)} ns`,
      );
  }
  return verdicts.some(({ time }) => time.leaks);
}

/** In each of its steps the last node is not visited, where the walk stands at an odd one. */
async function skippingKernel(): Promise<Uint8Array<ArrayBuffer>> {
  const compiler = join(ROOT, 'build', 'tree-kernel.mjs');
  const { compileKernel }: { compileKernel: (text: string) => Promise<{ readonly wasm: Uint8Array }> } = await import(
    pathToFileURL(compiler).href
  );
  const text = await readFile(join(ROOT, 'enclave', 'functions', 'decision-tree', 'kernel.as'), 'utf8');
  const honest = 'for (let index: i32 = 0; index < nodes; index++) {\n      const node';
  if (!text.includes(honest)) throw new Error('the kernel has no such loop to plant a leak in');
  const leaking = text.replace(honest, honest.replace('index < nodes', 'index < nodes - (current & 1)'));
  return Uint8Array.from((await compileKernel(leaking)).wasm);
}
