/** The verb `local-aws` as a process of its own, for tests that kill it. Arguments as on the command line. */
import { Readable } from 'node:stream';
import { verb } from '../../../orchestrator/cli/local-aws.ts';
import { EXIT_CODES, Failure } from '../../../policies/failure.ts';

const interruption = new AbortController();
process.on('SIGINT', () => interruption.abort(new Error('interrupted')));

try {
  process.exitCode = await verb.run(process.argv.slice(2), {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    env: process.env,
    cwd: process.cwd(),
    signal: interruption.signal,
    interactive: false,
    stdin: () => Readable.from([]),
  });
} catch (cause) {
  if (cause instanceof Failure) {
    process.stderr.write(
      `${JSON.stringify({ code: cause.code, message: cause.message, where: cause.where, hint: cause.hint })}\n`,
    );
    process.exitCode = EXIT_CODES[cause.kind];
  } else {
    process.exitCode = interruption.signal.aborted ? 130 : 1;
  }
}
