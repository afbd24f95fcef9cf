/** Every verb, with what `accord help` says of it. A verb's module, and all it needs, is loaded when it is called. */
import type { VerbEntry } from './dispatch.ts';

export const VERBS: readonly VerbEntry[] = [
  {
    name: 'check',
    summary: 'find every fault of a policy, and name every weakening',
    load: async () => (await import('../../parties/cli/check.ts')).verb,
  },
  {
    name: 'explain',
    summary: 'say in plain words who may do what, and who learns what',
    load: async () => (await import('../../parties/cli/explain.ts')).verb,
  },
  {
    name: 'diff',
    summary: 'say what a change of policy means for each party',
    load: async () => (await import('../../parties/cli/diff.ts')).verb,
  },
  {
    name: 'up',
    summary: 'run the orchestrator: builds images, starts enclaves, relays what it cannot read',
    load: async () => (await import('./up.ts')).verb,
  },
];
