/** The orchestrator's interface as the coordinator's own verbs use it. Parties have a client that believes less. */
import { setTimeout as sleep } from 'node:timers/promises';
import { problemOf, unreachable } from '../../parties/coordinator/problem.ts';
import { inTime } from '../../parties/session/patience.ts';
import { Failure } from '../../policies/failure.ts';
import { printable } from '../../parties/printable.ts';
import { readNumber } from '../../parties/cli/arguments.ts';
import { MOST_COPIES } from '../fleet.ts';
import type { Io } from '../../parties/cli/verb.ts';
import type { StartCode } from '../main.ts';

export type ClientCode = 'cli/url' | 'cli/answer' | 'cli/timeout' | 'cli/unknown-collaboration';

export type Answer = Readonly<Record<string, unknown>>;

export interface ServerEvent {
  readonly event: string;
  readonly data: Answer;
}

export interface OrchestratorClient {
  readonly url: string;
  get(path: string): Promise<Answer>;
  post(path: string, body?: Answer): Promise<Answer>;
  /** Events until the server ends the stream or the reader stops. */
  events(path: string): AsyncGenerator<ServerEvent, void, undefined>;
}

const DEFAULT_URL = 'http://127.0.0.1:7400';
/** A launch unpacks and starts an enclave, and waits until it serves. */
const ANSWER_MS = 120_000;
/** Until one that is opening its database is asked again. */
const STARTING_MS = 250;
const STARTING: StartCode = 'orchestrator/starting';

/** `--orchestrator`, else ACCORD_ORCHESTRATOR, else this machine's. */
export function orchestratorOf(io: Io, option: string | undefined): OrchestratorClient {
  const url = option ?? io.env['ACCORD_ORCHESTRATOR'] ?? DEFAULT_URL;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new Failure<ClientCode>('usage', 'cli/url', `"${url}" is not the URL of an orchestrator`, {
      hint: `it looks like ${DEFAULT_URL}`,
    });
  }
  return {
    url,
    get: (path) => answerOf(new URL(path, url), { method: 'GET' }, io.signal),
    post: (path, body) => answerOf(new URL(path, url), postOf(body), io.signal),
    events: (path) => eventsOf(new URL(path, url), io.signal),
  };
}

/** Where a collaboration stands in the interface. What cannot be the id of any is told like one that is not there. */
export function pathOf(id: string): string {
  if (/^[a-z0-9-]+-[0-9a-f]{12}$/.test(id)) return `/v1/collaborations/${id}`;
  throw new Failure<ClientCode>('usage', 'cli/unknown-collaboration', 'there is no such collaboration', {
    where: id,
    hint: '`accord ps` lists them',
  });
}

/** `?copy=N`, or nothing. Throws a usage error of the verb. */
export function copyQuery(verb: string, copy: string | undefined): string {
  if (copy === undefined) return '';
  return `?copy=${readNumber(verb, 'copy', copy, MOST_COPIES, 1)}`;
}

function postOf(body: Answer | undefined): RequestInit {
  if (body === undefined) return { method: 'POST' };
  return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

async function answerOf(url: URL, init: RequestInit, signal: AbortSignal): Promise<Answer> {
  const late = new Failure<ClientCode>('environment', 'cli/timeout', `no answer in ${ANSWER_MS / 1000} s`, {
    where: url.href,
  });
  return inTime(ANSWER_MS, late, signal, async (limit) => {
    for (;;) {
      try {
        return await readJson(await ask(url, { ...init, signal: limit }, limit), url);
      } catch (error) {
        limit.throwIfAborted();
        if (!(error instanceof Failure) || error.code !== STARTING) throw error;
        await sleep(STARTING_MS);
        limit.throwIfAborted();
      }
    }
  });
}

async function ask(url: URL, init: RequestInit, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, redirect: 'error' });
  } catch (cause) {
    signal.throwIfAborted();
    throw unreachable(url, cause);
  }
  if (response.ok) return response;
  throw problemOf(response.status, await response.json().catch(() => undefined), url.href);
}

async function readJson(response: Response, url: URL): Promise<Answer> {
  const body: unknown = await response.json().catch(() => undefined);
  if (isAnswer(body)) return body;
  throw new Failure<ClientCode>('malformed', 'cli/answer', 'the answer is not that of an orchestrator', {
    where: url.href,
  });
}

async function* eventsOf(url: URL, signal: AbortSignal): AsyncGenerator<ServerEvent, void, undefined> {
  const response = await ask(url, { signal }, signal);
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of response.body ?? []) {
    const parts = (pending + decoder.decode(chunk, { stream: true })).split('\n\n');
    pending = parts.pop() ?? '';
    for (const part of parts) {
      const event = readEvent(part);
      if (event !== undefined) yield event;
    }
  }
}

/** One event of two lines; comments and whatever else are passed over. */
function readEvent(part: string): ServerEvent | undefined {
  const [, event, json] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? [];
  if (event === undefined || json === undefined) return undefined;
  const data: unknown = JSON.parse(json);
  return isAnswer(data) ? { event, data } : undefined;
}

function isAnswer(value: unknown): value is Answer {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field as text, for people and their terminals; missing things are shown as such. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return printable(value);
  return typeof value === 'number' ? String(value) : '-';
}
