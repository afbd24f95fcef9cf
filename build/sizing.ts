/**
 * How much memory and how many cores an enclave of this content needs, with each term said. An enclave has no disk: what
 * the ramdisks unpack to stays in memory for its whole life. On the local host nothing is set aside; the figures are what
 * the same content would take on Nitro, so that nobody is surprised there.
 *
 *     running   unpacked ramdisks + kernel + tmpfs + gate + for each function and each party that may call it: processes,
 *               copies of the model, inputs in flight
 *     booting   ramdisks as they were loaded + unpacked ramdisks + kernel; the first of these is given back before the
 *               first process starts
 *
 * An enclave is given the larger of the two, and never less than its policy asks for.
 */
import type { FunctionPolicy, Policy } from '../policies/model.ts';

export interface SizingTerm {
  readonly what: string;
  readonly MiB: number;
}

export interface Sizing {
  readonly eifBytes: number;
  /** What the ramdisks unpack to. */
  readonly unpackedBytes: number;
  readonly terms: readonly SizingTerm[];
  /** Memory to allocate. */
  readonly memoryMiB: number;
  /** The least that nitro-cli starts this image with, whatever the image needs: four times the size of the EIF. */
  readonly nitroCliMiB: number;
  /** vCPUs to allocate: whole cores. */
  readonly cpus: number;
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
}

/** What is known beyond the policy and the size of the image. */
export interface SizingFacts {
  /** All ramdisks as they stand in the EIF. Default: as large as they unpack to. */
  readonly ramdiskBytes?: number;
  /** Size of each function's model, by the function's name, where it was contributed already. */
  readonly modelBytes?: Readonly<Record<string, number>>;
}

const MiB = 1024 * 1024;

/** `Pss` of `/proc/PID/smaps_rollup` after 25 calls (`npm run bench -- --only memory`), rounded up generously. */
const GATE_MIB = 128;

/** Of one kind of process, in MiB beside the model: warm, and at most while it serves a call. */
interface ProcessNeeds {
  readonly name: string;
  readonly warm: number;
  readonly serving: number;
}

interface Jails {
  readonly reader: ProcessNeeds;
  readonly computer: ProcessNeeds;
  /** Of a model that nobody has contributed yet. */
  readonly assumedModel: number;
}

/**
 * `Pss_Anon` of `/proc/PID/smaps_rollup`: pages of programs and libraries are counted among the unpacked ramdisks already.
 * Measured on Linux with Node 20, YOLOX-nano, FastestDet and a picture of 13 million pixels: decoding 18 to 27 MiB warm and
 * 66 while it serves or is the next to serve, computing 18 to 47 and 53, models included. Here with a third more, and 4 for page
 * tables and bubblewrap. A picture or a model that wants more than there is ends its jail, which costs one call.
 */
const PICTURES: Jails = {
  reader: { name: 'decoding', warm: 32, serving: 96 },
  computer: { name: 'computing', warm: 64, serving: 72 },
  assumedModel: 8,
};
/** Measured likewise: 8 MiB each, warm and while it serves; records and trees are kilobytes. */
const TREES: Jails = {
  reader: { name: 'reading', warm: 16, serving: 20 },
  computer: { name: 'computing', warm: 16, serving: 20 },
  assumedModel: 1,
};
/** Each party that may call has, of each kind, a process that serves, or is the next to, and one that is warm for the call after. */
const LANE = 2;
/** As it came, and as the process lays it out. */
const COPIES_IN_COMPUTER = 2;
/** An input is whole in the gate and in the decoding process. */
const INPUT_COPIES = 2;
/** Kernel text and data, page tables, slabs, and what the kernel keeps free. Linux 6.12 of `build/kernel`. */
const KERNEL_MIB = 64;
/** /tmp, /run and /dev/shm: no process of ours writes there; room for what libraries do. */
const TMPFS_MIB = 16;
/** `ENCLAVE_MEMORY_EIF_SIZE_RATIO` of nitro-cli, which ends with E26 below it. */
const NITRO_CLI_RATIO = 4;

export function sizeImage(
  policy: Pick<Policy, 'enclave' | 'functions'>,
  eifBytes: number,
  unpackedBytes: number,
  { ramdiskBytes = unpackedBytes, modelBytes = {} }: SizingFacts = {},
): Sizing {
  const unpacked = inMiB(unpackedBytes);
  const terms: readonly SizingTerm[] = [
    { what: 'unpacked ramdisks (Node, enclave, packages)', MiB: unpacked },
    { what: 'kernel, init and page tables', MiB: KERNEL_MIB },
    { what: 'temporary files in memory (tmpfs)', MiB: TMPFS_MIB },
    { what: 'the gate (Node)', MiB: GATE_MIB },
    ...Object.entries(policy.functions).flatMap(([name, found]) =>
      functionTerms(name, found, Object.hasOwn(modelBytes, name) ? modelBytes[name] : undefined),
    ),
  ];
  const running = terms.reduce((sum, term) => sum + term.MiB, 0);
  const booting = inMiB(ramdiskBytes) + unpacked + KERNEL_MIB;
  const needed = Math.max(running, booting);
  const nitroCliMiB = leastForNitroCli(eifBytes);
  const { memoryMiB: asked, cpus } = policy.enclave;
  const memoryMiB = Math.max(needed, asked);
  const notes: string[] = [];
  if (asked < needed) {
    notes.push(`the policy asks for ${asked} MiB, but the parts need ${needed} MiB: raise enclave.memoryMiB`);
  }
  if (booting > running) {
    notes.push(`while it boots, the ramdisks are in memory twice: ${booting} MiB, more than it needs later`);
  }
  if (memoryMiB < nitroCliMiB) {
    notes.push(`nitro-cli starts no image with less than four times its size: on EC2 allocate ${nitroCliMiB} MiB`);
  }
  if (cpus % 2 === 1) notes.push(`Nitro gives whole cores of two threads: ${cpus} is rounded up to ${cpus + 1}`);
  return { eifBytes, unpackedBytes, terms, memoryMiB, nitroCliMiB, cpus: 2 * Math.ceil(cpus / 2), notes };
}

function functionTerms(
  name: string,
  { uses, calls, input }: FunctionPolicy,
  modelBytes?: number,
): readonly SizingTerm[] {
  const callers = Object.values(calls).filter((quota) => quota > 0).length;
  const inputs = {
    what: `${name}: an input of each party that may call`,
    MiB: inMiB(INPUT_COPIES * callers * input.maxBytes),
  };
  if (uses === 'counter') return [inputs];
  const { reader, computer, assumedModel } = uses === 'decision-tree' ? TREES : PICTURES;
  const model = modelBytes === undefined ? assumedModel : inMiB(modelBytes);
  const which = modelBytes === undefined ? `a model of at most ${model} MiB` : `its model of ${model} MiB`;
  // Where nobody may call, the model is looked at nevertheless, in a lane of its owner's.
  const lanes = Math.max(callers, 1);
  return [
    {
      what: `${name}: two ${reader.name} and two ${computer.name} processes of each party that may call (${lanes})`,
      MiB: lanes * (reader.warm + reader.serving + computer.warm + computer.serving),
    },
    {
      what: `${name}: ${which}, in the gate and in ${lanes * LANE} computing processes`,
      MiB: (1 + lanes * LANE * COPIES_IN_COMPUTER) * model,
    },
    inputs,
  ];
}

/** In MiB: the least memory with which nitro-cli starts an image of so many bytes. */
export function leastForNitroCli(eifBytes: number): number {
  return inMiB(NITRO_CLI_RATIO * eifBytes);
}

const inMiB = (bytes: number): number => Math.ceil(bytes / MiB);
