/** Where a running `accord local-aws` is, as it says itself in its data folder. */
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { Failure } from '../policies/failure.ts';
import type { LocalAwsPlace } from './collaborations.ts';
import type { Endpoint } from './relay/allow-list.ts';

export type LocalAwsPlaceCode = 'orchestrator/no-local-aws';

export interface FoundLocalAws extends LocalAwsPlace {
  /** Where it listens now, as its folder says. */
  readonly address: () => Promise<Endpoint>;
  /** Where the local root's issuer keeps its keys. */
  readonly nsmFolder: string;
}

const FILE = 'local-aws.json';
/** On this machine: what runs answers in less, unless it is starved. */
const ANSWER_MS = 1_000;

/** Throws `orchestrator/no-local-aws` where the folder is not one of `accord local-aws`. */
export async function findLocalAws(folder: string): Promise<FoundLocalAws> {
  const description = await describe(folder);
  return {
    nsmFolder: resolve(folder, description.nsmDir),
    tlsRoots: [new Uint8Array(await readFile(resolve(folder, description.tlsRootDerPath)))],
    address: async () => (await describe(folder).catch(() => description)).address,
  };
}

/** Whether something listens there. */
export function isAnswering({ host, port }: Endpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: ANSWER_MS });
    const settle = (answers: boolean) => (): void => {
      socket.destroy();
      resolve(answers);
    };
    socket.once('connect', settle(true)).once('timeout', settle(false)).once('error', settle(false));
  });
}

interface Description {
  readonly address: Endpoint;
  readonly nsmDir: string;
  readonly tlsRootDerPath: string;
}

async function describe(folder: string): Promise<Description> {
  const path = join(folder, FILE);
  try {
    const found: unknown = JSON.parse(await readFile(path, 'utf8'));
    const url = new URL(textOf(found, 'url'));
    return {
      address: { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) },
      nsmDir: textOf(found, 'nsmDir'),
      tlsRootDerPath: textOf(found, 'tlsRootDerPath'),
    };
  } catch (cause) {
    throw new Failure<LocalAwsPlaceCode>(
      'environment',
      'orchestrator/no-local-aws',
      'there is no local AWS in that folder',
      {
        where: path,
        hint: 'start one with `accord local-aws --data DIR`, and name the same folder with --local-aws DIR',
        cause,
      },
    );
  }
}

function textOf(value: unknown, key: string): string {
  if (typeof value === 'object' && value !== null) {
    const found: unknown = Object.entries(value).find(([name]) => name === key)?.[1];
    if (typeof found === 'string') return found;
  }
  throw new TypeError(`no "${key}"`);
}
