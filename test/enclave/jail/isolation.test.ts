/** What the processes leave alone, and that they do not outlive their gate. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Computer, JailPaths } from '../../../enclave/jail/gate-side.ts';
import { barePrison } from './bare-prison.ts';
import { bundleEntries, jailEntries, type Entries } from './entries.ts';
import { meansModel, policyFor } from './models.ts';
import { openComputer } from './open-computer.ts';
import { encoded, halves } from './pictures.ts';

let entries: Entries;
beforeAll(async () => {
  entries = await jailEntries();
});
afterAll(() => entries.remove());

const kind = 'image-classification';
const start = (paths: JailPaths): Promise<Computer> =>
  openComputer(paths, {
    kind,
    model: meansModel(),
    policy: policyFor(kind),
  });

async function call(computer: Computer): Promise<void> {
  for (const format of ['jpeg', 'png', 'webp'] as const) {
    const input = await encoded(halves(64, 48), format);
    expect(
      await computer.run([input], { party: 'alice', signal: AbortSignal.timeout(60_000), left: Promise.resolve() }),
    ).toMatchObject({
      labels: [{}, {}, {}],
    });
  }
}

test('after calls, the one socket of each process is its pipe, and no file is open', async () => {
  const computer = await start(entries.paths);
  try {
    await call(computer);
    const openIn = (pid: number): readonly (readonly [string, string])[] =>
      readdirSync(`/proc/${pid}/fd`).map((fd) => [fd, readlinkSync(`/proc/${pid}/fd/${fd}`)] as const);
    const known = /^(socket:|pipe:|anon_inode:|\/dev\/null$)/;
    // One that is still loading has its libraries open, and before that what bubblewrap reads.
    const surplus = (pid: number): readonly (readonly [string, string])[] =>
      openIn(pid).filter(([fd, what]) => !known.test(what) || (what.startsWith('socket:') && fd !== '3'));
    await expect.poll(() => computer.pids().flatMap(surplus), { timeout: 20_000 }).toEqual([]);
    expect(readdirSync(entries.paths.cwd)).toEqual([]);
  } finally {
    await computer.close();
  }
});

/** Where strace stands and may trace; else why not. */
function tracer(): { readonly path: string } | { readonly missing: string } {
  const path = ['/usr/bin/strace', '/bin/strace'].find((candidate) => existsSync(candidate));
  if (path === undefined) return { missing: 'strace is not installed' };
  try {
    execFileSync(path, ['-o', '/dev/null', '/bin/true'], { stdio: 'ignore' });
    return { path };
  } catch {
    return { missing: 'strace may not trace here' };
  }
}

describe('seen by strace', () => {
  const strace = tracer();
  const missing = 'missing' in strace ? strace.missing : '';
  if (missing !== '') process.stderr.write(`skipped: jails seen by strace: ${missing}\n`);

  test.skipIf(missing !== '')('no process opens a socket, writes a file or starts another', async () => {
    // Not in a root of its own, where there is no strace. A stand-in for the Node binary that starts the real one under strace, one log a process.
    const log = join(entries.folder, 'strace');
    const wrapper = join(entries.folder, 'traced-node');
    const traced =
      'socket,connect,bind,listen,sendto,sendmsg,open,openat,openat2,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat2,execve,fork,vfork';
    const path = 'path' in strace ? strace.path : '';
    writeFileSync(
      wrapper,
      `#!/bin/sh\nexec ${path} -f -s 200 -e trace=${traced} -o ${log}.$$ ${process.execPath} "$@"\n`,
    );
    chmodSync(wrapper, 0o755);
    const computer = await start({ ...entries.paths, node: wrapper, prison: barePrison() });
    await call(computer);
    await computer.close();
    const logs = readdirSync(entries.folder).filter((name) => name.startsWith('strace.'));
    // One for the call, spares, and the successors of those that served.
    expect(logs.length).toBeGreaterThanOrEqual(4);
    const traces = logs.map((name) => readFileSync(join(entries.folder, name), 'utf8').split('\n'));
    const lines = traces.flat();
    // The trace saw something, so that seeing nothing else means something.
    expect(lines.some((line) => line.includes('libonnxruntime'))).toBe(true);
    expect(lines.some((line) => line.includes('libvips'))).toBe(true);
    const calls = lines.map((line) => line.replace(/^\d+\s+/, ''));
    const forbidden = calls.filter(
      (line) =>
        /^(socket|connect|bind|listen|sendto|sendmsg|creat|mkdir|mkdirat|unlink|unlinkat|rename|renameat2|fork|vfork)\(/.test(
          line,
        ) ||
        (/^open(at2?)?\(/.test(line) &&
          /O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)/.test(line) &&
          !line.includes('"/dev/null"') &&
          !line.includes('"/proc/self/oom_score_adj"')),
    );
    expect(forbidden).toEqual([]);
    // Each is started once and starts nothing. A successor that was ended before strace had started it left an empty log.
    const starts = traces
      .filter((trace) => trace.some((line) => /^\d+\s+\w+\(/.test(line)))
      .map((trace) => trace.filter((line) => /^\d+\s+execve\(/.test(line)).length);
    expect(starts.length).toBeGreaterThanOrEqual(2);
    expect(starts).toEqual(starts.map(() => 1));
  });
});

describe('when the gate is killed', () => {
  const jailsOf = (folder: string): readonly string[] =>
    readdirSync('/proc').filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return /(decode|compute)\.mjs\0$/.test(command) && command.includes(folder);
      } catch {
        return false;
      }
    });

  test.each(['idle', 'busy'])('its processes end, also %s ones', async (which) => {
    const gates = await jailEntries();
    try {
      await bundleEntries(join(gates.folder, 'gate'), { gate: join(import.meta.dirname, 'gate-process.ts') });
      const { node, decode, compute, cwd } = gates.paths;
      const gate = spawn(node, [join(gates.folder, 'gate', 'gate.mjs'), node, decode, compute, cwd, which], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(gate.stdout, 'data');
      await expect.poll(() => jailsOf(gates.folder).length, { timeout: 30_000 }).toBeGreaterThanOrEqual(2);
      // Time enough for the computing process to be in the middle of its model.
      if (which === 'busy') await new Promise((resolve) => setTimeout(resolve, 2_000));
      gate.kill('SIGKILL');
      await expect.poll(() => jailsOf(gates.folder), { timeout: 20_000 }).toEqual([]);
    } finally {
      gates.remove();
    }
  });
});
