/**
 * Where the time of a call goes: the jails alone, without session, relay and sealing, and how long they take to start.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { packModel, parseModelPackage } from '../../enclave/functions/model-package.ts';
import type { Computer } from '../../enclave/jail/gate-side.ts';
import type { ModelFunctionPolicy } from '../../policies/model.ts';
import { jailEntries } from '../enclave/jail/entries.ts';
import type { Entries } from '../enclave/jail/entries.ts';
import { openComputer } from '../enclave/jail/open-computer.ts';
import { bareOf } from './bare.ts';
import { interleaved, median, rounded, timed } from './figure.ts';
import type { Emit } from './figure.ts';
import { OUTPUT, airShow, detector, vectorsFolder } from './samples.ts';
import type { Subject } from './samples.ts';

const ROUNDS = 12;
/** For the successors of jails that served, to be started and warm. */
const PAUSE_MS = 1_500;
const STARTS = 5;

const policy: ModelFunctionPolicy = {
  uses: 'object-detection',
  model: { from: 'bob' },
  calls: { alice: 1 },
  input: { maxBytes: 8_388_608, buckets: [8_388_608] },
  output: OUTPUT,
  release: { afterMs: 0, padTo: 2_048 },
};

async function withComputer(
  { manifest, onnx }: Subject,
  entries: Entries,
  work: (computer: Computer) => Promise<void>,
): Promise<void> {
  const model = parseModelPackage(packModel(manifest, onnx), policy.uses);
  const computer = await openComputer(entries.paths, {
    kind: policy.uses,
    model,
    policy,
  });
  try {
    await work(computer);
  } finally {
    await computer.close();
  }
}

export async function benchJails(emit: Emit): Promise<void> {
  const vectors = vectorsFolder();
  if (vectors === undefined) {
    emit({ figure: 'jails', skipped: 'real vectors are absent (set ACCORD_VECTORS to their folder)' });
    return;
  }
  const picture = airShow(vectors);
  const subjects = [
    detector(vectors, 'FastestDet', 'air-show.jpg with FastestDet', picture),
    detector(vectors, 'yolox-nano', 'air-show.jpg with YOLOX-nano', picture),
  ];
  const entries = await jailEntries();
  try {
    for (const subject of subjects) {
      const bare = await bareOf(subject);
      await withComputer(subject, entries, async (computer) => {
        const run = (): Promise<unknown> =>
          computer.run([picture], { party: 'alice', signal: AbortSignal.timeout(60_000), left: Promise.resolve() });
        const found = await interleaved({ rounds: ROUNDS, between: () => sleep(PAUSE_MS) }, run, bare);
        emit({
          figure: `jails: ${subject.name}`,
          value: rounded(found.value),
          unit: 'ms',
          reference: rounded(found.reference),
          ratio: rounded(found.ratio, 3),
          target: 'none: for the reader',
          met: true,
          note: `${rounded(found.difference)} ms over bare, quickest rounds ${rounded(found.quickest.value)} and ${rounded(found.quickest.reference)} ms; the part of a call that is not session, relay and sealing`,
        });
      });
      const starts: number[] = [];
      for (let round = 0; round < STARTS; round++) {
        starts.push(await timed(() => withComputer(subject, entries, async () => {})));
      }
      emit({
        figure: `jails: started, model inspected, loaded and tried, ended (${subject.name})`,
        value: rounded(median(starts), 0),
        unit: 'ms',
        target: 'none: for the reader',
        met: true,
      });
    }
  } finally {
    entries.remove();
  }
}
