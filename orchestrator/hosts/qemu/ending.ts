/** Why a machine ended, in one sentence: from its life line where it could still say so, else from what QEMU did. */
import { lifeCycle } from '../console-ring.ts';
import { describeEnding } from '../ending.ts';
import type { RunningEnclave } from '../host.ts';

type End = Awaited<RunningEnclave['ended']>;

/** What was seen of one machine. Lines as they came, last one last. */
export interface Seen {
  readonly isTerminating: boolean;
  /** Lines with `{"accord":…}`, from the life line or the serial console. */
  readonly lifeLines: readonly string[];
  /** What the kernel and the program printed besides. */
  readonly serial: readonly string[];
  /** What QEMU printed of itself. */
  readonly qemu: readonly string[];
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** vhost-device-vsock ended first, and the machine was ended for that. */
  readonly isBridgeGone: boolean;
}

/** The kernel's own clock may stand in front. */
const PANIC = /^(?:\[ *\d+\.\d+\] )?Kernel panic - not syncing: (.*)$/;
const UNPACKING = /^(?:\[ *\d+\.\d+\] )?Initramfs unpacking failed: (.*)$/;

export function isPanic(line: string): boolean {
  return PANIC.test(line);
}

export function describeMachineEnd(seen: Seen): End {
  if (seen.isTerminating) return describeEnding(seen.lifeLines, true);
  const hasLastWord = seen.lifeLines.some((line) => ['exited', 'stopped'].includes(lifeCycle(line)?.accord ?? ''));
  if (hasLastWord) {
    const end = describeEnding(seen.lifeLines, false);
    const last = beforeTheEnd(seen.serial);
    return last === undefined ? end : { ...end, reason: `${end.reason}; its last line: ${last}` };
  }
  const why = reasonOf(seen);
  const last = seen.lifeLines.at(-1) ?? seen.serial.at(-1);
  return { reason: last === undefined ? why : `${why}; its last line: ${last}`, exitCode: seen.exitCode };
}

function reasonOf({ serial, qemu, exitCode, signal, isBridgeGone }: Seen): string {
  const unpacking = firstMatch(serial, UNPACKING);
  if (unpacking !== undefined) {
    return `the image did not fit into the enclave's memory while it was unpacked (${unpacking}): raise enclave.memoryMiB in the policy`;
  }
  const panic = firstMatch(serial, PANIC);
  if (panic !== undefined) {
    return /memory/i.test(panic)
      ? `the enclave ran out of memory (kernel panic: ${panic}): raise enclave.memoryMiB in the policy`
      : `the enclave's kernel panicked: ${panic}`;
  }
  if (isBridgeGone) return 'its vsock bridge (vhost-device-vsock) ended, so the machine was ended too';
  if (signal === 'SIGKILL') return 'QEMU was killed by SIGKILL (by hand, or by the kernel for want of memory)';
  if (signal !== null) return `QEMU was killed by ${signal}`;
  if (qemu.some((line) => line.includes('CRC mismatch'))) {
    return 'QEMU refused the image: its checksum does not fit its content (build it again, or copy it again)';
  }
  if (exitCode !== 0) return `QEMU ended with exit code ${exitCode}: ${qemu.at(-1) ?? 'it said nothing'}`;
  return 'the machine was reset, and did not say why';
}

/** What the program printed last: what comes after the init's last word is the kernel's. */
function beforeTheEnd(serial: readonly string[]): string | undefined {
  const end = serial.findLastIndex((line) => lifeCycle(line)?.accord === 'exited');
  return serial.slice(0, Math.max(end, 0)).findLast((line) => line !== '' && lifeCycle(line) === undefined);
}

function firstMatch(lines: readonly string[], pattern: RegExp): string | undefined {
  for (const line of lines) {
    const found = pattern.exec(line)?.[1];
    if (found !== undefined) return found.trim();
  }
  return undefined;
}
