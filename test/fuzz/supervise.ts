/**
 * Holds the process that fuzzes: whatever happens to it (it hangs, it dies, it runs out of memory), the input that did it
 * is known, and the search goes on with another seed.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Finding } from './explore.ts';
import { HEAD_BYTES } from './serve.ts';
import type { Assignment, Report } from './serve.ts';
import type { Verdict } from './judge.ts';

export interface Supervision {
  /** Program that calls `serve`. */
  readonly program: string;
  readonly target: string;
  readonly seed: number;
  readonly seconds?: number;
  readonly runs?: number;
  /** Without a new input for so long, it hangs. Default 20 s. */
  readonly hangMs?: number;
  readonly replay?: Uint8Array;
  /** Aborted: end with what there is. */
  readonly signal?: AbortSignal;
  readonly onFinding?: (finding: Finding) => void;
}

export interface Campaign {
  readonly executions: number;
  readonly seconds: number;
  readonly outcomes: ReadonlyMap<string, number>;
  /** Every code that the target declares. */
  readonly codes: readonly string[];
  readonly findings: readonly Finding[];
  readonly verdict?: Verdict;
}

const HANG_MS = 20_000;
const START_MS = 180_000;
const WATCH_MS = 500;
/** Processes of one target that may die before it is given up. */
const MOST_DEATHS = 5;

export async function supervise(supervision: Supervision): Promise<Campaign> {
  const folder = mkdtempSync(join(tmpdir(), 'accord-fuzz-'));
  const sum = { executions: 0, seconds: 0, outcomes: new Map<string, number>(), codes: [] as readonly string[] };
  const findings: Finding[] = [];
  let verdict: Verdict | undefined;
  try {
    for (let deaths = 0; deaths < MOST_DEATHS; deaths += 1) {
      const left = {
        seed: supervision.seed + deaths,
        ...(supervision.seconds === undefined ? {} : { seconds: supervision.seconds - sum.seconds }),
        ...(supervision.runs === undefined ? {} : { runs: supervision.runs - sum.executions }),
      };
      const one = await attempt({ ...supervision, ...left }, join(folder, 'current'));
      sum.executions += one.executions;
      sum.seconds += one.seconds;
      for (const [name, times] of one.outcomes) sum.outcomes.set(name, (sum.outcomes.get(name) ?? 0) + times);
      if (one.codes.length > 0) sum.codes = one.codes;
      findings.push(...one.findings);
      verdict = one.verdict;
      if (!one.died || supervision.replay !== undefined || supervision.signal?.aborted === true) break;
      if ((left.seconds ?? 1) <= 0 || (left.runs ?? 1) <= 0) break;
    }
    return { ...sum, findings, ...(verdict === undefined ? {} : { verdict }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Attempt = Campaign & { readonly died: boolean };

function attempt(supervision: Supervision, current: string): Promise<Attempt> {
  const { program, target, seed, seconds, runs, hangMs = HANG_MS, replay, signal, onFinding } = supervision;
  const assignment: Assignment = {
    target,
    seed,
    current,
    ...(seconds === undefined ? {} : { seconds }),
    ...(runs === undefined ? {} : { runs }),
    ...(replay === undefined ? {} : { replay: Buffer.from(replay).toString('base64') }),
  };
  rmSync(current, { force: true });
  const child = fork(program, [JSON.stringify(assignment)], {
    execArgv: ['--expose-gc', '--max-old-space-size=1024'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const findings: Finding[] = [];
  const found = (finding: Finding): void => {
    findings.push(finding);
    onFinding?.(finding);
  };
  const heard = { executions: 0, seconds: 0, outcomes: new Map<string, number>(), codes: [] as readonly string[] };
  let verdict: Verdict | undefined;
  let begun = false;
  let done = false;
  let stderr = '';
  child.stderr?.on('data', (data) => (stderr = (stderr + String(data)).slice(-4_000)));
  child.on('message', (report: Report) => {
    switch (report.t) {
      case 'begun':
        begun = true;
        break;
      case 'progress':
        Object.assign(heard, { ...report, outcomes: new Map(report.outcomes) });
        break;
      case 'found':
        found({ ...report, input: new Uint8Array(Buffer.from(report.input, 'base64')) });
        break;
      case 'replayed':
        verdict = report.verdict;
        break;
      case 'done':
        heard.codes = report.codes;
        done = true;
        break;
    }
  });
  const stop = (): void => void (child.connected && child.send('stop'));
  signal?.addEventListener('abort', stop);
  if (signal?.aborted === true) stop();

  return new Promise((resolve) => {
    const watch = watchdog(child, current, (isUnderWay) => (isUnderWay && !done ? hangMs : START_MS));
    child.once('close', (code, how) => {
      clearInterval(watch.timer);
      signal?.removeEventListener('abort', stop);
      const died = !done;
      if (died) {
        const input = inputIn(current) ?? new Uint8Array();
        const why = watch.hung() ? 'no end in sight' : `${how ?? `exit ${code}`}\n${stderr.trim()}`;
        found({ kind: watch.hung() ? 'hang' : 'crash', what: begun ? why : `before the first input: ${why}`, input });
      }
      resolve({ ...heard, findings, died, ...(verdict === undefined ? {} : { verdict }) });
    });
  });
}

function watchdog(
  child: ChildProcess,
  current: string,
  patience: (isUnderWay: boolean) => number,
): { timer: NodeJS.Timeout; hung: () => boolean } {
  let last = '';
  let since = performance.now();
  let hung = false;
  const timer = setInterval(() => {
    const number = headIn(current);
    if (number !== last) {
      last = number;
      since = performance.now();
    } else if (performance.now() - since > patience(number !== '')) {
      hung = true;
      child.kill('SIGKILL');
    }
  }, WATCH_MS);
  return { timer, hung: () => hung };
}

function contentOf(current: string): Buffer {
  try {
    return readFileSync(current);
  } catch {
    return Buffer.alloc(0);
  }
}

const headIn = (current: string): string => contentOf(current).subarray(0, 8).toString('hex');

function inputIn(current: string): Uint8Array | undefined {
  const content = contentOf(current);
  if (content.length < HEAD_BYTES) return undefined;
  return new Uint8Array(content.subarray(HEAD_BYTES, HEAD_BYTES + content.readUInt32BE(8)));
}
