/** `accord measure-time`: how long a function computes on this machine, to choose its `afterMs` by. */
import { availableParallelism, loadavg } from 'node:os';
import { defaultCacheDir } from '../../build/cache.ts';
import { FILE_BYTES, MANIFEST_BYTES } from '../../enclave/functions/model-package.ts';
import type { ModelPackage } from '../../enclave/functions/model-package.ts';
import { Failure } from '../../policies/failure.ts';
import type { ModelFunctionPolicy, Policy } from '../../policies/model.ts';
import { formatSize } from '../../policies/units.ts';
import { callersOf } from '../../policies/quota.ts';
import { prepareModel } from '../contribute/contribute.ts';
import { demandFolderPlace } from '../files.ts';
import { unpackJails } from '../measure-time/local-jails.ts';
import type { LocalJails } from '../measure-time/local-jails.ts';
import { keepMeasurement, readMeasurements, timesFolder } from '../measure-time/measured.ts';
import { anyRecord, anyTree } from '../measure-time/model.ts';
import { timeRounds, timesOf } from '../measure-time/rounds.ts';
import { worstPicture } from '../measure-time/worst-input.ts';
import { readArguments, readNumber, usage } from './arguments.ts';
import { readBytes, readHead, readText } from './files.ts';
import { inputFault } from './input-fault.ts';
import { faultInFiles } from './model-files.ts';
import { inJson, measurementOf, render } from './measure-time-report.ts';
import type { SizeTimes } from './measure-time-report.ts';
import { readPolicy } from './policy-files.ts';
import { stepProgress } from './progress.ts';
import type { Progress } from './progress.ts';
import type { Io, Verb } from './verb.ts';

const HELP = `usage: accord measure-time POLICY [PART…] [--function NAME] --model FILE --manifest FILE [options]

Measures how long a function computes on this machine, for choosing its release.afterMs: builds the policy's image for the
local host, starts the image's own processes with the model, and lets every party that may call do so at once, again and
again without a pause. Prints what the calls took and an afterMs that would do, and keeps the figures for \`accord check\`.
Measure on the machine that the enclave will run on, or on one like it: Nitro gives an enclave CPUs of its own.

  POLICY, PART     the policy, YAML or JSON, and further files of it
  --function NAME  which function, where the policy has several that compute with a model
  --model FILE, --manifest FILE
                   the model as it will be contributed. Whoever owns it measures: nothing of it leaves this machine. Not
                   needed for a decision-tree, whose time follows from the policy alone
  --input FILE     one input of your own, in place of the hardest that each size (input.buckets) has room for: pictures of
                   up to 50 megapixels. Measure with the largest that you mean to send, if you know it
  --calls N        calls of each party, for each size (default: 10)
  --trust FILE     a local stand-in for AWS
  --home DIR       where the figures are kept (default: ACCORD_HOME, else ./.accord), as measured-times.json
  --json           {function, host, cpus, at, sizes: [{bytes, calls, p50Ms, p99Ms, maxMs}], p50Ms, p99Ms, maxMs,
                   afterMs, recommendedAfterMs, file}

A counter computes nothing to speak of. The time that anchors take comes on top and is not measured here.

Exit codes: 0 measured, 2 called wrongly, 10 the model is not the pinned one, 20 no sample of an input fits the policy, 30 a
policy, model or input with faults, or a model that is refused, 40 disk, or processes that do not start, 130 stopped by Ctrl-C.
`;

const OPTIONS = {
  function: { type: 'string' },
  model: { type: 'string' },
  manifest: { type: 'string' },
  input: { type: 'string' },
  calls: { type: 'string', default: '10' },
  trust: { type: 'string' },
  home: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

const MOST_CALLS = 10_000;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { values, positionals } = readArguments('measure-time', argv, OPTIONS, 'any');
    const [file, ...parts] = positionals;
    if (file === undefined) throw usage('measure-time', 'POLICY is missing');
    const rounds = readNumber('measure-time', 'calls', values.calls, MOST_CALLS, 1);
    const policy = await readPolicy(io, [file, ...parts], values.trust);
    const [name, one] = chosen(policy, values.function);
    const callers = callersOf(one);
    if (callers.length === 0) throw usage('measure-time', 'the policy lets nobody call this function');
    const model = await modelOf(io, one, values);
    const input = values.input === undefined ? undefined : await readInput(io, one, values.input);
    if (input === undefined) demandSample(one, model);
    const home = timesFolder(values.home, io);
    await demandFolderPlace(home);
    await readMeasurements(home); // a damaged file is told before anything is measured
    sayWhetherBusy(io);
    const progress = stepProgress(io);
    try {
      const onProgress = progress.update;
      const jails = await unpackJails({ policy, cacheDir: defaultCacheDir(io.env), signal: io.signal, onProgress });
      try {
        const work = { jails, one, callers, model, input, rounds, progress, signal: io.signal };
        const sizes = await measureSizes(work).catch((cause: unknown) => {
          throw faultOf(cause, one, values);
        });
        progress.end();
        const measured = measurementOf({ policy, name, one, model, sizes, isPinned: values.model !== undefined });
        const path = await keepMeasurement(home, measured);
        io.out(
          values.json
            ? `${JSON.stringify(inJson(measured, one, sizes, path))}\n`
            : render(measured, one, policy, sizes),
        );
        if (!values.json) io.err(`kept in ${path}, where accord check finds it\n`);
        return 0;
      } finally {
        await jails.remove();
      }
    } finally {
      progress.end();
    }
  },
};

/** What runs beside it makes the figures longer than they are. */
function sayWhetherBusy(io: Io): void {
  const [load = 0] = loadavg();
  const cpus = availableParallelism();
  if (load < cpus / 2) return;
  io.err(`this machine is busy (load ${load.toFixed(1)}, ${cpus} processors): measure again when it is not\n`);
}

function chosen(policy: Policy, wanted: string | undefined): readonly [string, ModelFunctionPolicy] {
  const computing = Object.entries(policy.functions).flatMap(([name, one]) =>
    one.uses === 'counter' ? [] : [[name, one] as const],
  );
  const names = computing.map(([name]) => name).join(', ');
  if (wanted !== undefined) {
    const found = computing.find(([name]) => name === wanted);
    if (found !== undefined) return found;
    const isCounter = Object.hasOwn(policy.functions, wanted);
    const why = isCounter ? 'is a counter, which computes nothing to speak of' : 'is not in the policy';
    throw usage('measure-time', `${wanted} ${why}${names === '' ? '' : `; it has ${names}`}`);
  }
  const [first, second] = computing;
  if (first === undefined) throw usage('measure-time', 'the policy has no function that computes with a model');
  if (second !== undefined) throw usage('measure-time', `--function is missing: the policy has ${names}`);
  return first;
}

interface NamedFiles {
  readonly model?: string | undefined;
  readonly manifest?: string | undefined;
  readonly input?: string | undefined;
}

async function modelOf(io: Io, one: ModelFunctionPolicy, { model, manifest }: NamedFiles): Promise<ModelPackage> {
  if (model !== undefined && manifest !== undefined) {
    const [text, bytes] = [await readText(io, manifest, MANIFEST_BYTES), await readBytes(io, model, FILE_BYTES)];
    try {
      return prepareModel(text, bytes, one).model;
    } catch (cause) {
      throw faultInFiles(cause, { model, manifest });
    }
  }
  if (model !== undefined || manifest !== undefined) {
    throw usage('measure-time', '--model and --manifest go together');
  }
  if (one.uses === 'decision-tree') return anyTree(one);
  throw usage(
    'measure-time',
    `--model and --manifest are missing: how long ${one.uses} takes depends on the model, so ${one.model.from}, who owns it, measures`,
  );
}

async function readInput(io: Io, one: ModelFunctionPolicy, file: string): Promise<Uint8Array> {
  const { maxBytes } = one.input;
  const input = await readHead(io, file, maxBytes);
  const what = input.length > maxBytes ? `has more than ${maxBytes} bytes` : inputFault(one.uses, input);
  if (what === undefined) return input;
  throw wrongInput(one, file, `${file} ${what}`);
}

function wrongInput({ uses, input }: ModelFunctionPolicy, file: string, message: string, cause?: unknown): Failure {
  return new Failure('malformed', 'measure-time/input', message, {
    where: file,
    hint: `give an input that ${uses} takes, of at most ${input.maxBytes} bytes`,
    cause,
  });
}

/** What the jails say of a model or an input, with the file that it came from. */
function faultOf(cause: unknown, one: ModelFunctionPolicy, { model, manifest, input }: NamedFiles): unknown {
  if (cause instanceof Failure && cause.code === 'jail/input-invalid' && input !== undefined) {
    return wrongInput(one, input, `${input}: ${cause.message}`, cause);
  }
  return model === undefined || manifest === undefined ? cause : faultInFiles(cause, { model, manifest });
}

interface Work {
  readonly jails: LocalJails;
  readonly one: ModelFunctionPolicy;
  /** At least one. */
  readonly callers: readonly string[];
  readonly model: ModelPackage;
  readonly input: Uint8Array | undefined;
  readonly rounds: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

async function measureSizes(work: Work): Promise<SizeTimes[]> {
  const { jails, one, callers, model, input, rounds, progress, signal } = work;
  progress.update('starting the processes, loading the model');
  const computer = await jails.start(one, model);
  try {
    const sizes: SizeTimes[] = [];
    for await (const sample of samplesOf(one, model, input)) {
      const bytes = sample.length;
      const made = { parties: callers, periodMs: one.release.afterMs, signal };
      // In the first round of all, processes of most parties are still starting: it is not counted.
      if (sizes.length === 0) await timeRounds(computer, sample, { ...made, rounds: 1, onRound: () => {} });
      const onRound = (done: number, total: number): void =>
        progress.update(`calls with ${formatSize(bytes)}, ${done} of ${total}`);
      const took = await timeRounds(computer, sample, { ...made, rounds, onRound });
      sizes.push({ bytes, ...timesOf(took) });
    }
    return sizes;
  } finally {
    await computer.close();
  }
}

/** Smaller ones have no room for a picture of any kind. */
const LEAST_PICTURE = 1024;

/** Before anything is built. */
function demandSample(one: ModelFunctionPolicy, model: ModelPackage): void {
  const { buckets, maxBytes } = one.input;
  const fits =
    one.uses === 'decision-tree'
      ? anyRecord(model).length <= maxBytes
      : buckets.some((bucket) => bucket >= LEAST_PICTURE);
  if (fits) return;
  throw new Failure('unsupported', 'measure-time/no-sample', 'no input of ours fits the sizes of this function', {
    hint: 'give one of your own: --input FILE',
  });
}

async function* samplesOf(
  one: ModelFunctionPolicy,
  model: ModelPackage,
  input: Uint8Array | undefined,
): AsyncGenerator<Uint8Array> {
  if (input !== undefined) yield input;
  else if (one.uses === 'decision-tree') yield anyRecord(model);
  else for (const bucket of one.input.buckets) if (bucket >= LEAST_PICTURE) yield await worstPicture(bucket);
}
