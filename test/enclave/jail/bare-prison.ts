/** Jails as plain child processes of the test's own user: what they do to themselves holds them, and nothing else. */
import { spawn } from 'node:child_process';
import type { Prison } from '../../../enclave/jail/prison.ts';

/** `mode`: further arguments of the jail's program. */
export const barePrison = (...mode: readonly string[]): Prison => ({
  confinement: { user: false, namespaces: false, seccomp: mode.length === 0, limits: mode.length === 0, cgroup: false },
  start: ({ node, entry, cwd, env }) =>
    spawn(node, ['--disallow-code-generation-from-strings', '--max-old-space-size=256', entry, ...mode], {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    }),
});
