/** Whether this machine has the memory that an enclave is to get. QEMU takes it page by page, and would be killed late. */
import { readFile } from 'node:fs/promises';
import { Failure } from '../../../policies/failure.ts';

export type MemoryCode = 'host/too-little-memory';

/** What QEMU itself and its translated code take beside the guest's memory, in MiB; measured: 90 to 160. */
const QEMU_MIB = 160;

export async function demandMemory(
  wantedMiB: number,
  meminfo: () => Promise<string> = () => readFile('/proc/meminfo', 'utf8'),
): Promise<void> {
  const [, kibibytes] = /^MemAvailable:\s+(\d+) kB$/m.exec(await meminfo()) ?? [];
  if (kibibytes === undefined) return; // nothing to compare with
  const free = Math.floor(Number(kibibytes) / 1024);
  if (wantedMiB + QEMU_MIB <= free) return;
  throw new Failure<MemoryCode>(
    'environment',
    'host/too-little-memory',
    `the enclave is to have ${wantedMiB} MiB, and QEMU takes ${QEMU_MIB} MiB beside; this machine has ${free} MiB free`,
    {
      where: 'enclave.memoryMiB',
      hint: 'stop another enclave, take a larger machine, or ask for less where the policy asks for more than `accord build` says is needed',
    },
  );
}
