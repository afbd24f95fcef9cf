/** Parsers with a fault each, to see that it is found: `runner.test.ts` starts this program. */
import { Failure } from '../../policies/failure.ts';
import { serve } from './serve.ts';
import type { Assignment } from './serve.ts';
import type { Target } from './target.ts';

/** Deep enough that chance alone does not come there at once, and reached by one change of the seed. */
const isReached = (input: Uint8Array): boolean => input[0] === 0x61 && input.length !== 4;

const FAULTS: Readonly<Record<string, () => string | Promise<string>>> = {
  sound: () => 'taken',
  type: () => Reflect.get(Object(undefined), 'a').b,
  undeclared: () => {
    throw new Failure('malformed', 'planted/undeclared', 'nobody knows this code');
  },
  rejection: () => {
    void Promise.reject(new Error('nobody waits'));
    return 'taken';
  },
  hang: () => {
    for (;;);
  },
  waits: () => new Promise<string>(() => {}),
  memory: () => String(new Uint8Array(64 * 1024 * 1024).length),
  slow: () => {
    const end = performance.now() + 300;
    while (performance.now() < end);
    return 'taken';
  },
  abort: () => process.abort(),
};

async function open(name: string): Promise<Target> {
  return {
    codes: new Set(['planted/refused']),
    seeds: [Uint8Array.of(0x61, 1, 2, 3)],
    limitMs: 200,
    run(input) {
      if (isReached(input)) return FAULTS[name]?.() ?? 'taken';
      throw new Failure('malformed', 'planted/refused', 'the ordinary case');
    },
  };
}

const assignment: Assignment = JSON.parse(process.argv[2] ?? '{}');
await serve(assignment, open);
process.exit(0);
