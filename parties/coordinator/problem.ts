/**
 * What the orchestrator says went wrong (RFC 9457), thrown again as the `Failure` that it was there. Its text is a
 * stranger's: shortened, and without anything that moves a terminal's cursor.
 */
import { Failure } from '../../policies/failure.ts';
import type { FailureKind } from '../../policies/failure.ts';
import { jsonFields } from '../json-fields.ts';
import { printable } from '../printable.ts';

export type CoordinatorCode =
  | 'coordinator/url' // not an http or https URL
  | 'coordinator/unreachable'
  | 'coordinator/timeout'
  | 'coordinator/malformed' // it answered with something else than the API says
  | 'coordinator/problem' // it said no, without a code of its own
  | 'coordinator/cut' // the connection ended in the middle
  | 'coordinator/other-bytes'; // it stored something else than what was sent

const TEXT_CHARACTERS = 500;
const KINDS: readonly FailureKind[] = ['usage', 'refused', 'unsupported', 'malformed', 'environment'];

/** `body` is what came with an error status; undefined where it was no JSON. */
export function problemOf(status: number, body: unknown, where: string): Failure {
  try {
    const fields = jsonFields(body, 'coordinator/malformed', 'problem');
    const code = fields.text('code', /^[a-z0-9-]{1,40}\/[a-z0-9-]{1,60}$/);
    const kind = KINDS.find((known) => known === fields.optionalText('kind')) ?? kindOf(status);
    const hint = fields.optionalText('hint');
    const place = fields.optionalText('where');
    return new Failure(kind, code, `the orchestrator says: ${shown(fields.text('detail'))}`, {
      where: place === undefined ? where : shown(place),
      ...(hint === undefined ? {} : { hint: shown(hint) }),
    });
  } catch {
    const message = `the orchestrator answered with status ${status}`;
    return new Failure<CoordinatorCode>(kindOf(status), 'coordinator/problem', message, {
      where,
      hint: 'is this the URL of an Accord orchestrator?',
    });
  }
}

function kindOf(status: number): FailureKind {
  if (status === 404 || status === 405) return 'usage';
  if (status === 501) return 'unsupported';
  if (status === 408 || status === 429 || status >= 500) return 'environment';
  return status === 401 || status === 403 || status === 409 ? 'refused' : 'malformed';
}

function shown(text: string): string {
  const plain = printable(text);
  return plain.length > TEXT_CHARACTERS ? `${plain.slice(0, TEXT_CHARACTERS)}…` : plain;
}

export function unreachable(url: URL, cause: unknown): Failure<CoordinatorCode> {
  const reason = reasonOf(cause);
  return new Failure('environment', 'coordinator/unreachable', `no orchestrator answers at ${url.origin} (${reason})`, {
    where: url.href,
    hint: 'is it running (`accord up`), and is the URL right? The same command again costs nothing',
    cause,
  });
}

/** The innermost cause with a code: `fetch failed` alone helps nobody. */
function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError) return reasonOf(cause.errors[0]);
  if (!(cause instanceof Error)) return 'unknown reason';
  if (cause.cause !== undefined) return reasonOf(cause.cause);
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : printable(cause.message);
}
