/**
 * Errors over HTTP: RFC 9457 problem documents that carry all of a `Failure`, so that a client can throw it again.
 * An unexpected error says nothing of itself.
 */
import type { ServerResponse } from 'node:http';
import { Failure } from '../policies/failure.ts';
import type { FailureKind } from '../policies/failure.ts';
import { PolicyFailure } from '../policies/fault.ts';
import type { Fault } from '../policies/fault.ts';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly kind: FailureKind | 'bug';
  readonly detail: string;
  readonly where?: string;
  readonly hint?: string;
  /** Every fault of a policy, with its place. */
  readonly faults?: readonly Fault[];
}

const TITLES: Readonly<Record<Problem['kind'], string>> = {
  usage: 'Called wrongly',
  refused: 'Refused',
  unsupported: 'Not supported by this version',
  malformed: 'Malformed input',
  environment: 'The orchestrator cannot do this now',
  bug: 'A bug in Accord',
};

/** Where the code says more than the kind. */
const STATUS_BY_CODE: Readonly<Record<string, number>> = {
  'orchestrator/unknown-collaboration': 404,
  'orchestrator/unknown-function': 404,
  'orchestrator/no-contribution': 404,
  'orchestrator/not-built': 409,
  'orchestrator/not-running': 409,
  'orchestrator/trust-mismatch': 409,
  'orchestrator/folder-anchor': 409,
  'orchestrator/foreign-origin': 403,
  'orchestrator/foreign-host': 421,
  'http/not-found': 404,
  'http/method-not-allowed': 405,
  'http/too-large': 413,
  'http/media-type': 415,
  'http/slow': 408,
  'http/upgrade-required': 426,
  'store/too-large': 413,
  'store/cut-short': 400,
  'store/disk-full': 507,
};

const STATUS_BY_KIND: Readonly<Record<FailureKind, number>> = {
  usage: 400,
  refused: 403,
  unsupported: 422,
  malformed: 422,
  environment: 503,
};

export function toProblem(error: unknown): Problem {
  if (!(error instanceof Failure)) {
    const detail = 'something unexpected happened; the orchestrator printed what it knows';
    return { type: 'about:blank', title: TITLES.bug, status: 500, code: 'orchestrator/bug', kind: 'bug', detail };
  }
  return {
    type: 'about:blank',
    title: TITLES[error.kind],
    status: STATUS_BY_CODE[error.code] ?? STATUS_BY_KIND[error.kind],
    code: error.code,
    kind: error.kind,
    detail: error.message,
    ...(error.where === undefined ? {} : { where: error.where }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error instanceof PolicyFailure ? { faults: error.faults } : {}),
  };
}

/** Nothing where the answer has begun already: then the connection is cut, which no client takes for a whole answer. */
export function sendProblem(response: ServerResponse, problem: Problem): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = JSON.stringify(problem);
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}
