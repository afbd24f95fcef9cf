import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { measureEif } from '../../../../build/measure/pcr.ts';
import type { HostServices, LaunchSpec, RunningEnclave } from '../../../../orchestrator/hosts/host.ts';
import type { NitroHost } from '../../../../orchestrator/hosts/nitro.ts';
import { eif, OWNER, startMachine, unixVsock } from './stand-in.ts';
import type { Machine } from './stand-in.ts';

let machine: Machine;
const hosts: NitroHost[] = [];

beforeEach(async () => {
  machine = await startMachine();
});
afterEach(async () => {
  await rm(join(machine.folder, 'deaf'), { force: true });
  await rm(join(machine.folder, 'immortal'), { force: true });
  for (const { ProcessID } of await machine.listed()) process.kill(ProcessID, 'SIGKILL');
  for (const host of hosts.splice(0)) await host.close();
  await machine.remove();
});

async function host(options: Parameters<Machine['host']>[0] = {}): Promise<NitroHost> {
  const made = await machine.host(options);
  hosts.push(made);
  return made;
}

async function spec(mode: string, more: Partial<LaunchSpec> = {}): Promise<LaunchSpec> {
  return { collaboration: 'test', eifPath: await machine.image(mode), memoryMiB: 512, cpus: 2, ...more };
}

async function launch(mode: string, services: HostServices = {}, on?: NitroHost): Promise<RunningEnclave> {
  return (on ?? (await host())).launch(await spec(mode), services);
}

async function ask(enclave: RunningEnclave, question: string): Promise<Record<string, unknown>> {
  const connection = await enclave.connect(5000);
  connection.write(`${question}\n`);
  return JSON.parse(await text(connection));
}

const greet =
  (words: string) =>
  (connection: Duplex): void => {
    connection.once('data', () => connection.end(words));
  };

describe('the nitro host', () => {
  it('starts an enclave with the memory and the whole cores it was told, and names it', async () => {
    const enclave = await (await host()).launch(await spec('serves', { memoryMiB: 700, cpus: 1 }), {});
    const [listed] = await machine.listed();
    expect(listed).toMatchObject({ MemoryMiB: 700, NumberOfCPUs: 2, Flags: 'NONE' });
    expect(listed?.EnclaveName).toMatch(new RegExp(`^accord-${OWNER}-test-[0-9a-f]{6}$`));
    expect(await machine.calls()).toMatch(
      /^run-enclave --eif-path \S+\/serves\.eif --memory 700 --cpu-count 2 --enclave-name accord-\S+$/m,
    );
    const { PCR0, PCR1, PCR2 } = await measureEif(await machine.image('serves'));
    expect(enclave.describe()).toEqual({
      id: expect.stringMatching(/^i-0f1e2d3c4b5a69788-enc[0-9a-f]{16}$/),
      host: 'nitro',
      isDebug: false,
      measurements: { PCR0, PCR1, PCR2 },
      state: { phase: 'running' },
    });
    expect(await ask(enclave, 'facts')).toEqual({ cid: 16, mode: 'serves' });
    expect(enclave.console()).toEqual([
      '{"accord":"init","entropy":256}',
      '{"accord":"booted"}',
      '{"accord":"serving","port":5000}',
    ]);
  });

  it('gives what nitro-cli demands for the size of the image, where that is more', async () => {
    const large = join(machine.folder, 'large.eif');
    await writeFile(large, eif('serves', 3_000_000));
    await (await host()).launch(await spec('serves', { eifPath: large, memoryMiB: 8 }), {});
    expect((await machine.listed())[0]).toMatchObject({ MemoryMiB: 12 });
  });

  it('answers each enclave by itself, and nobody else', async () => {
    const one = await host();
    const [a, b] = await Promise.all([
      launch('serves', { 8001: greet('hello a') }, one),
      launch('serves', { 8001: greet('hello b') }, one),
    ]);
    expect(await ask(a, 'host')).toEqual({ text: 'hello a' });
    expect(await ask(b, 'host')).toEqual({ text: 'hello b' });
    expect(await ask(a, 'stranger')).toEqual({ text: '' });
    expect(await ask(a, 'loop')).toEqual({ text: '' });
    expect(await ask(a, 'unknown')).toEqual({ text: '' });
    await a.terminate();
    expect(await ask(b, 'host')).toEqual({ text: 'hello b' });
  });

  it('carries what is larger than a buffer, both ways at once', async () => {
    const megabyte = 'x'.repeat(1024 * 1024);
    const enclave = await launch('serves', { 8001: greet(megabyte) });
    const replies = await Promise.all([1, 2, 3, 4].map(() => ask(enclave, 'host')));
    expect(replies.map(({ text }) => String(text).length)).toEqual([1, 2, 3, 4].map(() => megabyte.length));
  });

  it(
    'runs an image whose init has no life line: the session port tells that it serves',
    { timeout: 20_000 },
    async () => {
      const enclave = await launch('quiet');
      expect(enclave.describe().state).toEqual({ phase: 'running' });
      expect(enclave.console()).toEqual([]);
    },
  );

  it('keeps the last lines, however much was printed', async () => {
    const enclave = await launch('floods');
    await expect.poll(() => enclave.console().length).toBe(200);
    expect(enclave.console().at(-1)).toBe('{"accord":"serving","port":5000}');
    expect(Math.max(...enclave.console().map((line) => line.length))).toBeLessThanOrEqual(1000);
  });

  it('shows all that is printed in debug mode, and life-cycle lines alone otherwise', async () => {
    const enclave = await launch('serves', {}, await host({ isDebug: true }));
    await expect.poll(() => enclave.console()).toContain('the kernel of the enclave speaks');
    expect(enclave.console().filter((line) => line.includes('"serving"'))).toHaveLength(1);
    expect(enclave.console().join()).not.toContain('onnect');
    expect((await machine.calls()).match(/ --debug-mode$/m)).not.toBeNull();
    await enclave.terminate();
    expect(enclave.console()).toContain('the kernel of the enclave speaks');
  });
});

describe('the end of an enclave', () => {
  it.each([
    ['crash', 'the program in the enclave was killed (signal 9)'],
    ['out-of-memory', 'the enclave ran out of memory: raise enclave.memoryMiB in the policy'],
    ['vanish', expect.stringMatching(/gone, and could not say why.*its last line: \{"accord":"serving"/)],
  ])('by %s is told with its reason', async (how, reason) => {
    const enclave = await launch('serves');
    void ask(enclave, how).catch(() => {});
    expect(await enclave.ended).toEqual({ exitCode: null, reason });
    expect(enclave.describe().state).toMatchObject({ phase: 'ended' });
    await expect(enclave.connect(5000)).rejects.toMatchObject({ code: 'host/enclave-gone' });
    await enclave.terminate();
  });

  it.each([
    ['dies', /ended before it served: the program in the enclave exited with code 7$/],
    ['stops', /policy\/absent: the image carries no policy \(exit code 30\)$/],
    ['no-program', /the enclave's init stopped: cannot start \/usr\/bin\/absent: ENOENT$/],
  ])('before it served (%s) is told to whoever launched it', async (mode, message) => {
    await expect(launch(mode)).rejects.toMatchObject({
      code: 'host/enclave-ended',
      message: expect.stringMatching(message),
    });
    expect(await machine.listed()).toEqual([]);
  });

  it('comes by terminate, once, however often it is called', async () => {
    const enclave = await launch('serves');
    await Promise.all([enclave.terminate(), enclave.terminate()]);
    await enclave.terminate();
    expect(await enclave.ended).toEqual({ exitCode: null, reason: 'terminated by the coordinator' });
    expect(await machine.listed()).toEqual([]);
  });

  it('that was its own last word and does not come is brought about', { timeout: 20_000 }, async () => {
    const enclave = await launch('lingers');
    void ask(enclave, 'crash').catch(() => {});
    expect(await enclave.ended).toMatchObject({ reason: 'the program in the enclave was killed (signal 9)' });
    expect(await machine.listed()).toEqual([]);
  });

  it('is not taken from a nitro-cli that fails', async () => {
    const enclave = await launch('serves');
    await writeFile(join(machine.folder, 'deaf'), '');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(enclave.describe().state).toEqual({ phase: 'running' });
    await rm(join(machine.folder, 'deaf'));
    expect(await ask(enclave, 'facts')).toMatchObject({ cid: 16 });
  });

  it('that nitro-cli refuses to bring about is said, and can be asked for again', async () => {
    const enclave = await launch('serves');
    await writeFile(join(machine.folder, 'immortal'), '');
    await expect(enclave.terminate()).rejects.toMatchObject({ code: 'host/nitro-cli-failed' });
    expect(enclave.describe().state).toEqual({ phase: 'running' });
    await rm(join(machine.folder, 'immortal'));
    await enclave.terminate();
  });

  it('comes to one that does not serve in time, and to one that is no longer wanted', async () => {
    await expect(launch('silent', {}, await host({ startMs: 300 }))).rejects.toMatchObject({
      code: 'host/not-serving',
      message: expect.stringContaining('{"accord":"booted"}'),
    });
    const reason = new Error('never mind');
    const controller = new AbortController();
    const launched = hosts[0]?.launch(await spec('silent'), {}, controller.signal);
    setTimeout(() => controller.abort(reason), 150);
    await expect(launched).rejects.toBe(reason);
    expect(await machine.listed()).toEqual([]);
  });
});

describe('a launch is refused', () => {
  it('before nitro-cli is asked, where it does not fit', async () => {
    const one = await host();
    await one.launch(await spec('serves', { memoryMiB: 1500 }), {});
    await expect(one.launch(await spec('serves', { memoryMiB: 600 }), {})).rejects.toMatchObject({
      code: 'host/does-not-fit',
      message: expect.stringMatching(/600 MiB of memory; 2048 set aside for enclaves, 1500 of them in use/),
    });
    await expect(one.launch(await spec('serves', { cpus: 3 }), {})).rejects.toMatchObject({
      code: 'host/does-not-fit',
      message: expect.stringMatching(/4 vCPUs; 4 set aside for enclaves, 2 of them in use/),
    });
    expect((await machine.calls()).match(/^run-enclave/gm)).toHaveLength(1);
  });

  it('and ended, where nitro-cli measured something else, or measures nothing', async () => {
    await machine.setPool({ wrongPcr0: 'ab'.repeat(48) });
    await expect(launch('serves')).rejects.toMatchObject({
      kind: 'refused',
      code: 'host/measurement-mismatch',
      message: expect.stringContaining('ab'.repeat(48)),
    });
    expect(await machine.listed()).toEqual([]);
    await machine.setPool({ isOld: true });
    await expect(hosts[0]?.launch(await spec('serves'), {})).rejects.toMatchObject({ code: 'host/no-measurement' });
    expect(await machine.listed()).toEqual([]);
  });

  it('with what nitro-cli says, and nothing is left running', async () => {
    const one = await host();
    await machine.setPool({ memoryMiB: 256 }); // others of this machine took the rest
    await expect(one.launch(await spec('serves'), {})).rejects.toMatchObject({
      code: 'host/nitro-cli-failed',
      message: expect.stringContaining('E27'),
    });
    await machine.setPool({ memoryMiB: 2048, heartbeatMs: 200, leavesItRunning: true });
    await expect(one.launch(await spec('no-heartbeat'), {})).rejects.toMatchObject({
      message: expect.stringContaining('no heartbeat came (E36)'),
    });
    expect(await machine.listed()).toEqual([]);
    await machine.setPool({ heartbeatMs: 5000, garbled: true });
    await expect(one.launch(await spec('serves'), {})).rejects.toMatchObject({ code: 'host/nitro-cli-output' });
    expect(await machine.listed()).toEqual([]);
  });

  it('for an image that is none, before nitro-cli sees it', async () => {
    const broken = join(machine.folder, 'broken.eif');
    await writeFile(broken, 'not an image');
    await expect((await host()).launch(await spec('serves', { eifPath: broken }), {})).rejects.toMatchObject({
      kind: 'malformed',
    });
    expect(await machine.calls()).not.toContain('run-enclave');
  });

  it('and the next one goes on all the same', async () => {
    const one = await host();
    await expect(one.launch(await spec('serves', { memoryMiB: 9999 }), {})).rejects.toMatchObject({
      code: 'host/does-not-fit',
    });
    expect(await ask(await launch('serves', {}, one), 'facts')).toMatchObject({ cid: 16 });
  });
});

describe('an orchestrator that comes after', () => {
  it('ends the enclaves of its own name, and leaves the others', async () => {
    const before = await host();
    await launch('serves', {}, before);
    await before.close(); // as if it had been killed: nothing is terminated
    const other = await host({ owner: 'ffffffffffff' });
    await launch('serves', {}, other);
    await other.close();
    expect(await machine.listed()).toHaveLength(2);

    const logged: string[] = [];
    await host({ log: (line) => void logged.push(line) });
    expect((await machine.listed()).map(({ EnclaveName }) => EnclaveName)).toEqual([
      expect.stringMatching(/^accord-ffffffffffff-/),
    ]);
    expect(logged).toEqual([expect.stringMatching(/^ending accord-0a1b2c3d4e5f-test-\w+, which an earlier/)]);
  });

  it('beside one that still listens is refused, with the port and who may have it', async () => {
    await host();
    await expect(machine.host()).rejects.toMatchObject({
      code: 'host/vsock-port-in-use',
      message: expect.stringContaining('vsock port 8000'),
      hint: expect.stringContaining('nitro-enclaves-vsock-proxy.service'),
    });
    expect(await ask(await launch('serves', {}, hosts[0]), 'facts')).toMatchObject({ cid: 16 });
  });

  it('on a machine without enclaves fails at once', async () => {
    await rm(machine.paths.device);
    await expect(machine.host({ vsock: unixVsock('/nowhere') })).rejects.toMatchObject({
      code: 'host/nitro-device-absent',
    });
    await writeFile(machine.paths.device, '');
    await chmod(machine.paths.device, 0o600);
    await machine.setAllocator('memory_mib: 2048\ncpu_count: 4\n', '');
    await expect(machine.host()).rejects.toMatchObject({ code: 'host/allocator-stopped' });
  });
});
