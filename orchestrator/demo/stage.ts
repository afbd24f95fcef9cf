/**
 * The stage of the demo: a folder of its own, the local AWS and the orchestrator as processes of their own, and the
 * command line run as each person would run it. Whatever happens, nothing of it is left running.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Failure } from '../../policies/failure.ts';
import type { DemoCode } from './story.ts';

/** What a verb printed on stdout, and how it ended. */
export interface Outcome {
  readonly exitCode: number;
  /** The JSON that the verb printed, or an empty object where it printed none. */
  readonly result: Readonly<Record<string, unknown>>;
  readonly stderr: string;
}

/** Where the enclaves of the story run. */
export type DemoHost = 'local' | 'qemu';

export interface Stage {
  /** What is built for that host. */
  readonly target: 'local' | 'nitro';
  /** Everything that the demo writes is below this folder, but for the enclaves that the local host unpacks. */
  readonly folder: string;
  /** What the local AWS printed for people's shells. */
  readonly awsEnvironment: Readonly<Record<string, string>>;
  readonly awsFolder: string;
  readonly orchestratorFolder: string;
  readonly orchestratorUrl: string;
  /** Everything that the orchestrator printed so far. */
  orchestratorLog(): string;
  /** Ends the orchestrator, and with it its enclaves, as the host may at any time. */
  stopOrchestrator(): Promise<void>;
  /** On the same folder and address as before. */
  startOrchestrator(): Promise<void>;
  /** Runs `accord VERB … --json` as a process of its own. Never throws for an exit code. */
  run(argv: readonly string[]): Promise<Outcome>;
  /** Runs a verb that must succeed; throws `demo/verb-failed` with what it said otherwise. */
  must(argv: readonly string[]): Promise<Readonly<Record<string, unknown>>>;
  close(): Promise<void>;
}

const START_MS = 60_000;

interface Service {
  readonly child: ChildProcess;
  readonly announced: Readonly<Record<string, unknown>>;
  /** Everything it printed for people. */
  log(): string;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

function parsed(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

interface Told {
  readonly where?: string;
  readonly hint?: string;
}

/** What a verb said in `--json` when it failed. */
function refusalIn(
  result: Readonly<Record<string, unknown>>,
): { readonly message: string; readonly told: Told } | undefined {
  const { error } = result;
  if (!isRecord(error)) return undefined;
  const { message, where, hint } = error;
  return {
    message: text(message),
    told: { ...(typeof where === 'string' ? { where } : {}), ...(typeof hint === 'string' ? { hint } : {}) },
  };
}

/** Starts a verb that serves, and waits for the JSON line in which it says where. */
function startService(
  bin: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
  signal: AbortSignal,
): Promise<Service> {
  return new Promise((resolve, reject) => {
    // A group of its own: a terminal's Ctrl-C reaches the demo alone, which then stops its services in order.
    const child = spawn(process.execPath, [bin, ...argv, '--until-eof', '--json'], {
      cwd,
      env,
      stdio: ['pipe', 'pipe', 'pipe'], // our end of its stdin closes however we end
      detached: true,
    });
    let log = '';
    const fail = (why: string, told: Told = { where: log.trim() }): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      if (child.exitCode === null) child.kill('SIGKILL');
      const message = `\`accord ${argv[0] ?? ''}\` did not start: ${why}`;
      reject(signal.aborted ? signal.reason : new Failure<DemoCode>('environment', 'demo/not-started', message, told));
    };
    const aborted = (): void => fail('interrupted');
    const timer = setTimeout(() => fail(`no word from it in ${START_MS / 1000} s`), START_MS);
    signal.addEventListener('abort', aborted, { once: true });
    child.stderr.on('data', (data: Buffer) => (log += data.toString()));
    child.once('error', (error) => fail(error.message));
    child.once('close', (code, by) => fail(`it ended (${by ?? `exit ${code}`})`));
    createInterface(child.stdout).once('line', (line) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      child.removeAllListeners('close');
      const announced = parsed(line);
      const refusal = refusalIn(announced);
      if (refusal !== undefined) return fail(refusal.message, refusal.told);
      resolve({ child, announced, log: () => log });
    });
  });
}

/** Asks politely, then insists. Resolves when the process is gone. */
function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const insist = setTimeout(() => child.kill('SIGKILL'), 10_000);
    child.once('exit', () => {
      clearTimeout(insist);
      resolve();
    });
    child.kill('SIGTERM');
  });
}

function runVerb(
  bin: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
  signal: AbortSignal,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...argv, '--json'], {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    child.once('error', (error) => reject(signal.aborted ? signal.reason : error));
    child.once('close', (code) => resolve({ exitCode: code ?? 1, result: parsed(stdout), stderr }));
  });
}

/** `bin` is the compiled command line; `host` the kind of host the enclaves run on. */
export async function setStage(
  bin: string,
  host: DemoHost,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'accord-demo-'));
  // Beside it: jails are other users where root runs them, and the demo's own folder is shut.
  const runAt = host === 'local' ? [await mkdtemp(join(tmpdir(), 'accord-demo-run-'))] : [];
  const awsFolder = join(folder, 'aws');
  const orchestratorFolder = join(folder, 'orchestrator');
  const services: Service[] = [];
  const close = async (): Promise<void> => {
    for (const service of services.splice(0).toReversed()) await stop(service.child);
    for (const path of [folder, ...runAt]) await rm(path, { recursive: true, force: true });
  };
  try {
    await Promise.all([awsFolder, orchestratorFolder].map((path) => mkdir(path)));
    // The person's own AWS settings must not leak into a story about made-up accounts.
    const clean = Object.fromEntries(Object.entries(env).filter(([name]) => !/^(AWS_|ACCORD_)/.test(name)));
    const aws = await startService(bin, ['local-aws', '--data', awsFolder, '--port', '0'], clean, folder, signal);
    services.push(aws);
    const printed = isRecord(aws.announced['environment']) ? aws.announced['environment'] : {};
    const awsEnvironment = Object.fromEntries(Object.entries(printed).map(([name, value]) => [name, text(value)]));
    let earlierLog = '';
    const up = (port: string): Promise<Service> => {
      const folders = ['--data', orchestratorFolder, '--local-aws', awsFolder, ...runAt.flatMap((path) => ['--run-dir', path])]; // prettier-ignore
      return startService(bin, ['up', '--port', port, ...folders, '--host', host], clean, folder, signal);
    };
    let orchestrator = await up('0');
    services.push(orchestrator);
    const orchestratorUrl = text(orchestrator.announced['url']);
    const withAws = { ...clean, ...awsEnvironment };
    const run = (argv: readonly string[]): Promise<Outcome> => runVerb(bin, argv, withAws, folder, signal);
    return {
      target: host === 'local' ? 'local' : 'nitro',
      folder,
      awsEnvironment,
      awsFolder,
      orchestratorFolder,
      orchestratorUrl,
      orchestratorLog: () => earlierLog + orchestrator.log(),
      async stopOrchestrator() {
        services.splice(services.indexOf(orchestrator), 1);
        await stop(orchestrator.child);
        earlierLog += orchestrator.log();
      },
      async startOrchestrator() {
        orchestrator = await up(new URL(orchestratorUrl).port);
        services.push(orchestrator);
      },
      run,
      async must(argv) {
        const { exitCode, result, stderr } = await run(argv);
        if (exitCode === 0) return result;
        const refusal = refusalIn(result);
        const ended = `\`accord ${argv.join(' ')}\` ended with exit code ${exitCode}`;
        throw new Failure<DemoCode>(
          'environment',
          'demo/verb-failed',
          refusal === undefined ? ended : `${ended}: ${refusal.message}`,
          refusal?.told ?? { where: stderr.trim() },
        );
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
