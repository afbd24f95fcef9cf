/**
 * How much memory and how many cores an enclave of this content needs, with each term said. An enclave has no disk: what
 * the ramdisks unpack to stays in memory for its whole life. On the local host nothing is set aside; the figures are what
 * the same content would take on Nitro, so that nobody is surprised there.
 */
import type { Policy } from '../policies/model.ts';

export interface SizingTerm {
  readonly what: string;
  readonly MiB: number;
}

export interface Sizing {
  readonly eifBytes: number;
  /** What the ramdisks unpack to. */
  readonly unpackedBytes: number;
  readonly terms: readonly SizingTerm[];
  /** Memory to allocate: the largest of the sum of the terms, the loader's rule, and what the policy asks for. */
  readonly memoryMiB: number;
  /** vCPUs to allocate: whole cores. */
  readonly cpus: number;
  /** What the reader should know, one sentence each. */
  readonly notes: readonly string[];
}

const MiB = 1024 * 1024;
/** A decoding and a computing process serve one call each; one more of each is warm. Resident sizes as measured with YOLOX-nano on Node 20 (`npm run bench`), rounded up. */
const GATE_MIB = 128;
const JAIL_MIB = 272;
const SYSTEM_MIB = 64;

export function sizeImage(
  policy: Pick<Policy, 'enclave' | 'functions'>,
  eifBytes: number,
  unpackedBytes: number,
): Sizing {
  const functions = Object.keys(policy.functions).length;
  const terms: readonly SizingTerm[] = [
    { what: 'unpacked ramdisks (Node, enclave, packages)', MiB: Math.ceil(unpackedBytes / MiB) },
    { what: 'kernel, init and page tables', MiB: SYSTEM_MIB },
    { what: 'the gate', MiB: GATE_MIB },
    {
      what: `two decoding and two computing processes for ${functionsInWords(functions)}`,
      MiB: 2 * functions * JAIL_MIB,
    },
  ];
  const needed = terms.reduce((sum, term) => sum + term.MiB, 0);
  // nitro-cli refuses to start an enclave with less than four times its EIF.
  const loader = Math.ceil((4 * eifBytes) / MiB);
  const { memoryMiB, cpus } = policy.enclave;
  const notes: string[] = [];
  if (memoryMiB < needed) {
    notes.push(`the policy asks for ${memoryMiB} MiB, but the parts need ${needed} MiB: raise enclave.memoryMiB`);
  }
  if (memoryMiB < loader) {
    notes.push(`nitro-cli demands four times the size of the EIF, ${loader} MiB; the policy asks for ${memoryMiB} MiB`);
  }
  if (cpus % 2 === 1) notes.push(`Nitro gives whole cores of two threads: ${cpus} is rounded up to ${cpus + 1}`);
  return {
    eifBytes,
    unpackedBytes,
    terms,
    memoryMiB: Math.max(needed, loader, memoryMiB),
    cpus: 2 * Math.ceil(cpus / 2),
    notes,
  };
}

function functionsInWords(count: number): string {
  return count === 1 ? 'the function' : `each of ${count} functions`;
}
