/** A computer as tests and benchmarks of one function want it: by the machine's clock, with a nursery of its own. */
import { startComputer, type Computer, type ComputerOptions, type JailPaths } from '../../../enclave/jail/gate-side.ts';
import { createNursery } from '../../../enclave/jail/nursery.ts';
import { realTimers } from '../real-timers.ts';

export type What = Pick<ComputerOptions, 'kind' | 'model' | 'policy'>;

/** Throws as `startComputer` does. */
export const openComputer = (paths: JailPaths, what: What): Promise<Computer> =>
  startComputer({ ...what, paths, timers: realTimers, nursery: createNursery(1) });
