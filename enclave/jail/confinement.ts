/** What holds jails, in words for those who rely on it. */
import { Failure } from '../../policies/failure.ts';

export type ConfinementCode = 'jail/not-confined';

/** What holds every jail of this enclave. */
export interface Confinement {
  /** It runs as another user than the gate. */
  readonly user: boolean;
  /** It sees no process, network, file or host name but its own. */
  readonly namespaces: boolean;
  /** The kernel refuses what a jail has no reason to ask for. */
  readonly seccomp: boolean;
  /** Memory, processor time, files and threads are bounded. */
  readonly limits: boolean;
  /** The bounds hold for memory that its processes share with others, too. */
  readonly cgroup: boolean;
}

const WEAKENINGS = {
  seccomp: 'the kernel refuses none of the system calls of a process that a hostile picture or model took over',
  user: "the processes that read inputs and models run as the enclave's own user",
  namespaces:
    'two processes that were taken over by hostile models can talk to each other, by the numbers of their threads',
  limits: 'nothing but the machine bounds what the processes that read inputs and models may take',
} as const satisfies Partial<Record<keyof Confinement, string>>;

const NO_CGROUP = 'the memory that they share with others is not bounded';

/** What is missing, as weakenings. A control group is a second bound on memory: without it there is still the first. */
export function unconfined(held: Confinement): readonly { readonly code: string; readonly text: string }[] {
  const kinds = ['seccomp', 'user', 'namespaces', 'limits'] as const;
  return kinds.filter((kind) => !held[kind]).map((kind) => ({ code: `jail-${kind}`, text: WEAKENINGS[kind] }));
}

/** What no enclave does without, and what one does without nowhere but on a kernel that does not have it. */
const DEMANDED = ['seccomp', 'user', 'limits'] as const;
const DEMANDED_OF_OURS = [...DEMANDED, 'namespaces', 'cgroup'] as const;

/**
 * An enclave serves nobody with jails that are held by less. `ours`: its kernel and init are Accord's, and have all of it:
 * what is missing there went wrong, by itself or by the host's doing. Throws `jail/not-confined`.
 */
export function demandConfinement(held: Confinement, ours: boolean): Confinement {
  const missing = (ours ? DEMANDED_OF_OURS : DEMANDED).filter((kind) => !held[kind]);
  if (missing.length === 0) return held;
  const words = missing.map((kind) => (kind === 'cgroup' ? NO_CGROUP : WEAKENINGS[kind])).join('; ');
  throw new Failure<ConfinementCode>('environment', 'jail/not-confined', `jails are not held: ${words}`, {
    hint: 'the kernel of the image must have seccomp filters, and the gate must be started as root',
  });
}
