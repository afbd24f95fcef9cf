import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { measureEif } from '../../../build/measure/pcr.ts';
import type { EnclaveHost, HostServices, RunningEnclave } from '../../../orchestrator/hosts/host.ts';
import { createLocalHost } from '../../../orchestrator/hosts/local.ts';
import { processesOf } from '../../../orchestrator/hosts/processes.ts';
import { createAttestationIssuer } from '../../../orchestrator/local/attestation-issuer.ts';
import type { AttestationIssuer } from '../../../orchestrator/local/attestation-issuer.ts';
import { bundled } from '../bundled.ts';
import { writeFakeImage } from './fake-image.ts';
import type { FakeMode } from './fake-image.ts';

const WAIT = { timeout: 20_000 };

let folder: string;
let runFolder: string;
let issuer: AttestationIssuer;
const running: RunningEnclave[] = [];

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-local-')));
  runFolder = join(folder, 'run');
  issuer = await createAttestationIssuer(join(folder, 'nsm'));
});
afterEach(async () => {
  for (const enclave of running.splice(0)) await enclave.terminate();
  expect(await processesOf(folder)).toEqual([]);
  expect(await readdir(runFolder).catch(() => [])).toEqual([]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function host(options: { readonly startMs?: number; readonly runFolder?: string } = {}): EnclaveHost {
  return createLocalHost({
    runFolder,
    issuer,
    instanceId: 'i-0123456789abcdef0',
    roleArn: 'arn:aws:iam::999900001111:role/accord-host',
    ...options,
  });
}

async function image(mode: FakeMode): Promise<string> {
  const path = join(folder, `${mode}.eif`);
  await writeFakeImage(path, mode);
  return path;
}

async function launch(mode: FakeMode, services: HostServices = {}, on: EnclaveHost = host()): Promise<RunningEnclave> {
  const enclave = await on.launch(
    { collaboration: 'test', eifPath: await image(mode), memoryMiB: 256, cpus: 1 },
    services,
  );
  running.push(enclave);
  return enclave;
}

/** One question to the stand-in, and its answer. */
async function ask(enclave: RunningEnclave, question: string): Promise<Record<string, unknown>> {
  const connection = await enclave.connect(5000);
  connection.end(`${question}\n`);
  return JSON.parse(await text(connection));
}

describe('the local host', () => {
  it('runs what is in the image, with its environment and nothing else', async () => {
    process.env['ACCORD_SECRET_OF_THE_HOST'] = 'must not be inherited';
    const enclave = await launch('serves');
    delete process.env['ACCORD_SECRET_OF_THE_HOST'];
    const facts = await ask(enclave, 'facts');
    expect(facts['env']).toEqual({ MODE: 'serves', ACCORD_POLICY: '{"a":"b c"}' });
    const root = String(facts['cwd']);
    expect(root.startsWith(runFolder)).toBe(true);
    expect(facts['execPath']).toBe(join(root, 'rootfs/usr/bin/node'));
    expect(facts['execArgv']).toEqual(['--no-warnings']);
    expect(facts['argv']).toEqual([join(root, 'rootfs/accord/gate.mjs')]);
    expect(await ask(enclave, 'import')).toEqual({ code: 'ERR_MODULE_NOT_FOUND' });
  });

  it.skipIf(process.getuid?.() !== 0)(
    'lets another user read what a jail needs, and neither list nor reach more',
    async () => {
      await chmod(folder, 0o711);
      const enclave = await launch('serves');
      const { cwd } = await ask(enclave, 'facts');
      const asNobody = (program: string, path: string): string => {
        const { status, stderr } = spawnSync(program, [path], { uid: 65_534, gid: 65_534, encoding: 'utf8' });
        return status === 0 ? 'done' : stderr.trim().replace(/^.*: /s, '');
      };
      expect(asNobody('/usr/bin/cat', join(String(cwd), 'rootfs/accord/gate.mjs'))).toBe('done');
      expect(asNobody('/usr/bin/ls', join(String(cwd), 'rootfs/accord'))).toBe('done');
      for (const shut of [runFolder, join(String(cwd), '..'), String(cwd), join(String(cwd), 'run')]) {
        expect(asNobody('/usr/bin/ls', shut), shut).toBe('Permission denied');
      }
      expect(asNobody('/usr/bin/cat', join(String(cwd), 'run/nsm.sock'))).toBe('Permission denied');
    },
  );

  it('tells it the measurements of the very image, and describes it by them', async () => {
    const enclave = await launch('serves');
    const { PCR0, PCR1, PCR2 } = await measureEif(await image('serves'));
    expect(enclave.describe()).toMatchObject({
      host: 'local',
      measurements: { PCR0, PCR1, PCR2 },
      state: { phase: 'running' },
    });
    expect(enclave.describe().id).toMatch(/^i-0123456789abcdef0-enc[0-9a-f]{16}$/);
    expect((await ask(enclave, 'pcr0'))['reply']).toContain(PCR0);
  });

  it('answers what it asks of its host', async () => {
    const greet = (connection: Duplex): void => {
      connection.resume();
      connection.end('hello enclave');
    };
    const enclave = await launch('serves', { 8001: greet });
    expect(await ask(enclave, 'host')).toEqual({ text: 'hello enclave' });
  });

  it('runs several at once, each by itself', async () => {
    const one = host();
    const [a, b] = await Promise.all([launch('serves', {}, one), launch('serves', {}, one)]);
    expect(a.describe().id).not.toBe(b.describe().id);
    await a.terminate();
    expect((await ask(b, 'facts'))['env']).toMatchObject({ MODE: 'serves' });
  });

  it('works below a folder whose path is too long for a socket', async () => {
    const deep = join(folder, 'long', 'l'.repeat(90), 'o'.repeat(90));
    const enclave = await launch('serves', {}, host({ runFolder: deep }));
    expect((await ask(enclave, 'pcr0'))['reply']).toMatch(/^a1/);
    await enclave.terminate();
    await rm(join(folder, 'long'), { recursive: true });
  });
});

describe('the end of an enclave', () => {
  it('is told with its reason: exit code, signal, last line', async () => {
    const crashing = await launch('serves');
    await ask(crashing, 'crash').catch(() => {});
    expect(await crashing.ended).toEqual({ exitCode: null, reason: expect.stringContaining('SIGKILL') });
    expect(crashing.describe().state).toMatchObject({ phase: 'ended' });
    await expect(crashing.connect(5000)).rejects.toMatchObject({ code: 'host/enclave-gone' });
    await expect(launch('dies')).rejects.toMatchObject({
      code: 'host/enclave-ended',
      message: expect.stringMatching(/exited with code 7; its last line: no model fits in here/),
    });
    await expect(launch('stops')).rejects.toMatchObject({
      code: 'host/enclave-ended',
      message: expect.stringContaining('policy/absent: the image carries no policy (exit code 30)'),
    });
  });

  it('comes by terminate, once, however often it is called', async () => {
    const enclave = await launch('serves');
    await Promise.all([enclave.terminate(), enclave.terminate()]);
    await enclave.terminate();
    expect(await enclave.ended).toMatchObject({ reason: 'terminated by the coordinator' });
  });

  it('comes to one that is deaf to every signal, and to its children', async () => {
    const enclave = await launch('deaf');
    const processes = await processesOf(folder);
    expect(processes.length).toBeGreaterThanOrEqual(1);
    await enclave.terminate();
    expect(await processesOf(folder)).toEqual([]);
  });

  it('comes to one that does not serve in time, and to one that is aborted while it starts', async () => {
    await expect(launch('silent', {}, host({ startMs: 300 }))).rejects.toMatchObject({
      code: 'host/not-serving',
      message: expect.stringContaining('{"accord":"booted"}'),
    });
    const reason = new Error('never mind');
    const spec = { collaboration: 'test', eifPath: await image('silent'), memoryMiB: 256, cpus: 1 };
    const controller = new AbortController();
    const launched = host().launch(spec, {}, controller.signal);
    setTimeout(() => controller.abort(reason), 300);
    await expect(launched).rejects.toBe(reason);
  });

  it('keeps the last lines, however much was printed', async () => {
    const enclave = await launch('floods');
    await expect.poll(() => enclave.console().length, WAIT).toBe(200);
    expect(enclave.console().at(-1)).toBe('{"accord":"serving","port":5000}');
    expect(Math.max(...enclave.console().map((line) => line.length))).toBeLessThanOrEqual(1000);
  });
});

describe('a launch that cannot be', () => {
  it('below a node_modules folder is refused', async () => {
    const above = join(folder, 'project', 'deep');
    await mkdir(join(folder, 'project', 'node_modules'), { recursive: true });
    await expect(launch('serves', {}, host({ runFolder: above }))).rejects.toMatchObject({
      code: 'host/node-modules-above',
      where: join(folder, 'project', 'node_modules'),
    });
    await rm(join(folder, 'project'), { recursive: true });
  });

  it('leaves nothing behind: a broken image, a missing program', async () => {
    const broken = join(folder, 'broken.eif');
    await writeFile(broken, 'not an image');
    const spec = { collaboration: 'test', eifPath: broken, memoryMiB: 256, cpus: 1 };
    await expect(host().launch(spec, {})).rejects.toMatchObject({ kind: 'malformed' });
    await expect(launch('no-program')).rejects.toMatchObject({ code: 'host/start-failed' });
  });
});

describe('kill -9 of the orchestrator', () => {
  async function launcher(mode: FakeMode): Promise<number> {
    const program = await bundled('test/orchestrator/hosts/launcher.ts');
    const child = spawn(process.execPath, [program, runFolder, join(folder, 'nsm'), await image(mode)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    const alive = await processesOf(folder);
    child.kill('SIGKILL');
    await once(child, 'exit');
    return alive.length;
  }

  it('ends its enclaves, because their input ends', async () => {
    expect(await launcher('serves')).toBe(1);
    await expect.poll(() => processesOf(folder), WAIT).toEqual([]);
    expect(await readdir(runFolder)).toHaveLength(1);
    await launch('serves'); // the next host sweeps what was left
    expect(await readdir(runFolder)).toHaveLength(1);
  });

  it('leaves a deaf one alone until the next orchestrator finds and kills it', async () => {
    await launcher('deaf');
    const left = await processesOf(folder);
    expect(left.length).toBeGreaterThanOrEqual(1);
    await launch('serves');
    const now = await processesOf(folder);
    expect(left.filter((pid) => now.includes(pid))).toEqual([]);
  });
});
