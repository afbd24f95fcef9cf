/**
 * Every verb, in the order of a collaboration, with what `accord help` says of it. A verb's module, and all it needs, is
 * loaded when it is called.
 */
import type { VerbEntry } from './dispatch.ts';

export const VERBS: readonly VerbEntry[] = [
  {
    name: 'demo',
    summary: 'tell the whole story on this machine, and check every claim of it',
    load: async () => (await import('./demo.ts')).verb,
  },
  {
    name: 'init',
    summary: "make a party's home, and pin the image it trusts",
    load: async () => (await import('../../parties/cli/init.ts')).verb,
  },
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
    name: 'build',
    summary: 'build the image of a policy and its measurements',
    load: async () => (await import('./build.ts')).verb,
  },
  {
    name: 'measure',
    summary: "compute an image's PCRs from its bytes",
    load: async () => (await import('../../parties/cli/measure.ts')).verb,
  },
  {
    name: 'measure-time',
    summary: 'measure how long a function computes here, to choose when its answers leave',
    load: async () => (await import('../../parties/cli/measure-time.ts')).verb,
  },
  {
    name: 'reproduce',
    summary: 'build an image again, and say in what a published one differs',
    load: async () => (await import('../../parties/cli/reproduce.ts')).verb,
  },
  {
    name: 'key-policy',
    summary: 'let a KMS key open to the named enclave images alone',
    load: async () => (await import('../../parties/cli/key-policy.ts')).verb,
  },
  {
    name: 'anchor',
    summary: 'make, lint and hand over the store where spent calls are written down',
    load: async () => (await import('../../parties/cli/anchor.ts')).verb,
  },
  {
    name: 'attest',
    summary: 'verify an attestation document',
    load: async () => (await import('../../parties/cli/attest.ts')).verb,
  },
  {
    name: 'encrypt',
    summary: 'encrypt a file for one purpose, to the enclave alone',
    load: async () => (await import('../../parties/cli/encrypt.ts')).verb,
  },
  {
    name: 'contribute',
    summary: 'hand a model over, to the enclave alone',
    load: async () => (await import('../../parties/cli/contribute.ts')).verb,
  },
  {
    name: 'call',
    summary: 'call a function on an input that nobody else sees',
    load: async () => (await import('../../parties/cli/call.ts')).verb,
  },
  {
    name: 'quota',
    summary: 'show the calls that are left',
    load: async () => (await import('../../parties/cli/quota.ts')).verb,
  },
  {
    name: 'up',
    summary: 'run the orchestrator: builds images, starts enclaves, relays what it cannot read',
    load: async () => (await import('./up.ts')).verb,
  },
  {
    name: 'run',
    summary: 'build the image of a policy and run it: prints the id and the measurements',
    load: async () => (await import('./run.ts')).verb,
  },
  {
    name: 'ps',
    summary: "list the orchestrator's collaborations and their state",
    load: async () => (await import('./ps.ts')).verb,
  },
  {
    name: 'status',
    summary: 'tell of one collaboration: its enclaves, its anchors, what is stored of it',
    load: async () => (await import('./status.ts')).verb,
  },
  {
    name: 'console',
    summary: 'show the last lines an enclave printed, and why it ended',
    load: async () => (await import('./console.ts')).verb,
  },
  {
    name: 'stop',
    summary: 'stop the enclaves of a collaboration; run starts them again',
    load: async () => (await import('./stop.ts')).verb,
  },
  {
    name: 'local-aws',
    summary: 'serve AWS in miniature (KMS, STS, S3, IAM) for trying Accord out',
    load: async () => (await import('./local-aws.ts')).verb,
  },
];
