/**
 * Turns a table of system calls into the program that the kernel runs before each of them (seccomp, classic BPF).
 *
 *     struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; };                   little-endian, 8 bytes
 *     struct seccomp_data { u32 nr; u32 arch; u64 instruction_pointer; u64 args[6]; };
 *
 * x86-64 alone. Calls by another of the processor's conventions (32 bits, x32) have other numbers: they end the process.
 */

/** `allow`; `kill` ends the whole process; a number is the errno that the caller gets. */
export type Verdict = 'allow' | 'kill' | number;

export interface Rule {
  /** Numbers of the calls, as in the kernel's table for x86-64. */
  readonly calls: readonly number[];
  readonly verdict: Verdict;
  /** The verdict holds where each of these holds, else `otherwise`. */
  readonly where?: readonly Condition[];
  readonly otherwise?: Verdict;
}

/** One argument is one of these values. Of a pointer all 64 bits count (`wide`); of an int the kernel reads 32. */
export interface Condition {
  readonly argument: 0 | 1 | 2 | 3;
  readonly is: readonly number[];
  readonly wide?: boolean;
}

export interface Filter {
  readonly rules: readonly Rule[];
  /** Of every call that no rule names. */
  readonly rest: Verdict;
}

const AUDIT_ARCH_X86_64 = 0xc000003e;
const X32_BIT = 0x40000000;

const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_AT_LEAST = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K

const NUMBER_AT = 0;
const ARCH_AT = 4;
const ARGUMENTS_AT = 16;

const RET_KILL_PROCESS = 0x80000000;
const RET_ERRNO = 0x00050000;
const RET_ALLOW = 0x7fff0000;

type Instruction = readonly [code: number, jt: number, jf: number, k: number];

const load = (offset: number): Instruction => [LOAD, 0, 0, offset];
const give = (verdict: Verdict): Instruction => {
  if (verdict === 'allow') return [RETURN, 0, 0, RET_ALLOW];
  return [RETURN, 0, 0, verdict === 'kill' ? RET_KILL_PROCESS : RET_ERRNO | verdict];
};

/** The program's bytes, 8 an instruction. */
export function assemble({ rules, rest }: Filter): Uint8Array {
  const instructions: readonly Instruction[] = [
    load(ARCH_AT),
    [IF_EQUAL, 1, 0, AUDIT_ARCH_X86_64],
    give('kill'),
    load(NUMBER_AT),
    [IF_AT_LEAST, 0, 1, X32_BIT],
    give('kill'),
    ...rules.flatMap((rule) => {
      const judged = judge(rule);
      return rule.calls.flatMap((call): readonly Instruction[] => [[IF_EQUAL, 0, judged.length, call], ...judged]);
    }),
    give(rest),
  ];
  const bytes = new Uint8Array(instructions.length * 8);
  const view = new DataView(bytes.buffer);
  instructions.forEach(([code, jt, jf, k], index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, true);
  });
  return bytes;
}

/** What follows once the call's number is known. Every way through it ends with a verdict. */
function judge({ verdict, where = [], otherwise = 'kill' }: Rule): readonly Instruction[] {
  return [...where.flatMap((condition) => demand(condition, otherwise)), give(verdict)];
}

function demand({ argument, is, wide = false }: Condition, otherwise: Verdict): readonly Instruction[] {
  const low = ARGUMENTS_AT + 8 * argument;
  const upper: readonly Instruction[] = wide ? [load(low + 4), [IF_EQUAL, 1, 0, 0], give(otherwise)] : [];
  const lower = is.map((value, index): Instruction => [IF_EQUAL, is.length - index, 0, value]);
  return [...upper, load(low), ...lower, give(otherwise)];
}
