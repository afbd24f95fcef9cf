import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, readlink, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { processesOf } from '../../../orchestrator/hosts/processes.ts';
import { startLocalAws } from '../../../orchestrator/local/aws.ts';
import type { LocalAws } from '../../../orchestrator/local/aws.ts';
import { policyText } from '../harness.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const BIN = join(ROOT, 'dist', 'orchestrator', 'cli', 'bin.js');

let folder: string;
let aws: LocalAws;
const children: ChildProcess[] = [];

beforeAll(async () => {
  // What is compiled must be what is written; `npm test` has seen to that already.
  const ready = spawn(process.execPath, ['-e', "import('./build/ready.mjs').then(({ ready }) => ready())"], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  expect(await once(ready, 'close')).toEqual([0, null]);
  folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-bin-')));
  aws = await startLocalAws({ dataDir: join(folder, 'aws') });
  await writeFile(join(folder, 'policy.json'), policyText(undefined));
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await aws.close();
  await rm(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface Started {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
  /** The first line it prints on stdout. */
  readonly firstLine: Promise<string>;
}

async function start(...argv: readonly string[]): Promise<Started> {
  const child = spawn(process.execPath, [BIN, ...argv], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
    stdio: 'pipe',
  });
  children.push(child);
  let out = '';
  const firstLine = new Promise<string>((resolve) =>
    child.stdout.on('data', (data) => {
      out += String(data);
      if (out.includes('\n')) resolve(out.slice(0, out.indexOf('\n')));
    }),
  );
  const err = text(child.stderr);
  const outcome = once(child, 'close').then(async ([code]): Promise<Outcome> => ({ code, out, err: await err }));
  return { child, outcome, firstLine };
}

/** The files that a process has open. */
async function opened(pid: number | undefined): Promise<readonly string[]> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder);
  return Promise.all(names.map((name) => readlink(join(folder, name)).catch(() => '')));
}

const accord = async (...argv: readonly string[]): Promise<Outcome> => (await start(...argv)).outcome;

describe('the command line as a process', () => {
  it('is a program by itself', async () => {
    expect((await readFile(BIN, 'utf8')).startsWith('#!/usr/bin/env node\n')).toBe(true);
    expect((await stat(BIN)).mode & 0o111).toBe(0o111);
  });

  it('answers help, version and nonsense with the right streams and codes', async () => {
    expect(await accord('--version')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      err: '',
    });
    expect(await accord('help')).toMatchObject({ code: 0, out: expect.stringContaining('local-aws'), err: '' });
    expect(await accord('chekc')).toMatchObject({ code: 2, out: '', err: expect.stringContaining('accord check') });
    expect(await accord('up', '--port', 'x', '--local-aws', '.')).toMatchObject({ code: 2 });
    expect(await accord('up', '--local-aws', 'nowhere', '--json')).toMatchObject({
      code: 40,
      out: expect.stringContaining('orchestrator/no-local-aws'),
    });
    expect(await accord('ps', '--orchestrator', 'http://127.0.0.1:1')).toMatchObject({ code: 40, out: '' });
  });

  it('does not mind a reader that goes away', async () => {
    const { child, outcome } = await start('help');
    child.stdout?.destroy();
    expect(await outcome).toMatchObject({ code: 0, err: '' });
  });

  it('says which port is in use, and by whom a data folder is', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? String(address?.port) : '';
    const refused = await accord('up', '--local-aws', 'aws', '--data', 'port', '--port', port);
    expect(refused).toMatchObject({ code: 40, err: expect.stringMatching(/port is in use[\s\S]*--port/) });
    server.close();
  });

  it('ends at the first Ctrl-C while it reads stdin', async () => {
    const { child, outcome } = await start('check', '-');
    // Less than is taken, and more than fits on the way: it reads.
    await new Promise((resolve) => child.stdin?.write('#'.repeat(700_000), resolve));
    child.kill('SIGINT');
    expect(await outcome).toEqual({ code: 130, out: '', err: 'accord: interrupted\n' });
  });

  it('ends at the first Ctrl-C while it waits for a pipe that nobody writes to', async () => {
    const pipe = join(folder, 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);
    const { child, outcome } = await start('check', 'pipe');
    await expect.poll(() => opened(child.pid), { timeout: 20_000 }).toContain(pipe);
    child.kill('SIGINT');
    expect(await outcome).toEqual({ code: 130, out: '', err: 'accord: interrupted\n' });
  });

  const startUp = (): ReturnType<typeof start> =>
    start('up', '--local-aws', 'aws', '--data', 'data', '--run-dir', 'data/run', '--port', '0', '--json');

  it('runs a policy, tells of it, and leaves nothing behind after Ctrl-C', async () => {
    const { child, outcome, firstLine } = await startUp();
    const { url, pid } = JSON.parse(await firstLine);
    expect(pid).toBe(child.pid);
    const second = await accord('up', '--local-aws', 'aws', '--data', 'data', '--port', '0');
    expect(second).toMatchObject({ code: 40, err: expect.stringContaining(`pid ${pid}`) });
    expect(second.err).toContain(join(folder, 'data'));

    const at = ['--orchestrator', url, '--json'];
    const trust = ['--trust', join('aws', 'trust.json')];
    const ran = await accord('run', 'policy.json', ...trust, ...at);
    expect(ran.code, ran.err).toBe(0);
    const collaboration = JSON.parse(ran.out);
    expect(collaboration).toMatchObject({
      state: 'running',
      collaboration: 'screening',
      measurements: { PCR0: expect.any(String) },
    });
    expect(JSON.parse((await accord('ps', ...at)).out)).toMatchObject({ collaborations: [{ id: collaboration.id }] });
    expect((await accord('console', collaboration.id, '--orchestrator', url)).out).toContain('"serving"');
    for (const verb of ['console', 'stop']) {
      for (const id of ['absent-0123456789ab', 'nope', '../x']) {
        const absent = await accord(verb, id, '--orchestrator', url);
        expect(absent).toMatchObject({ code: 2, out: '' });
        expect(absent.err).toMatch(/there is no such collaboration[^]*`accord ps` lists them/);
      }
    }
    expect(await accord('run', 'policy.json', '--orchestrator', url)).toMatchObject({
      code: 10,
      err: expect.stringContaining('(orchestrator/trust-mismatch)'),
    });

    expect(await processesOf(join(folder, 'data'))).not.toEqual([]);
    child.kill('SIGINT');
    expect((await outcome).code).toBe(130);
    expect(await processesOf(join(folder, 'data'))).toEqual([]);
    expect(await readdir(join(folder, 'data', 'run'))).toEqual([]);
  }, 180_000);

  it('survives kill -9: the collaboration is there again, its enclave is gone and starts again', async () => {
    const first = await startUp();
    const before = JSON.parse(await first.firstLine);
    const policy = ['policy.json', '--trust', join('aws', 'trust.json'), '--json', '--orchestrator'];
    const { id } = JSON.parse((await accord('run', ...policy, before.url)).out);
    first.child.kill('SIGKILL');
    await first.outcome;
    await expect.poll(() => processesOf(join(folder, 'data')), { timeout: 20_000 }).toEqual([]);

    const again = await startUp();
    const { url } = JSON.parse(await again.firstLine);
    expect(await accord('ps', '--orchestrator', url)).toMatchObject({
      out: expect.stringMatching(new RegExp(`^${id}  stopped  \\(.*start it again`)),
    });
    expect(JSON.parse((await accord('run', ...policy, url)).out)).toMatchObject({ id, state: 'running' });
    expect(await accord('stop', id, '--orchestrator', url)).toMatchObject({ code: 0, out: `${id}  stopped\n` });
    again.child.kill('SIGTERM');
    expect((await again.outcome).code).toBe(130);
  });
});
