/**
 * What every verb of the command line is made of. One verb, one file; `orchestrator/cli/table.ts` names them all, and
 * `bin.ts` beside it dispatches.
 */
export interface Io {
  /** The result, and nothing but the result. */
  readonly out: (text: string) => void;
  /** Progress, warnings and errors, for people. */
  readonly err: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Aborted by the first Ctrl-C; a verb then cleans up and throws the signal's reason. */
  readonly signal: AbortSignal;
  /** True where stderr is a terminal: progress may redraw its line. */
  readonly interactive: boolean;
  /** Once; whoever has enough of it stops. Ends with an error where `signal` is aborted. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
}

export interface Verb {
  /** The whole help text, shown by `accord VERB --help`. */
  readonly help: string;
  /** `argv` without the verb. Returns the exit code; throws `Failure` for everything that went wrong. */
  readonly run: (argv: readonly string[], io: Io) => Promise<number>;
}
