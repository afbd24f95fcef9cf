/**
 * All enclaves that run here, by collaboration. A collaboration may run as several enclaves of its one image, numbered
 * from 1: they share its quotas and its state through the parties' anchors, and a session goes to any of them.
 */
import type { RunningEnclave } from './hosts/host.ts';
import type { Notebook } from './relay/observations.ts';
import { createRunning } from './running.ts';
import type { RunningCollaboration } from './running.ts';
import { serially } from './serially.ts';
import type { Serially } from './serially.ts';
import type { CollaborationChange } from './store/store.ts';

/** More would take memory without need: one enclave serves 256 sessions. */
export const MOST_COPIES = 8;

export interface FleetOptions {
  /** Starts one more enclave of the collaboration; resolves when it serves. */
  readonly start: (id: string) => Promise<{ readonly enclave: RunningEnclave; readonly notebook: Notebook }>;
  /** Writes down what became of it. */
  readonly changed: (id: string, change: CollaborationChange) => Promise<unknown>;
  /** In place of the reason that enclaves give while everything is being stopped. */
  readonly stopReason: () => string | undefined;
  readonly log: (line: string) => void;
}

export interface Fleet {
  /** In the order of their numbers. */
  running(id: string): readonly RunningCollaboration[];
  /** The copy of that number; without one, each in its turn. */
  pick(id: string, copy?: number): RunningCollaboration | undefined;
  /** It runs, or is being started. */
  isBusy(id: string): boolean;
  /** Starts as many as are missing, one after the other. */
  launch(id: string, copies: number): Promise<void>;
  /** Stops that copy, else all; resolves, with their number, when their ends are written down. */
  stop(id: string, copy?: number): Promise<number>;
  stopAll(): Promise<void>;
  /** The last lines of that copy, else of the first that runs, else of the last that ran. */
  console(id: string, copy?: number): readonly string[];
}

interface Member {
  readonly running: RunningCollaboration;
  /** Settles when its end is written down. */
  readonly over: Promise<void>;
}

interface Crew {
  readonly members: Map<number, Member>;
  readonly inOrder: Serially;
  launching: number;
  turn: number;
  /** Of the copy that ended last under each number, the last one last. */
  readonly lastLines: Map<number, readonly string[]>;
}

export function createFleet({ start, changed, stopReason, log }: FleetOptions): Fleet {
  const crews = new Map<string, Crew>();
  const crewOf = (id: string): Crew => {
    const crew = crews.get(id) ?? {
      members: new Map(),
      inOrder: serially(),
      launching: 0,
      turn: 0,
      lastLines: new Map(),
    };
    crews.set(id, crew);
    return crew;
  };
  const running = (id: string): readonly RunningCollaboration[] =>
    [...(crews.get(id)?.members.entries() ?? [])].sort(([a], [b]) => a - b).map(([, member]) => member.running);

  const startOne = async (id: string, crew: Crew): Promise<void> => {
    const copy = freeNumber(crew);
    const { enclave, notebook } = await start(id);
    const one = createRunning(copy, enclave, notebook);
    const over = enclave.ended.then(({ reason }) => afterEnd(id, crew, one, reason));
    crew.members.set(copy, { running: one, over });
    await changed(id, { state: 'running', reason: null });
  };

  const afterEnd = async (id: string, crew: Crew, one: RunningCollaboration, reason: string): Promise<void> => {
    crew.lastLines.delete(one.copy);
    crew.lastLines.set(one.copy, one.enclave.console());
    crew.members.delete(one.copy);
    await one.stop();
    const why = stopReason() ?? reason;
    const others = crew.members.size > 0;
    await changed(
      id,
      others
        ? { state: 'running', reason: `copy ${one.copy} ended: ${why}` }
        : { state: 'stopped', reason: one.copy === 1 ? why : `copy ${one.copy} ended: ${why}` },
    ).catch((error: unknown) => log(`${id}: ${messageOf(error)}`));
  };

  const launch = async (id: string, crew: Crew, copies: number): Promise<void> => {
    try {
      while (crew.members.size < copies) await startOne(id, crew);
    } catch (error) {
      if (stopReason() === undefined && crew.members.size === 0) {
        await changed(id, { state: 'stopped', reason: messageOf(error) });
      }
      throw error;
    }
  };

  const stop = async (id: string, copy?: number): Promise<number> => {
    const crew = crewOf(id);
    // What is being started is stopped too, once it has started.
    return crew.inOrder(async () => {
      const members = [...crew.members].filter(([number]) => copy === undefined || number === copy);
      await Promise.all(members.map(([, member]) => member.running.stop()));
      await Promise.all(members.map(([, member]) => member.over));
      return members.length;
    });
  };

  return {
    running,
    pick(id, copy) {
      const all = running(id);
      if (copy !== undefined) return all.find((one) => one.copy === copy);
      const crew = crewOf(id);
      crew.turn += 1;
      return all[crew.turn % Math.max(1, all.length)];
    },
    isBusy: (id) => (crews.get(id)?.members.size ?? 0) > 0 || (crews.get(id)?.launching ?? 0) > 0,
    async launch(id, copies) {
      const crew = crewOf(id);
      crew.launching += 1;
      await crew.inOrder(() => launch(id, crew, copies)).finally(() => (crew.launching -= 1));
    },
    stop,
    stopAll: async () => void (await Promise.allSettled([...crews.keys()].map((id) => stop(id)))),
    console(id, copy) {
      const lines = copy === undefined ? running(id)[0] : running(id).find((one) => one.copy === copy);
      if (lines !== undefined) return lines.enclave.console();
      const last = crews.get(id)?.lastLines ?? new Map<number, readonly string[]>();
      return (copy === undefined ? [...last.values()].at(-1) : last.get(copy)) ?? [];
    },
  };
}

function freeNumber({ members }: Crew): number {
  let number = 1;
  while (members.has(number)) number += 1;
  return number;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
