/**
 * The state, in one JSON file of the data folder (mode 0600: it holds key material). A change is on disk before the call
 * that made it is answered; changes run one after another, each on the outcome of the one before.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import { serially } from '../serially.ts';
import { writeAtomically } from './files.ts';
import type { State } from './state.ts';
import { upgraded } from './state-upgrade.ts';

export type StoreCode = 'local-aws/state-unreadable';

export interface Store {
  current(): State;
  /** Runs `change` on the current state and keeps what it returns. If it throws, or disk does, nothing has changed. */
  change<T>(change: (state: State) => readonly [State, T]): Promise<T>;
  /** Resolves when every change asked for so far is on disk, or has failed. */
  settled(): Promise<void>;
}

export async function openStore(dataDir: string, initial: () => State): Promise<Store> {
  const path = join(dataDir, 'state.json');
  const write = (state: State): Promise<void> => writeAtomically(path, `${JSON.stringify(state, null, 1)}\n`, 0o600);
  let state = await load(path);
  if (state === undefined) {
    state = initial();
    await write(state);
  }
  let current = state;
  const oneByOne = serially();
  return {
    current: () => current,
    change: (change) =>
      oneByOne(async () => {
        const [next, result] = change(current);
        if (next !== current) {
          await write(next);
          current = next;
        }
        return result;
      }),
    settled: () => oneByOne(async () => {}),
  };
}

async function load(path: string): Promise<State | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw unreadable(path, cause);
  }
  try {
    const value = upgraded(JSON.parse(text));
    if (isState(value)) return value;
  } catch (cause) {
    throw unreadable(path, cause);
  }
  throw unreadable(path, undefined);
}

function isState(value: unknown): value is State {
  return (
    typeof value === 'object' &&
    value !== null &&
    'version' in value &&
    value.version === 2 &&
    'tokenKey' in value &&
    'accounts' in value &&
    Array.isArray(value.accounts) &&
    'keys' in value &&
    Array.isArray(value.keys)
  );
}

function unreadable(path: string, cause: unknown): Failure<StoreCode> {
  return new Failure('environment', 'local-aws/state-unreadable', 'the saved state cannot be read', {
    where: path,
    hint: 'restore the file from a copy, or start with an empty --data folder (its keys and what they encrypted are then lost)',
    cause,
  });
}
