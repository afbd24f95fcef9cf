/**
 * What the instance sets aside for enclaves. The allocator service reads its file when it starts and takes CPUs offline
 * and memory as huge pages; what it really took stands in the kernel, so a file that was changed since is found out.
 *
 *     /etc/nitro_enclaves/allocator.yaml               memory_mib: 2048, cpu_count: 2 (or cpu_pool: 2,3,6-9);
 *                                                      or a list of up to four of these
 *     /sys/module/nitro_enclaves/parameters/ne_cpus    "1,5" or "2-3"; empty where nothing was taken
 */
import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { Failure } from '../../../policies/failure.ts';

export type AllocatorCode =
  | 'host/allocator-absent' // no such file
  | 'host/allocator-malformed'
  | 'host/allocator-stopped' // the service has set nothing aside
  | 'host/allocator-stale' // the file was changed since the service started
  | 'host/does-not-fit'; // the enclave asks for more than is there

export interface AllocatorPaths {
  readonly config: string;
  readonly cpuPool: string;
}

export const ALLOCATOR_PATHS: AllocatorPaths = {
  config: '/etc/nitro_enclaves/allocator.yaml',
  cpuPool: '/sys/module/nitro_enclaves/parameters/ne_cpus',
};

export interface Resources {
  readonly memoryMiB: number;
  readonly cpus: number;
}

const SERVICE = 'nitro-enclaves-allocator.service';
const ENABLE = `sudo systemctl enable --now ${SERVICE}`;
const RESTART = `stop every enclave, then \`sudo systemctl restart ${SERVICE}\``;

/** Everything set aside for enclaves, in use or not. Throws `AllocatorCode`, each with the command that mends it. */
export async function readAllocator(paths: AllocatorPaths): Promise<Resources> {
  const configured = parseAllocator(await readConfig(paths.config), paths.config);
  const taken = (await readFile(paths.cpuPool, 'utf8').catch(() => '')).trim();
  if (taken === '') {
    throw new Failure<AllocatorCode>(
      'environment',
      'host/allocator-stopped',
      'nothing is set aside for enclaves: the allocator service does not run',
      { where: paths.cpuPool, hint: `\`${ENABLE}\`; why it did not start: \`systemctl status ${SERVICE}\`` },
    );
  }
  const cpus = countCpus(taken, paths.cpuPool);
  if (cpus !== configured.cpus) {
    throw new Failure<AllocatorCode>(
      'environment',
      'host/allocator-stale',
      `${configured.cpus} CPUs are configured for enclaves, and ${cpus} are set aside: the file was changed since`,
      { where: paths.config, hint: RESTART },
    );
  }
  return configured;
}

/** Throws `host/does-not-fit` with the lines to write, where `wanted` is more than `all` without what others use. */
export function demandRoom(wanted: Resources, all: Resources, used: Resources, config: string): void {
  const fits = wanted.memoryMiB <= all.memoryMiB - used.memoryMiB && wanted.cpus <= all.cpus - used.cpus;
  if (fits) return;
  const sentence = (what: string, want: number, have: number, busy: number): string =>
    `${want} ${what}; ${have} set aside for enclaves, ${busy} of them in use`;
  throw new Failure<AllocatorCode>(
    'environment',
    'host/does-not-fit',
    `the enclave needs ${sentence('MiB of memory', wanted.memoryMiB, all.memoryMiB, used.memoryMiB)}; ` +
      sentence('vCPUs', wanted.cpus, all.cpus, used.cpus),
    {
      where: config,
      hint:
        `set at least memory_mib: ${Math.max(all.memoryMiB, wanted.memoryMiB + used.memoryMiB)} and ` +
        `cpu_count: ${Math.max(all.cpus, wanted.cpus + used.cpus)} there; ${RESTART} (does the instance have as much?), ` +
        'or stop another enclave',
    },
  );
}

/** Exported for tests: the file's text to what it sets aside in all. */
export function parseAllocator(text: string, file: string): Resources {
  const document = parseDocument(text);
  const [fault] = document.errors;
  if (fault !== undefined) throw malformed(file, fault.message.split('\n', 1)[0] ?? 'not YAML');
  const value: unknown = document.toJS();
  const pools: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (pools.length === 0) throw malformed(file, 'it sets nothing aside');
  const read = pools.map((pool) => readPool(pool, file));
  const sum = (what: keyof Resources): number => read.reduce((total, pool) => total + pool[what], 0);
  return { memoryMiB: sum('memoryMiB'), cpus: sum('cpus') };
}

function readPool(pool: unknown, file: string): Resources {
  if (typeof pool !== 'object' || pool === null) throw malformed(file, 'memory_mib and cpu_count are missing');
  const members = new Map<string, unknown>(Object.entries(pool));
  const memoryMiB = positive(members.get('memory_mib'), 'memory_mib', file);
  const count = members.get('cpu_count');
  const ids = members.get('cpu_pool');
  if (count !== undefined && ids !== undefined) throw malformed(file, 'cpu_count and cpu_pool exclude each other');
  if (ids === undefined) return { memoryMiB, cpus: positive(count, 'cpu_count', file) };
  if (typeof ids !== 'string' && typeof ids !== 'number') throw malformed(file, 'cpu_pool is not a list like 2,3,6-9');
  return { memoryMiB, cpus: countCpus(String(ids), file) };
}

function positive(value: unknown, name: string, file: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  throw malformed(file, value === undefined ? `${name} is missing` : `${name} is not a whole number above 0`);
}

/** How many CPUs `2,3,6-9` names. */
function countCpus(list: string, file: string): number {
  const cpus = new Set<number>();
  for (const part of list.split(',')) {
    const match = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || last < first) throw malformed(file, `"${list.slice(0, 80)}" is not a list like 2,3,6-9`);
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return cpus.size;
}

async function readConfig(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new Failure<AllocatorCode>(
      'environment',
      'host/allocator-absent',
      'the file that sets memory and CPUs aside for enclaves cannot be read',
      {
        where: path,
        hint: `it comes with nitro-cli (\`sudo dnf install -y aws-nitro-enclaves-cli\`); then set memory_mib and cpu_count in it, and \`${ENABLE}\``,
        cause,
      },
    );
  }
}

function malformed(file: string, what: string): Failure<AllocatorCode> {
  return new Failure('environment', 'host/allocator-malformed', `the allocator's file is not understood: ${what}`, {
    where: file,
    hint: 'it says, for example: memory_mib: 2048 and cpu_count: 2',
  });
}
