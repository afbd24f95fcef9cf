/** What of the qemu host needs no machine: its sentences, its refusals, its command line, its sockets, its keys. */
import { X509Certificate, createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, readlink, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeEif } from '../../../../build/eif/write.ts';
import type { HeaderFields } from '../../../../build/eif/write.ts';
import { measureEif } from '../../../../build/measure/pcr.ts';
import { createMachineConsole } from '../../../../orchestrator/hosts/qemu/console.ts';
import { describeMachineEnd, isPanic } from '../../../../orchestrator/hosts/qemu/ending.ts';
import type { Seen } from '../../../../orchestrator/hosts/qemu/ending.ts';
import { checkImage } from '../../../../orchestrator/hosts/qemu/image.ts';
import { findQemu } from '../../../../orchestrator/hosts/qemu/find.ts';
import { watchHeartbeat } from '../../../../orchestrator/hosts/qemu/heartbeat.ts';
import { keepKeyFolder } from '../../../../orchestrator/hosts/qemu/key-folder.ts';
import { demandMemory } from '../../../../orchestrator/hosts/qemu/memory.ts';
import { machineArguments } from '../../../../orchestrator/hosts/qemu/programs.ts';
import { dialGuest } from '../../../../orchestrator/hosts/qemu/sockets.ts';
import { createAttestationIssuer } from '../../../../orchestrator/local/attestation-issuer.ts';

const PARTS = join(import.meta.dirname, '../../../../orchestrator/hosts/qemu');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-qemu-parts-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('why a machine ended', () => {
  const nothing: Seen = {
    isTerminating: false,
    isBridgeGone: false,
    lifeLines: [],
    serial: [],
    qemu: [],
    exitCode: 0,
    signal: null,
  };
  const reason = (seen: Partial<Seen>): string => describeMachineEnd({ ...nothing, ...seen }).reason;

  it.each<[string, Partial<Seen>, RegExp]>([
    ['by us', { isTerminating: true, signal: 'SIGTERM', exitCode: null }, /^terminated by the coordinator$/],
    ['by kill -9', { signal: 'SIGKILL', exitCode: null }, /^QEMU was killed by SIGKILL/],
    ['by its program', { lifeLines: ['{"accord":"exited","code":3}'] }, /exited with code 3$/],
    [
      'by its program, which said why',
      {
        lifeLines: ['{"accord":"exited","code":3}'],
        serial: ['no model fits', '{"accord":"exited","code":3}', 'reboot: Restarting system'],
      },
      /exited with code 3; its last line: no model fits$/,
    ],
    [
      'for want of memory',
      { lifeLines: ['{"accord":"exited","signal":9,"outOfMemory":true}'] },
      /ran out of memory: raise enclave\.memoryMiB/,
    ],
    [
      'before the init',
      {
        serial: ['Initramfs unpacking failed: write error', 'Kernel panic - not syncing: No working init found.'],
        signal: 'SIGKILL',
        exitCode: null,
      },
      /^the image did not fit into the enclave's memory while it was unpacked \(write error\): raise enclave\.memoryMiB/,
    ],
    [
      'in the kernel',
      { serial: ['[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs'], signal: 'SIGKILL' },
      /^the enclave's kernel panicked: VFS: Unable to mount root fs/,
    ],
    [
      'in the kernel, for want of memory',
      { serial: ['Kernel panic - not syncing: System is deadlocked on memory'] },
      /^the enclave ran out of memory \(kernel panic/,
    ],
    ['with its bridge', { isBridgeGone: true, signal: 'SIGKILL', exitCode: null }, /^its vsock bridge/],
    [
      'over a broken image',
      { exitCode: 1, qemu: ['qemu-system-x86_64: CRC mismatch. Expected 1 but header has 2.'] },
      /^QEMU refused the image: its checksum/,
    ],
    [
      'over an option',
      { exitCode: 1, qemu: ['cannot set up guest memory'] },
      /exit code 1: cannot set up guest memory/,
    ],
    ['in silence', { lifeLines: ['{"accord":"serving"}'] }, /did not say why; its last line: \{"accord":"serving"\}/],
  ])('%s', (_how, seen, pattern) => {
    expect(reason(seen)).toMatch(pattern);
  });

  it('knows a panic of the kernel from a line that speaks of one', () => {
    expect(isPanic('[   12.345678] Kernel panic - not syncing: Attempted to kill init!')).toBe(true);
    expect(isPanic('the program said: Kernel panic - not syncing: x')).toBe(false);
  });
});

describe('what a machine says', () => {
  it('holds life-cycle lines once, marks the rest, and is not confused by control characters', async () => {
    const seen: string[] = [];
    const console = createMachineConsole({ onLife: ({ accord }) => seen.push(accord), onSerial: () => {} });
    const [serial, lifeLine, qemu] = [new PassThrough(), new PassThrough(), new PassThrough()];
    console.followSerial(serial);
    console.followLifeLine(lifeLine);
    console.followQemu(qemu);
    serial.write('\x1b[2J\x1b[1;1Hbooting\r\n{"accord":"booted"}\r\n');
    lifeLine.write('{"accord":"booted"}\n{"accord":"serving"}\n');
    qemu.write('warning: x\n');
    await expect.poll(() => console.lines().length).toBe(4);
    serial.write('{"accord":"serving"}\r\n{"accord":"serving"}\r\n'); // said again, the other way not yet
    await expect.poll(() => console.lines().length).toBe(5);
    expect(console.lines()).toEqual([
      'serial: booting',
      '{"accord":"booted"}',
      '{"accord":"serving"}',
      'qemu: warning: x',
      '{"accord":"serving"}',
    ]);
    expect(seen).toEqual(['booted', 'serving', 'serving']);
    expect(console.seen()).toMatchObject({ serial: ['booting', '{"accord":"booted"}', '{"accord":"serving"}', '{"accord":"serving"}'] }); // prettier-ignore
  });
});

describe('the heartbeat', () => {
  it('is answered, and missed aloud where it does not come', async () => {
    const notes: string[] = [];
    let heartbeat = watchHeartbeat((text) => notes.push(text), 100);
    const sender = createServer((socket) => heartbeat.answer(socket));
    const path = join(folder, 'heartbeat');
    await new Promise<void>((resolve) => sender.listen(path, resolve));
    const odd = connect(path);
    odd.on('error', () => {}).write(Uint8Array.of(1));
    await new Promise((resolve) => odd.once('close', resolve));
    await expect.poll(() => notes).toEqual([expect.stringContaining('no heartbeat within 0.1 s')]);
    heartbeat = watchHeartbeat((text) => notes.push(text), 100);
    const enclave = connect(path);
    enclave.write(Uint8Array.of(0xb7));
    const [echoed] = await new Promise<Uint8Array>((resolve) => enclave.once('data', resolve));
    expect(echoed).toBe(0xb7);
    await sleep(150);
    expect(notes).toHaveLength(1);
    enclave.destroy();
    sender.close();
  });
});

describe('before a launch', () => {
  it('compares memory with what this machine has free', async () => {
    const meminfo = async (): Promise<string> => 'MemTotal: 4000000 kB\nMemAvailable:    1048576 kB\n';
    await demandMemory(800, meminfo);
    await expect(demandMemory(1024, meminfo)).rejects.toMatchObject({
      code: 'host/too-little-memory',
      message: expect.stringMatching(/1024 MiB.*1024 MiB free/),
    });
  });

  describe('looks at the image', () => {
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

    async function imageOf(name: string, architecture: HeaderFields['architecture'], kernel: string): Promise<string> {
      const path = join(folder, name);
      await writeEif(path, { architecture, defaultMemory: 1n, defaultCpus: 1n }, [
        { kind: 'kernel', content: bytes(kernel) },
        { kind: 'cmdline', content: bytes('quiet') },
        { kind: 'metadata', content: bytes('{}') },
        { kind: 'ramdisk', content: bytes('init') },
        { kind: 'ramdisk', content: bytes('rest') },
      ]);
      return path;
    }
    const kernel = `${'\0'.repeat(0x202)}HdrS`;

    it('and measures what can boot', async () => {
      const path = await imageOf('whole.eif', 'x86_64', kernel);
      const { PCR0, PCR1, PCR2 } = await measureEif(path);
      expect(await checkImage(path, undefined)).toEqual({ PCR0, PCR1, PCR2 });
    });

    it('and refuses one for another processor', async () => {
      const path = await imageOf('arm.eif', 'aarch64', kernel);
      await expect(checkImage(path, undefined)).rejects.toMatchObject({
        kind: 'unsupported',
        code: 'host/wrong-architecture',
        message: expect.stringContaining('aarch64'),
        where: path,
        hint: expect.stringContaining('x86_64'),
      });
    });

    it('and refuses one of the local host, which has no kernel', async () => {
      const path = await imageOf('local.eif', 'x86_64', 'none');
      await expect(checkImage(path, undefined)).rejects.toMatchObject({
        code: 'host/no-kernel',
        hint: expect.stringContaining('--target nitro'),
      });
    });
  });

  it('says what to run where QEMU is absent', async () => {
    await expect(findQemu(join(folder, 'no-cache'))).rejects.toMatchObject({
      code: 'host/qemu-absent',
      hint: expect.stringContaining('npm run setup:qemu'),
    });
  });

  it('has the patches that the lock names', async () => {
    const lock: unknown = JSON.parse(await readFile(join(PARTS, 'sources.lock.json'), 'utf8'));
    const names = (await readdir(PARTS)).filter((name) => name.endsWith('.patch'));
    const found = names.map(async (name) => {
      const sha256 = createHash('sha256').update(await readFile(join(PARTS, name))).digest('hex'); // prettier-ignore
      return [name, { sha256 }] as const;
    });
    expect(lock).toHaveProperty('patches', Object.fromEntries(await Promise.all(found)));
  });

  it('appends nothing to the measured command line, and lets no value become an option', () => {
    const argv = machineArguments(
      { firmware: '/f' },
      {
        spec: { collaboration: 'x', eifPath: '/a,b.eif', memoryMiB: 512, cpus: 2 },
        moduleId: 'i-0-enc0',
        instanceId: 'i-0',
        roleArn: 'arn:aws:iam::1:role/a,vsock=other',
      },
    );
    expect(argv).not.toContain('-append');
    expect(argv[argv.indexOf('-M') + 1]).toBe(
      'nitro-enclave,vsock=bridge,id=i-0-enc0,parent-id=i-0,parent-role=arn:aws:iam::1:role/a,,vsock=other',
    );
    expect(argv).toContain('-no-reboot');
  });
});

describe('dialling through the bridge', () => {
  const gone = new AbortController().signal;

  async function bridge(name: string, answer: (socket: Socket, asked: string) => void): Promise<[string, Server]> {
    const path = join(folder, name);
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (data) => answer(socket, data.toString()));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return [path, server];
  }

  it('hands on every byte after the answer, in however many pieces it comes', async () => {
    const [path, server] = await bridge('pieces', (socket, asked) => {
      expect(asked).toBe('CONNECT 5000\n');
      socket.write('OK 10');
      setTimeout(() => socket.write('24\nfirst '), 20);
      setTimeout(() => socket.end('second'), 40);
    });
    const connection = await dialGuest({ path, port: 5000, gone });
    let text = '';
    for await (const piece of connection) text += String(piece);
    expect(text).toBe('first second');
    server.close();
  });

  it('tries again where nobody answers, and says so in the end', async () => {
    let tries = 0;
    const [path, server] = await bridge('late', (socket) => {
      tries++;
      if (tries === 2) socket.destroy();
      if (tries === 3) socket.write('OK 1\n');
    });
    const connection = await dialGuest({ path, port: 5000, gone });
    expect(tries).toBe(3);
    connection.destroy();
    const [deaf, other] = await bridge('deaf', () => {});
    await expect(dialGuest({ path: deaf, port: 5000, gone, dialMs: 300 })).rejects.toMatchObject({
      code: 'host/not-listening',
    });
    const [odd, third] = await bridge('odd', (socket) => socket.end('ERROR no such port\n'));
    await expect(dialGuest({ path: odd, port: 5000, gone, dialMs: 100 })).rejects.toMatchObject({
      code: 'host/not-listening',
    });
    for (const one of [server, other, third]) one.close();
  });

  it('gives up at once when the enclave has ended', async () => {
    const [path, server] = await bridge('ended', () => {});
    const ending = new AbortController();
    const dialled = dialGuest({ path, port: 5000, gone: ending.signal });
    setTimeout(() => ending.abort(), 50);
    const start = performance.now();
    await expect(dialled).rejects.toMatchObject({ code: 'host/enclave-gone' });
    expect(performance.now() - start).toBeLessThan(1_000);
    server.close();
  });
});

describe('the key folder', () => {
  it('is renewed before its leaf expires, in one step, and keeps the set before for whoever is reading', async () => {
    const HOUR = 3_600_000;
    let now = Date.UTC(2026, 0, 1);
    const issuer = await createAttestationIssuer(join(folder, 'root'), { now: () => now });
    const place = await mkdtemp(join(folder, 'keys-'));
    const faults: unknown[] = [];
    const keys = await keepKeyFolder({
      folder: place,
      moduleId: 'i-0-enc0',
      issuer,
      now: () => now,
      lookMs: 5,
      onFault: (error) => faults.push(error),
    });
    const leafUntil = async (): Promise<number> =>
      Date.parse(new X509Certificate(await readFile(join(place, 'nsm/leaf.der'))).validTo);
    for (let generation = 0; generation < 4; generation++) {
      await expect.poll(() => readlink(join(place, 'nsm'))).toBe(`nsm.${generation}`);
      expect(await leafUntil()).toBeGreaterThanOrEqual(now + HOUR);
      now += 2 * HOUR; // a leaf lives three hours, and one of them must be left
    }
    await expect.poll(() => readlink(join(place, 'nsm'))).toBe('nsm.4');
    keys.close();
    await expect.poll(async () => (await readdir(place)).toSorted()).toEqual(['nsm', 'nsm.3', 'nsm.4']);
    expect(faults).toEqual([]);
  });
});
