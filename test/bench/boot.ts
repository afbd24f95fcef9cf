/** How long the real image takes in QEMU from its launch to the first verified attestation, and in how much memory. */
import { PORTS } from '../../enclave/vsock/socket.ts';
import { pinnedExpectation } from '../../parties/session/expectation.ts';
import { greet, verifyGreeting } from '../../parties/session/handshake.ts';
import { median, rounded, timed } from './figure.ts';
import type { Emit } from './figure.ts';
import { overStream } from './frames.ts';
import { openMachines, whyAbsent } from './machines.ts';
import type { Image, Machine, Machines } from './machines.ts';
import { call, found, random } from './parties.ts';
import { airShow, detector, example, policyOf, vectorsFolder } from './samples.ts';
import type { Subject } from './samples.ts';

const BOOTS = 3;
const BOOT_MS = 15_000;
const GREET_MS = 20_000;
const CALLS = 1_000;
const MEMORY_MIB = 1_024;
/** Of the search for the least memory. */
const LEAST_MIB = 128;
const STEP_MIB = 16;

export type Keep = (running: { close(): Promise<void> }) => void;

/** With YOLOX-nano where the real vectors are there. */
function subject(): Subject {
  const vectors = vectorsFolder();
  if (vectors === undefined) return example();
  return detector(vectors, 'yolox-nano', 'air-show.jpg with YOLOX-nano', airShow(vectors));
}

async function withMachines(
  emit: Emit,
  figure: string,
  keep: Keep,
  work: (machines: Machines) => Promise<void>,
): Promise<void> {
  try {
    const machines = await openMachines();
    keep(machines);
    try {
      await work(machines);
    } finally {
      await machines.close();
    }
  } catch (error) {
    const skipped = whyAbsent(error);
    if (skipped === undefined) throw error;
    emit({ figure, skipped });
  }
}

export function benchBoot(emit: Emit, keep: Keep): Promise<void> {
  return withMachines(emit, 'boot: launch -> first verified attestation', keep, async (machines) => {
    const computed = subject();
    const image = await machines.build(policyOf(computed.uses, CALLS, machines.aws.trust));
    await emitBoots(emit, machines, image);
    await emitMemory(emit, machines, image, computed);
  });
}

async function emitBoots(emit: Emit, machines: Machines, image: Image): Promise<void> {
  const { memoryMiB } = image.sizing;
  const [boots, launches]: [number[], number[]] = [[], []];
  for (let round = 0; round < BOOTS; round++) {
    const start = performance.now();
    const machine = await machines.launch(image, { memoryMiB });
    launches.push(performance.now() - start);
    await verifiedAttestation(machine, image);
    boots.push(performance.now() - start);
    await machine.enclave.terminate();
  }
  const value = median(boots);
  emit({
    figure: 'boot: launch -> first verified attestation',
    value: rounded(value / 1_000),
    unit: 's',
    target: `<= ${BOOT_MS / 1_000} s`,
    met: value <= BOOT_MS,
    note: `real image of ${rounded(image.measurements.eif.bytes / 1e6, 1)} MB in QEMU with ${memoryMiB} MiB, processors emulated; of it ${rounded(median(launches) / 1_000)} s until the enclave serves; quickest and slowest of ${BOOTS}: ${rounded(Math.min(...boots) / 1_000)} and ${rounded(Math.max(...boots) / 1_000)} s`,
  });
}

/** As a party's session begins: hello, welcome, the document judged against the pins. */
async function verifiedAttestation({ enclave }: Machine, image: Image): Promise<void> {
  const channel = overStream(await enclave.connect(PORTS.sessions));
  try {
    const greeting = await greet(channel, random, AbortSignal.timeout(GREET_MS));
    await verifyGreeting(greeting, pinnedExpectation(await image.home('alice')), new Date());
  } finally {
    await channel.close();
  }
}

interface Computed {
  readonly found: number;
  readonly firstMs: number;
  readonly secondMs: number;
}

/** Boots, takes Bob's model, serves two calls of Alice's, and still runs. */
async function compute(machines: Machines, image: Image, of: Subject, memoryMiB: number): Promise<Computed> {
  const machine = await machines.launch(image, { memoryMiB });
  try {
    return await Promise.race([computeOn(machine, of), endOf(machine)]);
  } finally {
    await machine.enclave.terminate();
  }
}

async function computeOn(machine: Machine, of: Subject): Promise<Computed> {
  await machine.contribute(of);
  const session = await machine.openSession('alice');
  let output = '';
  const once = async (): Promise<void> => {
    const next = await call(session, of.picture);
    if (output !== '' && next !== output) throw new Error('two calls with one picture gave two answers');
    output = next;
  };
  const [firstMs, secondMs] = [await timed(once), await timed(once)];
  await session.close();
  if (found(output) === 0) throw new Error(`nothing was found: ${output}`);
  const { state } = machine.enclave.describe();
  if (state.phase !== 'running') throw new Error(`after the calls the enclave is ${state.phase}`);
  return { found: found(output), firstMs, secondMs };
}

async function endOf({ enclave }: Machine): Promise<never> {
  const { reason } = await enclave.ended;
  throw new Error(`the enclave ended: ${reason}`);
}

async function emitMemory(emit: Emit, machines: Machines, image: Image, of: Subject): Promise<void> {
  const figure = `boot: ${of.name} within ${MEMORY_MIB} MiB`;
  const target = `<= ${MEMORY_MIB} MiB allocated, by the sizing and in truth`;
  const { memoryMiB } = image.sizing;
  const common = { figure, value: MEMORY_MIB, unit: 'MiB allocated', target };
  try {
    const { found: count, firstMs, secondMs } = await compute(machines, image, of, MEMORY_MIB);
    emit({
      ...common,
      met: memoryMiB <= MEMORY_MIB,
      note: `booted, model contributed, two calls: ${count} found, in ${rounded(firstMs, 0)} and ${rounded(secondMs, 0)} ms, the enclave still running; the sizing says ${memoryMiB} MiB`,
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    emit({ ...common, met: false, note: `${why}; the sizing says ${memoryMiB} MiB` });
  }
}

/** The least memory, by halving: minutes. */
export function benchLeastMemory(emit: Emit, keep: Keep): Promise<void> {
  const figure = 'memory-qemu: least memory that boots and computes';
  return withMachines(emit, figure, keep, async (machines) => {
    const of = subject();
    const image = await machines.build(policyOf(of.uses, CALLS, machines.aws.trust));
    let [tooLittle, enough] = [LEAST_MIB, MEMORY_MIB];
    let why = 'not tried';
    while (enough - tooLittle > STEP_MIB) {
      const memoryMiB = Math.round((tooLittle + enough) / 2 / STEP_MIB) * STEP_MIB;
      try {
        await compute(machines, image, of, memoryMiB);
        enough = memoryMiB;
        process.stderr.write(`bench: ${memoryMiB} MiB are enough\n`);
      } catch (error) {
        tooLittle = memoryMiB;
        why = error instanceof Error ? error.message : String(error);
        process.stderr.write(`bench: ${memoryMiB} MiB are too little: ${why}\n`);
      }
    }
    emit({
      figure,
      value: enough,
      unit: 'MiB allocated',
      target: `<= the sizing's ${image.sizing.memoryMiB} MiB`,
      met: enough <= image.sizing.memoryMiB,
      note: `${of.name}; with ${tooLittle} MiB: ${why}; the sizing says ${image.sizing.memoryMiB} MiB`,
    });
  });
}
