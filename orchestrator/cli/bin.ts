#!/usr/bin/env node
/** The command line's entry: signals, streams and the exit code. Starts in milliseconds; verbs are loaded when used. */
import { addAbortSignal } from 'node:stream';
import { isatty } from 'node:tty';
import type { Io } from '../../parties/cli/verb.ts';
import { dispatch, Interrupted } from './dispatch.ts';
import { VERBS } from './table.ts';
import { VERSION } from '../../build/version.ts';

/** One Ctrl-C can arrive twice: from the terminal, and from a program (npm, for one) that passes it on. */
const ECHO_MS = 500;

const interruption = new AbortController();
let interruptedAt = 0;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!interruption.signal.aborted) interruptedAt = performance.now();
    // The second Ctrl-C does not wait.
    else if (signal === 'SIGINT' && performance.now() - interruptedAt > ECHO_MS) process.exit(130);
    interruption.abort(new Interrupted());
  });
}

const io: Io = {
  out: writer(process.stdout),
  err: writer(process.stderr),
  env: process.env,
  cwd: process.cwd(),
  signal: interruption.signal,
  interactive: isatty(process.stderr.fd),
  stdin: () => addAbortSignal(interruption.signal, process.stdin),
};

// Warnings are for whoever works on Accord (the SDK's about coming Node versions, for one), not for whoever uses it.
process.removeAllListeners('warning');
process.on('warning', (warning) => {
  if (process.env['ACCORD_DEBUG'] === '1') io.err(`${warning.stack ?? warning.message}\n`);
});

process.on('uncaughtException', (error) => {
  io.err(`accord: unexpected error, a bug in Accord: ${error.message}\n`);
  if (process.env['ACCORD_DEBUG'] === '1') io.err(`${error.stack ?? ''}\n`);
  process.exit(1);
});

const exitCode = await dispatch(process.argv.slice(2), io, { version: VERSION, verbs: VERBS });
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
process.exit(exitCode);

/** A reader that went away (`accord … | head`) ends the output, not the work. */
function writer(stream: NodeJS.WriteStream): (text: string) => void {
  let isOpen = true;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    isOpen = false;
    if (error.code === 'EPIPE') return;
    const name = stream === process.stdout ? 'standard output' : 'standard error';
    if (stream !== process.stderr) io.err(`accord: ${name} cannot be written: ${error.message}\n`);
    process.exit(40);
  });
  return (text) => {
    if (isOpen) stream.write(text);
  };
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.errored) resolve();
    else stream.write('', () => resolve());
  });
}
