/** What the gate holds a jail with, it holds the jail's own process with, however late the gate comes to it. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import type * as Os from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { FRAME } from '../../enclave/jail/frames.ts';
import { openPrison, type JailSpec, type Prison } from '../../enclave/jail/prison.ts';
import { spawnJail } from '../../enclave/jail/process.ts';
import { bundleEntries } from '../enclave/jail/entries.ts';
import { realTimers } from '../enclave/real-timers.ts';

const GETPID = 39;
/** Bubblewrap has long begun the jail's process by then, if it may. */
const BUSY_MS = 300;

vi.mock('node:os', async (load) => {
  const real = await load<typeof Os>();
  return {
    ...real,
    setPriority: (pid: number, priority: number) => {
      const until = performance.now() + BUSY_MS;
      while (performance.now() < until);
      real.setPriority(pid, priority);
    },
  };
});

const folder = mkdtempSync(join(tmpdir(), 'accord-held-'));
const spec: JailSpec = {
  node: process.execPath,
  entry: join(folder, 'inmate.mjs'),
  cwd: join(folder, 'empty'),
  env: {},
};
let prison: Prison;

beforeAll(async () => {
  chmodSync(folder, 0o755);
  mkdirSync(spec.cwd);
  await bundleEntries(folder, { inmate: join(import.meta.dirname, 'inmate.ts') });
  prison = await openPrison(spec, realTimers);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a gate that is busy when it starts a jail holds it all the same', async () => {
  const jail = spawnJail(spec, prison);
  try {
    const body = new TextEncoder().encode(JSON.stringify({ call: { number: GETPID, arguments: [] } }));
    await jail.ask(FRAME.input, [body], { [FRAME.candidates]: 100 });
    expect(getPriority(jail.pid)).toBe(10);
    expect(readFileSync(`/proc/${jail.pid}/oom_score_adj`, 'utf8').trim()).toBe('1000');
    const share = `/proc/${jail.pid}/autogroup`;
    if (existsSync(share)) expect(readFileSync(share, 'utf8')).toMatch(/ nice 10\n$/);
    else process.stderr.write('skipped: the share of a session: this kernel gives sessions none\n');
  } finally {
    await jail.kill();
  }
});
