import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { demandRoom, parseAllocator, readAllocator } from '../../../../orchestrator/hosts/nitro/allocator.ts';
import { createNitroCommand } from '../../../../orchestrator/hosts/nitro/command.ts';
import { demandEnclaveMachine } from '../../../../orchestrator/hosts/nitro/machine.ts';
import type { MachinePaths } from '../../../../orchestrator/hosts/nitro/machine.ts';
import { NITRO_CLI } from './stand-in.ts';

let folder: string;
let paths: MachinePaths;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-nitro-machine-'));
  paths = { device: join(folder, 'dev'), config: join(folder, 'allocator.yaml'), cpuPool: join(folder, 'ne_cpus') };
  await writeFile(paths.device, '');
  await writeFile(paths.config, await readFile(join(import.meta.dirname, 'recorded/allocator.yaml')));
  await writeFile(paths.cpuPool, '1,3\n');
  await writeFile(join(folder, 'pool.json'), '{}');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const command = (program = NITRO_CLI) =>
  createNitroCommand(program, { PATH: process.env['PATH'], NITRO_STAND_IN: folder });

describe('a machine for enclaves', () => {
  it('has the device, the command and an allocator that has run', async () => {
    await demandEnclaveMachine(paths, command());
    expect(await readAllocator(paths)).toEqual({ memoryMiB: 512, cpus: 2 });
  });

  it('without the device is told which setting of the instance is missing', async () => {
    await rm(paths.device);
    await expect(demandEnclaveMachine(paths, command())).rejects.toMatchObject({
      code: 'host/nitro-device-absent',
      kind: 'environment',
      where: paths.device,
      hint: expect.stringMatching(/--enclave-options Enabled=true.*--host qemu/),
    });
  });

  it('whose device is not for this user is told of the group', async () => {
    const forbidden = (): Promise<void> => Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES' }));
    await expect(demandEnclaveMachine(paths, command(), forbidden)).rejects.toMatchObject({
      code: 'host/nitro-device-forbidden',
      hint: expect.stringContaining('usermod -aG ne'),
    });
  });

  it('without nitro-cli, or with one that may not be run or does not run', async () => {
    await expect(demandEnclaveMachine(paths, command(join(folder, 'nitro-cli')))).rejects.toMatchObject({
      code: 'host/nitro-cli-absent',
      hint: expect.stringContaining('dnf install -y aws-nitro-enclaves-cli'),
    });
    await writeFile(join(folder, 'nitro-cli'), '#!/bin/sh\necho "[ E56 ] Logger error." >&2\nexit 1\n', {
      mode: 0o644,
    });
    await expect(demandEnclaveMachine(paths, command(join(folder, 'nitro-cli')))).rejects.toMatchObject({
      code: 'host/nitro-cli-forbidden',
    });
    await writeFile(join(folder, 'broken'), '#!/bin/sh\necho "[ E56 ] Logger error." >&2\nexit 1\n', { mode: 0o755 });
    await expect(demandEnclaveMachine(paths, command(join(folder, 'broken')))).rejects.toMatchObject({
      code: 'host/nitro-cli-failed',
      message: expect.stringContaining('/var/log/nitro_enclaves'),
    });
  });

  it('whose nitro-cli hangs is not waited for, and it is ended', async () => {
    await writeFile(join(folder, 'hangs'), `#!/bin/sh\necho $$ > ${folder}/pid\nexec sleep 60\n`, { mode: 0o755 });
    await expect(command(join(folder, 'hangs')).run(['describe-enclaves'], 300)).rejects.toMatchObject({
      code: 'host/nitro-cli-silent',
    });
    const pid = Number(await readFile(join(folder, 'pid'), 'utf8'));
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });

  it('whose command prints without end costs a bounded memory', async () => {
    await writeFile(join(folder, 'floods'), '#!/bin/sh\nhead -c 8000000 /dev/zero\n', { mode: 0o755 });
    const { stdout } = await command(join(folder, 'floods')).run([], 10_000);
    expect(stdout.length).toBe(1024 * 1024);
  });
});

describe('the allocator', () => {
  it('is not there, does not run, or has not read its file again', async () => {
    await writeFile(paths.cpuPool, '\n');
    await expect(readAllocator(paths)).rejects.toMatchObject({
      code: 'host/allocator-stopped',
      hint: expect.stringContaining('systemctl enable --now nitro-enclaves-allocator.service'),
    });
    await rm(paths.cpuPool); // the driver is not loaded
    await expect(readAllocator(paths)).rejects.toMatchObject({ code: 'host/allocator-stopped' });
    await writeFile(paths.cpuPool, '1-3,5\n');
    await expect(readAllocator(paths)).rejects.toMatchObject({
      code: 'host/allocator-stale',
      message: '2 CPUs are configured for enclaves, and 4 are set aside: the file was changed since',
      hint: expect.stringContaining('systemctl restart'),
    });
    await rm(paths.config);
    await expect(readAllocator(paths)).rejects.toMatchObject({ code: 'host/allocator-absent', where: paths.config });
  });

  it.each([
    ['memory_mib: 1024\ncpu_count: 4', { memoryMiB: 1024, cpus: 4 }],
    ['memory_mib: 1024\ncpu_pool: 2,3,6-9', { memoryMiB: 1024, cpus: 6 }],
    ['memory_mib: 1024\ncpu_pool: 2', { memoryMiB: 1024, cpus: 1 }],
    ['- memory_mib: 512\n  cpu_count: 2\n- memory_mib: 256\n  cpu_pool: 6-7', { memoryMiB: 768, cpus: 4 }],
  ])('says %j', (text, all) => {
    expect(parseAllocator(text, 'a.yaml')).toEqual(all);
  });

  it.each([
    ['', /memory_mib and cpu_count are missing/],
    ['[]', /sets nothing aside/],
    ['memory_mib: 512', /cpu_count is missing/],
    ['cpu_count: 2', /memory_mib is missing/],
    ['memory_mib: lots\ncpu_count: 2', /memory_mib is not a whole number/],
    ['memory_mib: 512\ncpu_count: 0', /cpu_count is not a whole number above 0/],
    ['memory_mib: 512\ncpu_count: 2\ncpu_pool: 1-2', /exclude each other/],
    ['memory_mib: 512\ncpu_pool: 3-1', /is not a list like/],
    ['memory_mib: 512\ncpu_pool: [1, 2]', /cpu_pool is not a list like/],
    ['memory_mib: [', /not understood/],
  ])('is refused for %j', (text, why) => {
    expect(() => parseAllocator(text, 'a.yaml')).toThrow(
      expect.objectContaining({ code: 'host/allocator-malformed', message: expect.stringMatching(why) }),
    );
  });

  it('has room, or says how much it must have', () => {
    const all = { memoryMiB: 2048, cpus: 4 };
    const used = { memoryMiB: 1024, cpus: 2 };
    demandRoom({ memoryMiB: 1024, cpus: 2 }, all, used, 'a.yaml');
    expect(() => demandRoom({ memoryMiB: 1400, cpus: 2 }, all, used, 'a.yaml')).toThrow(
      expect.objectContaining({
        code: 'host/does-not-fit',
        kind: 'environment',
        where: 'a.yaml',
        message:
          'the enclave needs 1400 MiB of memory; 2048 set aside for enclaves, 1024 of them in use; 2 vCPUs; 4 set aside for enclaves, 2 of them in use',
        hint: expect.stringContaining('memory_mib: 2424 and cpu_count: 4'),
      }),
    );
    expect(() => demandRoom({ memoryMiB: 512, cpus: 4 }, all, used, 'a.yaml')).toThrow(/4 vCPUs; 4 set aside/);
  });
});
