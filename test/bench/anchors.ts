/** What it costs to write a call down where the host cannot rewrite it, over the same call that is counted in memory. */
import type { Session } from '../../parties/session/session.ts';
import { interleaved, rounded } from './figure.ts';
import type { Emit } from './figure.ts';
import { call } from './parties.ts';
import { airShow, detector, example, vectorsFolder } from './samples.ts';
import type { Subject } from './samples.ts';
import { startWholePath } from './whole-path.ts';
import type { Collaboration, WholePath } from './whole-path.ts';

const ROUNDS = 40;
const RATIO = 1.15;

/** One enclave with two anchors in folders, one without, the same model and picture, called in turn. */
export async function benchAnchors(emit: Emit, onStart: (path: WholePath) => void): Promise<void> {
  const vectors = vectorsFolder();
  const subject: Subject =
    vectors === undefined
      ? example()
      : detector(vectors, 'yolox-nano', 'air-show.jpg with YOLOX-nano', airShow(vectors));
  const path = await startWholePath();
  onStart(path);
  try {
    const anchored = await path.collaborate(subject, 'anchored');
    const counted = await path.collaborate(subject);
    await withSessions([anchored, counted], async ([noted, plain]) => {
      const between = (): Promise<void> => anchored.settled();
      await between();
      const compared = await interleaved(
        { rounds: ROUNDS, warmUp: 4, between },
        () => call(noted, subject.picture),
        () => call(plain, subject.picture),
      );
      emit({
        figure: `anchors: call with two local anchors, ${subject.name}`,
        value: rounded(compared.value),
        unit: 'ms',
        reference: rounded(compared.reference),
        ratio: rounded(compared.ratio, 3),
        target: `<= ${RATIO} x without anchors`,
        met: compared.ratio <= RATIO,
        note: `${rounded(compared.difference)} ms more (median of the differences); folders on this disk, each entry flushed to it; the first anchor holds before the jail sees the input, the second is claimed while it computes`,
      });
    });
  } finally {
    await path.close();
  }
}

async function withSessions(
  [anchored, counted]: readonly [Collaboration, Collaboration],
  work: (sessions: readonly [Session, Session]) => Promise<void>,
): Promise<void> {
  const noted = await anchored.openSession('alice');
  const plain = await counted.openSession('alice');
  try {
    await work([noted, plain]);
  } finally {
    await Promise.all([noted.close(), plain.close()]);
  }
}
