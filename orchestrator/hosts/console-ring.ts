/**
 * The last lines an enclave printed, bounded in lines and in bytes, whatever it prints. A production image prints
 * life-cycle lines and nothing else: `{"accord":"booted"}`, `{"accord":"serving"}`, `{"accord":"stopped",…}`.
 */
import type { Readable } from 'node:stream';

const MOST_LINES = 200;
const MOST_LINE_CHARACTERS = 1000;

export interface ConsoleRing {
  /** Takes a stream's lines until it ends. */
  follow(stream: Readable): void;
  add(line: string): void;
  lines(): readonly string[];
}

export function createConsoleRing(onLine: (line: string) => void = () => {}): ConsoleRing {
  const lines: string[] = [];
  const add = (line: string): void => {
    lines.push(line);
    if (lines.length > MOST_LINES) lines.shift();
    onLine(line);
  };
  return {
    add,
    lines: () => [...lines],
    follow(stream) {
      let pending = '';
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => {
        const parts = (pending + text).split('\n');
        pending = (parts.pop() ?? '').slice(0, MOST_LINE_CHARACTERS);
        for (const part of parts) add(part.slice(0, MOST_LINE_CHARACTERS));
      });
      stream.on('end', () => {
        if (pending !== '') add(pending);
        pending = '';
      });
      stream.on('error', () => {});
    },
  };
}

export interface LifeCycle {
  readonly accord: string;
  /** Why it stopped, where it says so. */
  readonly reason?: string;
}

/** What a life-cycle line says, or undefined for every other line. */
export function lifeCycle(line: string): LifeCycle | undefined {
  const { accord, reason } = { ...lifeCycleFields(line) };
  if (typeof accord !== 'string') return undefined;
  return typeof reason === 'string' ? { accord, reason } : { accord };
}

/** All its members, as JSON gave them. */
export function lifeCycleFields(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === 'object' && parsed !== null && 'accord' in parsed ? { ...parsed } : undefined;
  } catch {
    return undefined; // not one of ours
  }
}
