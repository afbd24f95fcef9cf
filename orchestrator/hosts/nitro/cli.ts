/** The four verbs of nitro-cli that a host needs, typed. Every call throws `CommandCode`, `NitroCliCode` or `NitroOutputCode`. */
import type { FollowedCommand, NitroCommand } from './command.ts';
import { nitroCliFailure } from './errors.ts';
import { readListed, readStarted, readTerminated } from './output.ts';
import type { ListedEnclave, StartedEnclave } from './output.ts';

export interface StartOptions {
  readonly name: string;
  /** Absolute. */
  readonly eifPath: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly isDebug: boolean;
}

export interface NitroCli {
  /** Resolves when the enclave has sent its heartbeat. Two at once fail: callers take turns. */
  start(options: StartOptions): Promise<StartedEnclave>;
  /** Every enclave of this user, whoever started it. */
  list(): Promise<readonly ListedEnclave[]>;
  /** Resolves when it has ended; an enclave that is gone already has. */
  terminate(id: string): Promise<void>;
  /** Of an enclave in debug mode. */
  console(id: string): FollowedCommand;
}

/** Loading an image takes seconds, and nitro-cli has a time limit of its own for the heartbeat. */
const START_MS = 240_000;
const LIST_MS = 20_000;
const TERMINATE_MS = 60_000;

export function createNitroCli(command: NitroCommand): NitroCli {
  const run = async (ms: number, verb: string, ...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await command.run([verb, ...args], ms);
    if (code !== 0) throw nitroCliFailure(verb, code, stderr);
    return stdout;
  };
  const list = async (): Promise<readonly ListedEnclave[]> => readListed(await run(LIST_MS, 'describe-enclaves'));
  return {
    list,
    async start({ name, eifPath, memoryMiB, cpus, isDebug }) {
      const size = ['--memory', String(memoryMiB), '--cpu-count', String(cpus)];
      const mode = isDebug ? ['--debug-mode'] : [];
      return readStarted(
        await run(START_MS, 'run-enclave', '--eif-path', eifPath, ...size, '--enclave-name', name, ...mode),
      );
    },
    async terminate(id) {
      try {
        const stdout = await run(TERMINATE_MS, 'terminate-enclave', '--enclave-id', id);
        if (readTerminated(stdout, id)) return;
      } catch (error) {
        if ((await list()).some((one) => one.id === id)) throw error;
        return;
      }
      if ((await list()).some((one) => one.id === id)) throw nitroCliFailure('terminate-enclave', 0, 'it still runs');
    },
    console: (id) => command.follow(['console', '--enclave-id', id]),
  };
}
