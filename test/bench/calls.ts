/** What a call costs that nobody can look into, over the same computation in the open; and what a session asks of KMS. */
import { readFileSync } from 'node:fs';
import type { Session } from '../../parties/session/session.ts';
import { bareOf, loadSharp } from './bare.ts';
import { interleaved, median, rounded, timed } from './figure.ts';
import type { Emit } from './figure.ts';
import { call, found } from './parties.ts';
import { airShow, detector, example, vectorsFolder } from './samples.ts';
import type { Subject } from './samples.ts';
import { startWholePath } from './whole-path.ts';
import type { Collaboration, EnclaveProcesses, WholePath } from './whole-path.ts';

export type CallFigure = 'call' | 'session' | 'memory';

const FAST_ROUNDS = 30;
const NANO_ROUNDS = 40;
const EXAMPLE_ROUNDS = 60;
const CHAIN = 10;
const RATIO = 1.15;
const DIFFERENCE_MS = 5;
const MEMORY_CALLS = 25;
const MEMORY_MB = 400;
const SESSIONS = 15;
const SMALL_SIDE = 640;

const ABSENT = 'real vectors are absent (set ACCORD_VECTORS to their folder); measured with the example instead';

async function withSession(collaboration: Collaboration, work: (session: Session) => Promise<void>): Promise<void> {
  const session = await collaboration.openSession('alice');
  try {
    await work(session);
  } finally {
    await session.close();
  }
}

async function withCollaboration(
  path: WholePath,
  subject: Subject,
  work: (collaboration: Collaboration) => Promise<void>,
): Promise<void> {
  const collaboration = await path.collaborate(subject);
  try {
    await work(collaboration);
  } finally {
    await collaboration.stop();
  }
}

type Target = 'ratio' | 'difference';

/** Both sides must have computed the same: as many labels or objects. */
function demandSame(output: string, bare: number, name: string): void {
  if (found(output) !== bare) throw new Error(`${name}: the call found ${found(output)}, the bare run ${bare}`);
}

async function emitCall(
  emit: Emit,
  collaboration: Collaboration,
  subject: Subject,
  rounds: number,
  target: Target,
): Promise<void> {
  const bare = await bareOf(subject);
  await withSession(collaboration, async (session) => {
    demandSame(await call(session, subject.picture), (await bare()).length, subject.name);
    const between = (): Promise<void> => collaboration.settled();
    await between();
    const compared = await interleaved({ rounds, warmUp: 4, between }, () => call(session, subject.picture), bare);
    emit({
      figure: `call: ${subject.name}`,
      value: rounded(compared.value),
      unit: 'ms',
      reference: rounded(compared.reference),
      ratio: rounded(compared.ratio, 3),
      target: target === 'ratio' ? `<= ${RATIO} x bare` : `<= bare + ${DIFFERENCE_MS} ms`,
      met: target === 'ratio' ? compared.ratio <= RATIO : compared.difference <= DIFFERENCE_MS,
      note: `${rounded(compared.difference)} ms over bare (median of the differences), quickest rounds ${rounded(compared.quickest.value)} and ${rounded(compared.quickest.reference)} ms; sealed, relayed, opened, computed in jails, padded, sealed, opened; bare: same decoding and ONNX run in one process; one thread on both sides; each call meets warm jails`,
    });
    const chained = await timed(async () => {
      for (let round = 0; round < CHAIN; round++) await call(session, subject.picture);
    });
    emit({
      figure: `call: ${subject.name}, without a pause`,
      value: rounded(chained / CHAIN, 0),
      unit: 'ms',
      target: 'none: for the reader',
      met: true,
      note: `mean of ${CHAIN} calls, each right after the one before: they wait for jails to be started`,
    });
  });
}

/** Proportional set size of a process, in MB: its own memory, and its share of what it shares. */
function pss(pid: number): number {
  const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
  if (kilobytes === undefined) throw new Error(`/proc/${pid}/smaps_rollup says no Pss`);
  return (Number(kilobytes) * 1024) / 1e6;
}

async function emitMemory(emit: Emit, collaboration: Collaboration, subject: Subject): Promise<void> {
  await withSession(collaboration, async (session) => {
    for (let round = 0; round < MEMORY_CALLS; round++) await call(session, subject.picture);
    await collaboration.settled();
    const pids: EnclaveProcesses = await collaboration.processes();
    const [gate, compute, decode] = [pss(pids.gate), pss(pids.compute), pss(pids.decode)];
    const sum = gate + compute;
    emit({
      figure: `memory: gate and one computing process, ${subject.name}`,
      value: rounded(sum, 0),
      unit: 'MB PSS',
      target: `<= ${MEMORY_MB} MB`,
      met: sum <= MEMORY_MB,
      note: `after ${MEMORY_CALLS} calls, jails warm: gate ${rounded(gate, 0)}, computing ${rounded(compute, 0)}; the decoding process beside them has ${rounded(decode, 0)} MB; of each jail there is a spare, which shares pages`,
    });
  });
}

/** Counted where they arrive: at the KMS and STS of the local AWS. */
async function emitSession(emit: Emit, path: WholePath, collaboration: Collaboration, subject: Subject): Promise<void> {
  const before = new Set(path.aws.requests().map(({ requestId }) => requestId));
  const news = (): ReturnType<typeof path.aws.requests> =>
    path.aws.requests().filter(({ requestId }) => !before.has(requestId));
  await withSession(collaboration, async (session) => {
    const opening = news();
    for (let round = 0; round < 5; round++) await call(session, subject.picture);
    const later = news().length - opening.length;
    const kms = opening.filter(({ service }) => service === 'kms');
    const byEnclave = kms.filter(({ attestedImage }) => attestedImage !== null);
    const byParty = kms.filter(({ attestedImage }) => attestedImage === null);
    const others = opening.filter(({ service }) => service !== 'kms').map(({ operation }) => operation);
    const operations = (list: typeof kms): string => list.map(({ operation }) => operation).join(', ');
    emit({
      figure: 'session: KMS requests of the party to open it',
      value: byParty.length,
      unit: 'requests',
      target: '1',
      met: byParty.length === 1,
      note: `${operations(byParty)}; besides, of STS: ${others.join(', ')}; five calls in the session: ${later} requests of any kind`,
    });
    emit({
      figure: 'session: KMS requests of the enclave to open it',
      value: byEnclave.length,
      unit: 'requests',
      target: '1',
      met: byEnclave.length === 1,
      note: `${operations(byEnclave)}, with the enclave's attestation`,
    });
  });
  const times: number[] = [];
  for (let round = 0; round < SESSIONS; round++) {
    times.push(await timed(() => withSession(collaboration, async () => {})));
  }
  emit({
    figure: 'session: opened, verified, authenticated, closed',
    value: rounded(median(times), 0),
    unit: 'ms',
    target: 'none: for the reader',
    met: true,
    note: 'KMS and STS answer from the same machine; with AWS, the network comes on top',
  });
}

/** All figures of `wanted`, from one local AWS and orchestrator. */
export async function benchCalls(
  emit: Emit,
  wanted: ReadonlySet<CallFigure>,
  onStart: (path: WholePath) => void,
): Promise<void> {
  const vectors = vectorsFolder();
  const path = await startWholePath();
  onStart(path);
  try {
    if (vectors === undefined) await benchExample(emit, wanted, path);
    else await benchDetectors(emit, wanted, path, vectors);
  } finally {
    await path.close();
  }
}

async function benchExample(emit: Emit, wanted: ReadonlySet<CallFigure>, path: WholePath): Promise<void> {
  if (wanted.has('call')) emit({ figure: 'call: air-show.jpg with FastestDet', skipped: ABSENT });
  if (wanted.has('call')) emit({ figure: `call: ${SMALL_SIDE}-pixel picture with YOLOX-nano`, skipped: ABSENT });
  if (wanted.has('memory')) {
    emit({ figure: 'memory: gate and one computing process with YOLOX-nano', skipped: ABSENT });
  }
  const subject = example();
  await withCollaboration(path, subject, async (collaboration) => {
    if (wanted.has('memory')) await emitMemory(emit, collaboration, subject);
    if (wanted.has('session')) await emitSession(emit, path, collaboration, subject);
    if (wanted.has('call')) await emitCall(emit, collaboration, subject, EXAMPLE_ROUNDS, 'difference');
  });
}

async function benchDetectors(
  emit: Emit,
  wanted: ReadonlySet<CallFigure>,
  path: WholePath,
  vectors: string,
): Promise<void> {
  const picture = airShow(vectors);
  // Memory first: as long as this process has not loaded the libraries that it measures in others.
  const nano = detector(vectors, 'yolox-nano', 'air-show.jpg with YOLOX-nano', picture);
  await withCollaboration(path, nano, async (collaboration) => {
    if (wanted.has('memory')) await emitMemory(emit, collaboration, nano);
    if (wanted.has('session')) await emitSession(emit, path, collaboration, nano);
    if (!wanted.has('call')) return;
    const small = {
      ...nano,
      name: `${SMALL_SIDE}-pixel picture with YOLOX-nano`,
      picture: await (await loadSharp())(picture).resize(SMALL_SIDE).jpeg({ quality: 85 }).toBuffer(),
    };
    await emitCall(emit, collaboration, small, NANO_ROUNDS, 'difference');
  });
  if (!wanted.has('call')) return;
  const fast = detector(vectors, 'FastestDet', 'air-show.jpg with FastestDet', picture);
  await withCollaboration(path, fast, (collaboration) => emitCall(emit, collaboration, fast, FAST_ROUNDS, 'ratio'));
}
