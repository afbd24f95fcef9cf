/** A verb as the command line runs it, with its failures told and its exit code; in the test's own process. */
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
}

export async function runVerb(
  name: string,
  verb: Verb,
  argv: readonly string[],
  { cwd, env = {}, stdin = new Uint8Array() }: Circumstances,
): Promise<Outcome> {
  let out = '';
  let err = '';
  const io: Io = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    env,
    cwd,
    signal: new AbortController().signal,
    interactive: false,
    stdin: async () => stdin,
  };
  const program = { version: '0', verbs: [{ name, summary: '', load: async () => verb }] };
  return { code: await dispatch([name, ...argv], io, program), out, err };
}
