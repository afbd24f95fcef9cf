/** Why an enclave ended, in one sentence: from its own life-cycle lines where it could still say so. */
import { jsonFields } from '../../parties/json-fields.ts';
import { lifeCycle } from './console-ring.ts';
import type { RunningEnclave } from './host.ts';

type End = Awaited<RunningEnclave['ended']>;

/** `lines` as the enclave printed them, last one last. */
export function describeEnding(lines: readonly string[], isTerminating: boolean): End {
  if (isTerminating) return { reason: 'terminated by the coordinator', exitCode: null };
  const entries = lines.map((line) => ({ line, accord: lifeCycle(line) }));
  const stopped = entries.findLast(({ accord }) => accord?.accord === 'stopped')?.accord?.reason;
  const exited = entries.findLast(({ accord }) => accord?.accord === 'exited');
  if (exited !== undefined) return describeExit(exited.line, stopped);
  const last = lines.at(-1);
  const said = last === undefined ? 'it printed nothing' : `its last line: ${last}`;
  return {
    reason: `${stopped ?? 'the enclave is gone, and could not say why (a kernel panic, or ended by hand)'}; ${said}`,
    exitCode: null,
  };
}

/** `{"accord":"exited","code":N}`, `{…,"signal":N,"outOfMemory":bool}` or, of the init itself, `{…,"reason":"…"}`. */
function describeExit(line: string, stopped: string | undefined): End {
  const fields = jsonFields(JSON.parse(line), 'host/life-line', 'life line');
  const member = (name: string): unknown => fields.entries().find(([key]) => key === name)?.[1];
  const reason = fields.optionalText('reason');
  if (reason !== undefined) return { reason: `the enclave's init stopped: ${reason}`, exitCode: null };
  const signal = member('signal');
  if (typeof signal === 'number') {
    return member('outOfMemory') === true
      ? { reason: 'the enclave ran out of memory: raise enclave.memoryMiB in the policy', exitCode: null }
      : { reason: `${stopped ?? 'the program in the enclave was killed'} (signal ${signal})`, exitCode: null };
  }
  const code = member('code');
  const exitCode = typeof code === 'number' ? code : null;
  if (stopped !== undefined) return { reason: `${stopped} (exit code ${exitCode})`, exitCode };
  return { reason: `the program in the enclave exited with code ${exitCode}`, exitCode };
}
