/** No jail outlives its gate, however suddenly it goes and whatever the jail is doing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundleEntries } from '../enclave/jail/entries.ts';

const folder = mkdtempSync(join(tmpdir(), 'accord-orphans-'));
const empty = join(folder, 'empty');
const entry = join(folder, 'inmate.mjs');

beforeAll(async () => {
  chmodSync(folder, 0o755);
  mkdirSync(empty);
  const here = import.meta.dirname;
  await bundleEntries(folder, { inmate: join(here, 'inmate.ts'), gate: join(here, 'gate-process.ts') });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Processes, but the gate, that were started with the program: bubblewrap's too. */
const jails = (): readonly string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return false;
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return command.includes(entry) && !command.includes('gate.mjs');
    } catch {
      return false;
    }
  });

test.each([
  ['that waits', '/usr/bin/bwrap', ''],
  ['that computes', '/usr/bin/bwrap', '{"spinMs":1000000}'],
  ['that waits, without bubblewrap', '/nonexistent', ''],
  ['that computes, without bubblewrap', '/nonexistent', '{"spinMs":1000000}'],
])('a jail %s', async (_, bwrap, attempt) => {
  const gate = spawn(process.execPath, [join(folder, 'gate.mjs'), entry, empty, bwrap, attempt], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(gate.stdout, 'data');
  expect(jails().length).toBeGreaterThan(0);
  gate.kill('SIGKILL');
  await expect.poll(jails, { timeout: 3_000 }).toEqual([]);
});
