/** A verb as the command line runs it, with its failures told and its exit code; in the test's own process. */
import { Readable } from 'node:stream';
import { dispatch } from '../../../orchestrator/cli/dispatch.ts';
import type { Io, Verb } from '../../../parties/cli/verb.ts';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Circumstances {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Uint8Array;
  /** Ctrl-C. */
  readonly signal?: AbortSignal;
}

export async function runVerb(
  name: string,
  verb: Verb,
  argv: readonly string[],
  { cwd, env = {}, stdin = new Uint8Array(), signal = new AbortController().signal }: Circumstances,
): Promise<Outcome> {
  let out = '';
  let err = '';
  const io: Io = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    env,
    cwd,
    signal,
    interactive: false,
    stdin: () => Readable.from([stdin]),
  };
  const program = { version: '0', verbs: [{ name, summary: '', load: async () => verb }] };
  return { code: await dispatch([name, ...argv], io, program), out, err };
}
