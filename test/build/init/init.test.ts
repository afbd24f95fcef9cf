/** The init in a machine: a real kernel, QEMU's Nitro machine, and a host that does what it likes. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootParts } from '../../../build/boot.ts';
import { COMMAND_LINE } from '../../../build/kernel/command-line.ts';
import { CACHE, compileProgram, keptMachine } from './kept.ts';
import { boot, rootfsOf } from './machine.ts';
import type { Boot, Host } from './machine.ts';

const kept = await keptMachine();
if (typeof kept === 'string') console.log(`skipped, the init under QEMU: ${kept}`);

const STARTED = '{"accord":"init","entropy":"nsm-hwrng","heartbeat":2}';
const UNHEARD = '{"accord":"init","entropy":"nsm-hwrng","heartbeat":null}';
const TOLD = (how: string): readonly string[] => [
  `{"accord":"how","value":"${how}"}`,
  '{"accord":"policy","value":"{policy $1 \\x}"}',
];

describe.skipIf(typeof kept === 'string')('the init', { timeout: 120_000 }, () => {
  let work: string;
  let program: Uint8Array;
  let init: Uint8Array;
  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), 'accord-init-'));
    program = readFileSync(await compileProgram(work, [join(import.meta.dirname, 'program.c')]));
    ({ init } = await bootParts({ cacheDir: CACHE }));
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  const start = (how: readonly string[], host: Host = {}, commandLine: string = COMMAND_LINE): Promise<Boot> => {
    if (typeof kept === 'string') throw new Error(kept);
    const image = { kernel: kept.kernel.bzImage, commandLine, init, rootfs: rootfsOf(program) };
    return boot(kept.qemu, { ...image, command: ['/program', ...how] }, host);
  };
  /** Values by name, as `look` told them. */
  const told = ({ lines }: Boot, name: string): readonly unknown[] =>
    lines
      .filter((line) => line.startsWith(`{"accord":"${name}"`))
      .map((line): unknown => JSON.parse(line))
      .map((line) => (typeof line === 'object' && line !== null && 'value' in line ? line.value : undefined));

  it('starts the program with its arguments and environment, and reports its exit code', async () => {
    const { lines, console, heartbeat } = await start(['exit', '3']);
    expect(lines).toEqual([STARTED, ...TOLD('exit'), '{"accord":"exited","code":3}']);
    expect([...heartbeat]).toEqual([0xb7]);
    for (const line of lines) expect(console).toContain(line);
  });

  it.each([6, 9, 11, 15])('reports signal %i, which is not a want of memory', async (signal) => {
    const { lines } = await start(['signal', String(signal)]);
    expect(lines.at(-1)).toBe(`{"accord":"exited","signal":${signal},"outOfMemory":false}`);
  });

  it('reports that the memory was not enough', async () => {
    const { lines, console } = await start(['memory'], { memoryMiB: 128 });
    expect(lines.at(-1)).toBe('{"accord":"exited","signal":9,"outOfMemory":true}');
    expect(console).toContain('Out of memory: Killed process');
  });

  it('reaps orphans', async () => {
    const result = await start(['orphans']);
    expect([told(result, 'orphans'), told(result, 'left'), told(result, 'zombies')]).toEqual([[3], [0], [0]]);
  });

  it('reports complete lines of the form alone', async () => {
    const { lines, console } = await start(['lines']);
    expect(lines.slice(3, -1)).toEqual([expect.stringMatching(/^\{"accord":"edge","value":"y+"\}$/)]);
    expect(lines[3]).toHaveLength(1000);
    expect(lines.at(-1)).toBe('{"accord":"exited","code":0}');
    expect(console).toContain('{"accord":"console"}'); // its standard error
    expect(console).not.toContain('hidden');
  });

  it('gives the program an image without what stands around it, and a kernel that is locked', async () => {
    const result = await start(['look']);
    expect(result.lines.at(-1)).toBe('{"accord":"exited","code":0}');
    expect(told(result, 'present')).toEqual([]);
    expect(told(result, 'absent')).toEqual([]);
    const seen = Object.fromEntries(
      ['program', 'source', 'nsm', 'lockdown', 'tcp', 'packet', 'vsock', 'input', 'user namespace'].map((name) => [
        name,
        told(result, name)[0],
      ]),
    );
    expect(seen).toEqual({
      program: '/program',
      source: 'nsm-hwrng',
      nsm: 'there',
      lockdown: 'none integrity [confidentiality]',
      tcp: 'Network unreachable',
      packet: 'Address family not supported by protocol',
      vsock: 'allowed',
      input: 'empty',
      'user namespace': 'allowed',
    });
    expect(told(result, 'cmdline')[0]).toMatch(new RegExp(`^${COMMAND_LINE}( +virtio_mmio\\.device=\\S+)+ *$`));
  });

  it('gives the program a group beside those of its jails, which it can make and bound, and nobody else', async () => {
    const result = await start(['groups']);
    const names = ['own', 'controllers', 'weight', 'made', 'bounded', 'entered', 'kill', 'removed'] as const;
    expect(Object.fromEntries(names.map((name) => [name, told(result, name)]))).toEqual({
      own: ['0::/gate'],
      controllers: ['cpu memory pids'],
      weight: ['1'],
      made: ['allowed'],
      bounded: ['allowed', 'allowed'],
      entered: ['allowed', 'allowed', 'allowed'],
      kill: ['allowed', 'allowed'],
      removed: ['allowed'],
    });
    expect([told(result, 'memory'), told(result, 'processes'), told(result, 'killed')]).toEqual([[9], [11], [9]]);
    expect(told(result, 'made by another')).toEqual(['Permission denied']);
    expect(told(result, 'left by another')).toEqual(['Permission denied']);
    // A jail's want of memory is not the program's.
    expect(result.lines.at(-1)).toBe('{"accord":"exited","signal":9,"outOfMemory":false}');
  });

  describe('stops and says why', () => {
    it.each<[string, string]>([
      ['kernel parameters of any kind', 'panic=0'],
      ['weaker hardening', 'mitigations=off'],
      ['a parameter of the same driver', 'virtio_mmio.other=1'],
      ['a device with more behind it', 'virtio_mmio.device=512@0xfeb00e00:12,lockdown=none'],
    ])('%s on the command line', async (_, more) => {
      const { lines, console } = await start(['exit', '0'], { qemuArguments: ['-append', more] });
      expect(console + lines.join('\n')).not.toContain('"how"');
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/^\{"accord":"exited","reason":"the kernel's command line .*"\}$/);
    });

    it('a command line that is not the one it was compiled for', async () => {
      const { lines } = await start(['exit', '0'], {}, `${COMMAND_LINE} nokaslr`);
      expect(lines).toEqual([expect.stringContaining('holds more than the image measures: nokaslr')]);
    });

    it('a program that is not there', async () => {
      if (typeof kept === 'string') return;
      const image = { kernel: kept.kernel.bzImage, commandLine: COMMAND_LINE, init, rootfs: rootfsOf(program) };
      const { lines } = await boot(kept.qemu, { ...image, command: ['/other'] });
      expect(lines.at(-1)).toBe('{"accord":"exited","reason":"cannot start /other: No such file or directory"}');
    });
  });

  describe('whatever its host does', () => {
    it.each<[string, Host, string]>([
      ['gives no heartbeat', { heartbeat: 'absent' }, UNHEARD],
      ['takes the heartbeat and says nothing', { heartbeat: 'silent' }, UNHEARD],
      ['answers another byte', { heartbeat: 'wrong' }, UNHEARD],
      ['answers a megabyte', { heartbeat: 'flood' }, STARTED],
      ['talks on the life line', { lifeLine: 'talk' }, STARTED],
    ])('%s: the program runs', async (_, host, first) => {
      const { lines } = await start(['exit', '5'], host);
      expect(lines).toEqual([first, ...TOLD('exit'), '{"accord":"exited","code":5}']);
    });

    it.each<[string, Host]>([
      ['never reads the life line', { lifeLine: 'stuck' }],
      ['has no life line', { lifeLine: 'absent' }],
      ['has neither', { lifeLine: 'absent', heartbeat: 'absent' }],
    ])('%s: the program runs and the console tells it', async (_, host) => {
      const { console } = await start(['exit', '5'], host);
      expect(console).toContain('{"accord":"exited","code":5}');
    });
  });
});
