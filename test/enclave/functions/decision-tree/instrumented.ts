/** The kernel with a witness: every address that it reads and every block that it runs, in order. */
import binaryen from 'binaryen';
import { kernelBytes, kernelOf, type KernelInstance } from '../../../../enclave/functions/decision-tree/kernel.ts';

export interface Witness {
  readonly instance: KernelInstance;
  /** What happened since the last `take`: how often, and a digest of all of it in order. */
  take(): Trace;
}

export interface Trace {
  readonly reads: number;
  readonly steps: number;
  /** Of the sequence of addresses, and of blocks among them. */
  readonly digest: number;
}

/** `bytes`: the very module that runs in the enclave, unless a test plants another. */
export function instrumented(bytes: Uint8Array = kernelBytes()): Witness {
  const module = binaryen.readBinary(bytes);
  // Each load reports its address and its place in the code; each block and each turn of a loop reports itself.
  module.runPasses(['log-execution', 'instrument-memory']);
  if (module.validate() === 0) throw new Error('the instrumented kernel is not valid');
  const wasm = module.emitBinary();
  module.dispose();

  let reads = 0;
  let steps = 0;
  let digest = 0;
  const note = (kind: number, ...values: readonly number[]): void => {
    digest = Math.imul(digest ^ kind, 0x01000193);
    for (const value of values) digest = Math.imul(digest ^ value, 0x01000193) + (digest >>> 15);
  };
  const env: Record<string, (...values: number[]) => number> = {};
  const compiled = new WebAssembly.Module(wasm.slice());
  for (const { module: from, name } of WebAssembly.Module.imports(compiled)) {
    if (from !== 'env') throw new Error(`the instrumented kernel imports ${from}.${name}`);
    env[name] = (...values) => {
      if (name === 'load_ptr') {
        // Place in the code, bytes, offset, address.
        reads++;
        note(1, ...values);
        return values[3] ?? 0;
      }
      if (name === 'log_execution') {
        steps++;
        note(2, ...values);
        return 0;
      }
      // What was read is not looked at: it is handed on.
      if (name.startsWith('load_val_')) return values[1] ?? 0;
      throw new Error(`the kernel does what it should not: ${name}`);
    };
  }
  const { exports } = new WebAssembly.Instance(compiled, { env });
  return {
    instance: kernelOf(exports),
    take() {
      const trace = { reads, steps, digest };
      reads = steps = digest = 0;
      return trace;
    },
  };
}
