/**
 * As many processes as there are processors, each with a stretch of seeds at a time. What a seed does does not depend on
 * who runs it. They end when this process does, however that comes about.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { Sought, Stretch } from './seek.ts';
import { seek } from './seek.ts';

export interface Crew {
  readonly size: number;
  /** In the order in which they were asked for, some at once. Rejects where a process ended. */
  seek(stretch: Stretch): Promise<Sought>;
  end(): void;
}

/** The argument with which `main.ts` becomes one of the crew. */
export const MEMBER = '--member';

/** What a simulated enclave waited for when it was killed stays in memory, about 75 kB a run: then somebody else goes on. */
const RUNS_A_MEMBER = 5_000;

export function createCrew(size: number = availableParallelism()): Crew {
  const members = new Set<ChildProcess>();
  const runsOf = new Map<ChildProcess, number>();
  const idle: ChildProcess[] = [];
  const waiting: ((member: ChildProcess) => void)[] = [];
  const [, program = ''] = process.argv;
  const recruit = (): ChildProcess => {
    const member = fork(program, [MEMBER], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    members.add(member);
    return member;
  };
  const rested = (member: ChildProcess, runs: number): ChildProcess => {
    const done = (runsOf.get(member) ?? 0) + runs;
    runsOf.set(member, done);
    if (done < RUNS_A_MEMBER) return member;
    members.delete(member);
    runsOf.delete(member);
    member.disconnect();
    return recruit();
  };
  for (let i = 0; i < size; i += 1) idle.push(recruit());
  const taken = (): Promise<ChildProcess> => {
    const member = idle.shift();
    return member === undefined ? new Promise((resolve) => void waiting.push(resolve)) : Promise.resolve(member);
  };
  return {
    size,
    async seek(stretch) {
      const asked = await taken();
      const sought = await ask(asked, stretch);
      const member = rested(asked, stretch.runs);
      const next = waiting.shift();
      if (next === undefined) idle.push(member);
      else next(member);
      return sought;
    },
    end() {
      for (const member of members) member.disconnect();
    },
  };
}

function ask(member: ChildProcess, stretch: Stretch): Promise<Sought> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error(`a process ended at seeds from ${stretch.firstSeed}`));
    member.once('exit', ended);
    member.once('message', (sought) => {
      member.off('exit', ended);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- from `serveCrew`, in the same program
      resolve(sought as Sought);
    });
    member.send(stretch);
  });
}

/** Does what the crew's owner asks for, until it is gone. */
export function serveCrew(): void {
  process.once('disconnect', () => process.exit());
  process.on('message', (stretch) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- from `createCrew`, in the same program
    void seek(stretch as Stretch).then((sought) => process.send?.(sought));
  });
}
