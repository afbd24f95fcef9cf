/**
 * The kernel is told of system calls by a program. Here that program is run, by the rules of classic BPF
 * (Linux, Documentation/networking/filter.rst), and must give of every call what the table says of it.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { START_FILTER, jailFilter, jailProgram, startProgram } from '../../../enclave/jail/seccomp.ts';
import { assemble } from '../../../enclave/jail/seccomp-bpf.ts';
import type { Filter, Verdict } from '../../../enclave/jail/seccomp-bpf.ts';

interface SystemCall {
  readonly number: number;
  readonly arch: number;
  readonly args: readonly bigint[];
}

const X86_64 = 0xc000003e;
const MOST_INSTRUCTIONS = 4_096;

/** What the kernel would do. Throws where it would not take the program, or would read beyond `struct seccomp_data`. */
function run(program: Uint8Array, { number, arch, args }: SystemCall): Verdict {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, arch, true);
  args.forEach((value, index) => data.setBigUint64(16 + 8 * index, value, true));
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const [code, jt, jf, k] = [
      view.getUint16(8 * at, true),
      view.getUint8(8 * at + 2),
      view.getUint8(8 * at + 3),
      view.getUint32(8 * at + 4, true),
    ];
    if (code === 0x20) accumulator = data.getUint32(k, true);
    else if (code === 0x15) at += accumulator === k ? jt : jf;
    else if (code === 0x35) at += accumulator >= k ? jt : jf;
    else if (code === 0x06) return verdictOf(k);
    else throw new Error(`instruction ${at}: code ${code}`);
  }
}

function verdictOf(value: number): Verdict {
  if (value === 0x7fff0000) return 'allow';
  if (value === 0x80000000) return 'kill';
  if (value >>> 16 === 0x0005) return value & 0xffff;
  throw new Error(`returns ${value.toString(16)}`);
}

/** What the table says: the first rule that names the call. */
function tableSays({ rules, rest }: Filter, { number, arch, args }: SystemCall): Verdict {
  if (arch !== X86_64 || number >= 0x40000000) return 'kill';
  const rule = rules.find(({ calls }) => calls.includes(number));
  if (rule === undefined) return rest;
  const holds = (rule.where ?? []).every(({ argument, is, wide = false }) => {
    const value = args[argument] ?? 0n;
    return is.some((one) => (wide ? value : value & 0xffffffffn) === BigInt(one));
  });
  return holds ? rule.verdict : (rule.otherwise ?? 'kill');
}

const FILTERS: readonly (readonly [string, Filter, Uint8Array])[] = [
  ['a jail at work', jailFilter(2), jailProgram(2)],
  ['a jail of a large number', jailFilter(4_194_304), jailProgram(4_194_304)],
  ['a jail that starts', START_FILTER, startProgram()],
];

/** Arguments that a rule asks about, near misses of them, and any. */
const argumentOf = (filter: Filter): fc.Arbitrary<bigint> => {
  const named = filter.rules.flatMap(({ where = [] }) => where.flatMap(({ is }) => [...is]));
  const word = fc.oneof(
    fc.constantFrom(...named, 0),
    fc.constantFrom(...named, 0).map((one) => one ^ 1),
    fc.nat(),
  );
  return fc
    .tuple(fc.constantFrom(0n, 0n, 1n, 0x80000000n), word)
    .map(([high, low]) => (high << 32n) | BigInt(low >>> 0));
};
const numberOf = (filter: Filter): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...filter.rules.flatMap(({ calls }) => [...calls])) },
    { weight: 4, arbitrary: fc.nat({ max: 600 }) },
    { weight: 1, arbitrary: fc.nat({ max: 600 }).map((one) => one + 0x40000000) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffffffff }) },
  );
const callOf = (filter: Filter): fc.Arbitrary<SystemCall> =>
  fc.record({
    number: numberOf(filter),
    arch: fc.oneof({ weight: 9, arbitrary: fc.constant(X86_64) }, { weight: 1, arbitrary: fc.constantFrom(0x40000003, 0xc00000b7, 0) }), // prettier-ignore
    args: fc.array(argumentOf(filter), { minLength: 6, maxLength: 6 }),
  });

describe.each(FILTERS)('the filter of %s', (_, filter, program) => {
  test('gives of any call what the table says', () => {
    fc.assert(
      fc.property(callOf(filter), (call) => {
        expect(run(program, call)).toBe(tableSays(filter, call));
      }),
      { numRuns: 5_000 },
    );
  });

  test('names no call twice, and is one that the kernel takes', () => {
    const calls = filter.rules.flatMap((rule) => [...rule.calls]);
    expect(calls.filter((call, index) => calls.indexOf(call) !== index)).toEqual([]);
    expect(program.length % 8).toBe(0);
    const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
    const instructions = program.length / 8;
    expect(instructions).toBeLessThanOrEqual(MOST_INSTRUCTIONS);
    // seccomp_check_filter, bpf_check_classic: no jump out of the program, and a verdict at its end.
    for (let at = 0; at < instructions; at++) {
      const farthest = at + 1 + Math.max(view.getUint8(8 * at + 2), view.getUint8(8 * at + 3));
      expect(farthest).toBeLessThanOrEqual(instructions - (at === instructions - 1 ? 0 : 1));
    }
    expect(view.getUint16(program.length - 8, true)).toBe(0x06);
  });
});

test('a verdict of a condition that does not hold is the rule’s own', () => {
  const where = [
    { argument: 0, is: [7, 9] },
    { argument: 2, is: [0], wide: true },
  ] as const;
  const program = assemble({ rules: [{ calls: [5, 6], verdict: 'allow', where, otherwise: 13 }], rest: 38 });
  const ask = (number: number, first: bigint, third: bigint): Verdict =>
    run(program, { number, arch: X86_64, args: [first, 0n, third] });
  expect([ask(5, 7n, 0n), ask(6, 9n, 0n), ask(6, 8n, 0n)]).toEqual(['allow', 'allow', 13]);
  // Of an int the kernel reads 32 bits, of a pointer all 64.
  expect([ask(5, 0x1_0000_0007n, 0n), ask(5, 7n, 1n), ask(5, 7n, 0x1_0000_0000n)]).toEqual(['allow', 13, 13]);
  expect([ask(4, 7n, 0n), ask(7, 7n, 0n), ask(0x40000005, 7n, 0n)]).toEqual([38, 38, 'kill']);
});
