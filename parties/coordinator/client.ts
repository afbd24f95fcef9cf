/**
 * The orchestrator's API as a party uses it. The orchestrator is trusted by nobody: every answer is bounded and read
 * field by field, and what it says is only ever compared with what the party knows itself.
 */
import type { Pcrs } from '../../build/measure/pcr.ts';
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { Failure } from '../../policies/failure.ts';
import { jsonFields, parseJson } from '../json-fields.ts';
import type { Fields } from '../json-fields.ts';
import { inTime } from '../session/patience.ts';
import type { FrameChannel } from '../session/channel.ts';
import type { CoordinatorCode } from './problem.ts';
import { problemOf, unreachable } from './problem.ts';
import { connectFrames } from './socket.ts';

/** A policy of 128 KiB, escaped in JSON, in words, with the rest. */
const ANSWER_BYTES = 4_194_304;
const ANSWER_MS = 30_000;
const CONNECT_MS = 15_000;
/** An upload of which nothing is taken for so long is given up. */
const STALLED_MS = 60_000;

export interface CollaborationView {
  readonly id: string;
  readonly collaboration: string;
  /** As the orchestrator says; hash `canonicalPolicy` yourself. */
  readonly policyDigest: string;
  readonly canonicalPolicy: string;
  readonly state: string;
  readonly reason: string | undefined;
  /** As the orchestrator built them; reproduce them yourself. */
  readonly measurements: Pcrs | undefined;
  readonly contributions: readonly ContributionView[];
}

export interface ContributionView {
  readonly function: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface Upload {
  readonly content: AsyncIterable<Uint8Array>;
  readonly bytes: number;
}

export interface Coordinator {
  readonly url: URL;
  collaboration(id: string, signal?: AbortSignal): Promise<CollaborationView>;
  /** Stores an encrypted contribution for a function or `anchor.<party>`, in place of the one before. */
  contribute(id: string, functionName: string, upload: Upload, signal?: AbortSignal): Promise<ContributionView>;
  /** The frames of a new session with the collaboration's enclave; of several with the one of that number, else with any. */
  connect(id: string, signal?: AbortSignal, copy?: number): Promise<FrameChannel>;
}

/** `url` is the orchestrator's root. Throws `coordinator/url`. */
export function createCoordinator(url: string): Coordinator {
  const root = rootOf(url);
  const at = (...parts: readonly string[]): URL =>
    new URL(['v1', 'collaborations', ...parts.map(encodeURIComponent)].join('/'), root);
  return {
    url: root,
    async collaboration(id, signal) {
      return readCollaboration(await ask(at(id), { headers: { accept: 'application/json' } }, ANSWER_MS, signal));
    },
    contribute: (id, functionName, upload, signal) => put(at(id, 'contributions', functionName), upload, signal),
    connect(id, signal, copy) {
      const target = at(id, 'session');
      if (copy !== undefined) target.searchParams.set('copy', String(copy));
      target.protocol = target.protocol === 'https:' ? 'wss:' : 'ws:';
      return connectFrames(target, CONNECT_MS, signal);
    },
  };
}

function rootOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new Failure<CoordinatorCode>('usage', 'coordinator/url', `"${text}" is not the URL of an orchestrator`, {
      hint: 'it looks like http://127.0.0.1:7400',
    });
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** One request and its JSON answer. Throws what the orchestrator's problem document says. */
async function ask(url: URL, init: RequestInit, milliseconds: number, signal?: AbortSignal): Promise<Fields> {
  const late = new Failure<CoordinatorCode>(
    'environment',
    'coordinator/timeout',
    `no answer in ${milliseconds / 1000} s`,
    { where: url.href, hint: 'try again; if it keeps happening, ask whoever runs the host' },
  );
  return inTime(milliseconds, late, signal, async (limit) => {
    try {
      const response = await fetch(url, { ...init, signal: limit, redirect: 'error' });
      const text = await boundedText(response, url);
      if (!response.ok) throw problemOf(response.status, jsonOrNothing(text), url.href);
      return jsonFields(parseJson(text, MALFORMED, url.href), MALFORMED, url.href);
    } catch (cause) {
      throw cause instanceof Failure ? cause : unreachable(url, cause);
    }
  });
}

const MALFORMED: CoordinatorCode = 'coordinator/malformed';

async function boundedText(response: Response, url: URL): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > ANSWER_BYTES) {
      throw new Failure<CoordinatorCode>('malformed', MALFORMED, 'the orchestrator answers without end', {
        where: url.href,
      });
    }
    parts.push(part);
  }
  return new TextDecoder().decode(Buffer.concat(parts));
}

function jsonOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readCollaboration(fields: Fields): CollaborationView {
  const measurements = fields.optionalFields('measurements');
  const canonicalPolicy = fields.text('canonicalPolicy');
  if (canonicalPolicy.length > LIMITS.policyBytes) {
    throw new Failure<CoordinatorCode>('malformed', MALFORMED, 'the policy is longer than any image carries');
  }
  return {
    id: fields.text('id'),
    collaboration: fields.text('collaboration'),
    policyDigest: fields.text('policyDigest'),
    canonicalPolicy,
    state: fields.text('state'),
    reason: fields.optionalText('reason'),
    measurements:
      measurements === undefined
        ? undefined
        : { PCR0: measurements.text('PCR0'), PCR1: measurements.text('PCR1'), PCR2: measurements.text('PCR2') },
    contributions: fields.list('contributions').map(readContribution),
  };
}

function readContribution(fields: Fields): ContributionView {
  return { function: fields.text('function'), bytes: fields.count('bytes'), sha256: fields.text('sha256') };
}

/** Streams the upload; it ends when nothing of it was taken for a minute, not because it is large. */
async function put(url: URL, { content, bytes }: Upload, signal?: AbortSignal): Promise<ContributionView> {
  const stalled = new AbortController();
  const late = new Failure<CoordinatorCode>('environment', 'coordinator/timeout', 'the upload stood still', {
    where: url.href,
    hint: 'check the network, then run the same command again',
  });
  const timer = setTimeout(() => stalled.abort(late), STALLED_MS);
  const follow = (): void => stalled.abort(signal?.reason);
  signal?.addEventListener('abort', follow, { once: true });
  if (signal?.aborted === true) follow();
  const watched = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of content) {
      timer.refresh();
      yield piece;
    }
  };
  const init = {
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(bytes) },
    body: streamOf(watched()),
    duplex: 'half',
  } as const;
  try {
    return readContribution(await ask(url, init, UPLOAD_MS, stalled.signal));
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', follow);
  }
}

/** Pulled as the connection takes it: nothing is read ahead. */
function streamOf(source: AsyncGenerator<Uint8Array, void, undefined>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await source.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await source.return();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Only what stands still is given up early; this is the end of all patience. */
const UPLOAD_MS = 3_600_000;
