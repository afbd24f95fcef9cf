/** Jails and the process that is their gate: none outlives it, however suddenly it goes; and one that may do little has jails too. */
import { spawn, spawnSync } from 'node:child_process';
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
const gateOf = (bwrap: string, attempt: string): readonly string[] => [
  join(folder, 'gate.mjs'),
  entry,
  empty,
  bwrap,
  attempt,
];

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
  ['that rests', '/usr/bin/bwrap', 'rest'],
  ['that waits, without bubblewrap', '/nonexistent', ''],
  ['that rests, without bubblewrap', '/nonexistent', 'rest'],
  ['that computes, without bubblewrap', '/nonexistent', '{"spinMs":1000000}'],
])('a jail %s', async (_, bwrap, attempt) => {
  const gate = spawn(process.execPath, gateOf(bwrap, attempt), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(gate.stdout, 'data');
  expect(jails().length).toBeGreaterThan(0);
  gate.kill('SIGKILL');
  await expect.poll(jails, { timeout: 3_000 }).toEqual([]);
});

const alone = ['--user', '--map-root-user'];
const canBeAlone = spawnSync('unshare', [...alone, 'true']).status === 0;
if (!canBeAlone) process.stderr.write('skipped: a root without other users: no user namespace can be made here\n');

test.skipIf(!canBeAlone)('a root whom the kernel lets be no other user has jails of its own user', async () => {
  const gate = spawn('unshare', [...alone, process.execPath, ...gateOf('/nonexistent', '')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await once(gate.stdout, 'data');
  gate.kill('SIGKILL');
  expect(JSON.parse(String(said))).toMatchObject({ user: false, namespaces: false, seccomp: true, limits: true });
  await expect.poll(jails, { timeout: 3_000 }).toEqual([]);
});
