/** `npm run bench`: one JSON line a figure on stdout, progress on stderr. `HELP` says how to ask. */
import { readOptions } from '../options.ts';
import { benchAnchors } from './anchors.ts';
import { benchAttestation } from './attestation.ts';
import { benchBoot, benchLeastMemory } from './boot.ts';
import { benchCalls } from './calls.ts';
import type { CallFigure } from './calls.ts';
import type { Emit } from './figure.ts';
import { benchEif, benchQuota } from './image.ts';
import { benchJails } from './jails.ts';
import { benchOpening } from './opening.ts';
import { benchImage } from './real-image.ts';
import { benchRelay } from './relay.ts';
import { benchRelease } from './release.ts';
import { benchSealing } from './sealing.ts';

const NAMES = [
  'attestation',
  'eif',
  'quota',
  'memory',
  'session',
  'call',
  'jails',
  'image',
  'boot',
  'relay',
  'sealing',
  'anchors',
  'opening',
  'release',
] as const;
/** Measured only where they are asked for: they take minutes. */
const LONG = ['memory-qemu'] as const;
type Name = (typeof NAMES | typeof LONG)[number];

const isName = (text: string): text is Name => [...NAMES, ...LONG].some((name) => name === text);
const isCallFigure = (name: Name): name is CallFigure => name === 'memory' || name === 'session' || name === 'call';

const emit: Emit = (line) => void process.stdout.write(`${JSON.stringify(line)}\n`);

const HELP = `npm run bench [-- --only NAME ...]

One JSON line a figure. A target that is missed is reported, and is no error. Nothing else should run meanwhile.

  --only NAME  one group, or several; default: all but ${LONG.join(', ')}, which take minutes

Groups: ${[...NAMES, ...LONG].join(', ')}.
Exit codes: 0, 1 where something could not be measured, 2 usage, 130 Ctrl-C.
`;

function wantedOf(): ReadonlySet<Name> {
  const { values, usage } = readOptions('bench', HELP, { only: { type: 'string', multiple: true } });
  const { only = [] } = values;
  if (!only.every(isName)) return usage(`--only takes one of ${[...NAMES, ...LONG].join(', ')}`);
  return new Set(only.length === 0 ? NAMES : only);
}

/** What runs beside this process, and must not outlive it. */
let running: { close(): Promise<unknown> } | undefined;
const keep = (started: typeof running): void => void (running = started);
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupted = true;
    void (running?.close() ?? Promise.resolve()).finally(() => process.exit(130));
  });
}

async function main(): Promise<number> {
  const wanted = wantedOf();
  const calls = new Set([...wanted].filter(isCallFigure));
  const benches: readonly (readonly [boolean, () => Promise<void>])[] = [
    [calls.size > 0, () => benchCalls(emit, calls, keep)],
    [wanted.has('jails'), () => benchJails(emit)],
    [wanted.has('attestation'), () => benchAttestation(emit)],
    [wanted.has('eif'), () => benchEif(emit)],
    [wanted.has('quota'), () => benchQuota(emit)],
    [wanted.has('image'), () => benchImage(emit)],
    [wanted.has('boot'), () => benchBoot(emit, keep)],
    [wanted.has('relay'), () => benchRelay(emit, keep)],
    [wanted.has('sealing'), () => benchSealing(emit)],
    [wanted.has('anchors'), () => benchAnchors(emit, keep)],
    [wanted.has('opening'), () => benchOpening(emit)],
    [wanted.has('release'), () => benchRelease(emit, keep)],
    [wanted.has('memory-qemu'), () => benchLeastMemory(emit, keep)],
  ];
  let exitCode = 0;
  for (const [asked, bench] of benches) {
    if (!asked || interrupted) continue;
    try {
      await bench();
    } catch (error) {
      if (interrupted) return 130; // what was being measured was stopped under its hands
      process.stderr.write(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      exitCode = 1;
    }
  }
  return exitCode;
}

process.exitCode = await main();
