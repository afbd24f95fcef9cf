/**
 * What a machine says, on its three ways: the life line (vsock port 8003), the serial console, QEMU's own messages. One
 * ring for people holds all of it, marked by where it came from. Life-cycle lines come twice, by the life line and by the
 * console, and are kept once.
 */
import type { Duplex, Readable } from 'node:stream';
import { createConsoleRing, lifeCycle } from '../console-ring.ts';
import type { LifeCycle } from '../console-ring.ts';

export interface MachineConsole {
  /** For people. */
  lines(): readonly string[];
  /** What is known for the reason of an end. */
  seen(): {
    readonly lifeLines: readonly string[];
    readonly serial: readonly string[];
    readonly qemu: readonly string[];
  };
  /** The handler of host port 8003. */
  readonly followLifeLine: (connection: Duplex) => void;
  followSerial(stream: Readable): void;
  followQemu(stream: Readable): void;
  /** A remark of the host's own. */
  note(text: string): void;
}

export interface ConsoleEvents {
  /** Each life-cycle line, once. */
  readonly onLife: (line: LifeCycle) => void;
  readonly onSerial: (line: string) => void;
}

const MOST_REMEMBERED = 500;

export function createMachineConsole({ onLife, onSerial }: ConsoleEvents): MachineConsole {
  const ring = createConsoleRing();
  const life = { line: new Map<string, number>(), serial: new Map<string, number>() };
  const lifeRing = createConsoleRing();

  /** The same line may be said twice; the n-th time on one way is the n-th time on the other. */
  const takeLife = (line: string, way: keyof typeof life): void => {
    const count = (life[way].get(line) ?? 0) + 1;
    remember(life[way], line, count);
    if (count <= (life[way === 'line' ? 'serial' : 'line'].get(line) ?? 0)) return;
    const entry = lifeCycle(line);
    if (entry === undefined) return;
    lifeRing.add(line);
    ring.add(line);
    onLife(entry);
  };
  const lifeLine = (): ReturnType<typeof createConsoleRing> =>
    createConsoleRing((line) => (lifeCycle(line) === undefined ? ring.add(line) : takeLife(line, 'line')));
  const serial = createConsoleRing((raw) => {
    const line = printable(raw);
    if (lifeCycle(line) !== undefined) return takeLife(line, 'serial');
    ring.add(`serial: ${line}`);
    onSerial(line);
  });
  const qemu = createConsoleRing((line) => ring.add(`qemu: ${line}`));

  return {
    lines: () => ring.lines(),
    seen: () => ({ lifeLines: lifeRing.lines(), serial: serial.lines().map(printable), qemu: qemu.lines() }),
    followLifeLine(connection) {
      lifeLine().follow(connection);
      connection.once('end', () => connection.end());
    },
    followSerial: (stream) => serial.follow(stream),
    followQemu: (stream) => qemu.follow(stream),
    note: (text) => ring.add(`host: ${text}`),
  };
}

/** Keeps the latest alone: an enclave may print without end. */
function remember(counts: Map<string, number>, line: string, count: number): void {
  counts.delete(line);
  counts.set(line, count);
  const [oldest] = counts.keys();
  if (counts.size > MOST_REMEMBERED && oldest !== undefined) counts.delete(oldest);
}

/** A serial line ends with CR LF, and the firmware clears screens. */
function printable(line: string): string {
  // eslint-disable-next-line no-control-regex
  return line.replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, '').replaceAll(/[\x00-\x1f\x7f]/g, '');
}
