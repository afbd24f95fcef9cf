/** Whether this machine can run enclaves at all: asked once, when the host is made, so that nobody waits for a build first. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { Failure } from '../../../policies/failure.ts';
import { ALLOCATOR_PATHS, readAllocator } from './allocator.ts';
import type { AllocatorPaths } from './allocator.ts';
import type { NitroCommand } from './command.ts';
import { nitroCliFailure } from './errors.ts';

export type MachineCode =
  | 'host/nitro-device-absent' // not an instance with enclaves enabled
  | 'host/nitro-device-forbidden'; // this user is not in the group ne

export interface MachinePaths extends AllocatorPaths {
  readonly device: string;
}

export const MACHINE_PATHS: MachinePaths = { ...ALLOCATOR_PATHS, device: '/dev/nitro_enclaves' };

const VERSION_MS = 10_000;

/** Throws the first thing that is missing, in the order in which a coordinator would set them up. */
export async function demandEnclaveMachine(
  paths: MachinePaths,
  command: NitroCommand,
  open: typeof access = access,
): Promise<void> {
  await demandDevice(paths.device, open);
  const { code, stderr } = await command.run(['--version'], VERSION_MS);
  if (code !== 0) throw nitroCliFailure('--version', code, stderr);
  await readAllocator(paths);
}

async function demandDevice(device: string, open: typeof access): Promise<void> {
  try {
    await open(device, constants.R_OK | constants.W_OK);
  } catch (cause) {
    const isForbidden =
      cause instanceof Error && 'code' in cause && (cause.code === 'EACCES' || cause.code === 'EPERM');
    if (isForbidden) {
      throw new Failure<MachineCode>(
        'environment',
        'host/nitro-device-forbidden',
        'this user may not start enclaves: only members of the group ne may',
        { where: device, hint: '`sudo usermod -aG ne "$USER"`, then log in again', cause },
      );
    }
    throw new Failure<MachineCode>('environment', 'host/nitro-device-absent', 'this machine has no Nitro Enclaves', {
      where: device,
      hint:
        'it takes an EC2 instance with 4 vCPUs or more that was started with enclaves enabled: ' +
        '`aws ec2 run-instances --enclave-options Enabled=true …`, or, while it is stopped, ' +
        '`aws ec2 modify-instance-attribute --instance-id ID --enclave-options Enabled=true`; ' +
        'elsewhere use --host qemu or --host local',
      cause,
    });
  }
}
