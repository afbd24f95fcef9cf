/**
 * The one error of Accord. Each room declares a closed union of codes; `kind` says what the reader can do about it and
 * decides the exit code of the command line.
 */
export type FailureKind =
  | 'usage' // the command was called wrongly: fix the call
  | 'refused' // a check said no: stop
  | 'unsupported' // understood, but this version does not do it
  | 'malformed' // the input is not what it claims to be: fix the input
  | 'environment'; // disk, port, network, engine, host: retry may help

export interface FailureDetails {
  /** Where: a path, an offset, a line and column, a field. */
  readonly where?: string;
  /** What the reader should do. */
  readonly hint?: string;
  readonly cause?: unknown;
}

export class Failure<Code extends string = string> extends Error {
  readonly code: Code;
  readonly kind: FailureKind;
  readonly where: string | undefined;
  readonly hint: string | undefined;

  constructor(kind: FailureKind, code: Code, message: string, details: FailureDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'Failure';
    this.kind = kind;
    this.code = code;
    this.where = details.where;
    this.hint = details.hint;
  }
}

export const EXIT_CODES: Readonly<Record<FailureKind, number>> = {
  usage: 2,
  refused: 10,
  unsupported: 20,
  malformed: 30,
  environment: 40,
};
