/**
 * Attempts to break out of a jail, by code that runs in one. Each is refused, and each is shown to work where nothing holds
 * the process: an attempt that fails anyway would prove nothing.
 */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FRAME } from '../../enclave/jail/frames.ts';
import { openPrison, type JailSpec, type Prison } from '../../enclave/jail/prison.ts';
import { spawnJail } from '../../enclave/jail/process.ts';
import { isUserOfJails } from '../../enclave/jail/users.ts';
import { barePrison } from '../enclave/jail/bare-prison.ts';
import { bundleEntries } from '../enclave/jail/entries.ts';
import { noOtherUser } from '../other-users.ts';
import { realTimers } from '../enclave/real-timers.ts';
import type { Attempt, SystemCall } from './inmate.ts';

const { EAGAIN, EINVAL, ENOENT, EPERM } = constants.errno;
const F_GETFD = 1;
const O_RDWR = 2;
const O_CREAT = 0x40;
const AT_FDCWD = -100;
const root = process.getuid?.() === 0;
const alone = noOtherUser();
const others = alone === undefined;
if (!others) process.stderr.write(`skipped: jails of users of their own: ${alone}\n`);
/** What a jail that were none would write. */
const written = (where: string): string => join(where, `accord-escape-${process.pid}`);

const folder = mkdtempSync(join(tmpdir(), 'accord-inmate-'));
const spec: JailSpec = {
  node: process.execPath,
  entry: join(folder, 'inmate.mjs'),
  cwd: join(folder, 'empty'),
  env: {},
};
const secret = join(folder, 'policy.json');
/** Nothing holds it: the control. */
const free = barePrison('free');
let prison: Prison;
let withoutNamespaces: Prison;

const FD_CLOEXEC = 1;
let closeInherited = 0;

beforeAll(async () => {
  const libc = koffi.load('libc.so.6');
  const inherited = Number(libc.func('int dup(int fd)')(2));
  chmodSync(folder, 0o755);
  mkdirSync(spec.cwd);
  writeFileSync(secret, 'the policy');
  await bundleEntries(folder, { inmate: join(import.meta.dirname, 'inmate.ts') });
  prison = await openPrison(spec, realTimers);
  closeInherited = Number(libc.func('int fcntl(int fd, int command, int value)')(inherited, F_GETFD, 0));
  withoutNamespaces = await openPrison(spec, realTimers, '/nonexistent/bwrap');
});
afterAll(() => {
  for (const path of [folder, written('/tmp'), written('/dev/shm')]) rmSync(path, { recursive: true, force: true });
});

type Result = 'ended' | number;

async function tryOut(held: Prison, attempt: Attempt): Promise<Result> {
  const jail = spawnJail(spec, held);
  try {
    const body = new TextEncoder().encode(JSON.stringify(attempt));
    const reply = await jail.ask(FRAME.input, [body], { [FRAME.candidates]: 100 });
    return Number(JSON.parse(new TextDecoder().decode(reply.body)).result);
  } catch {
    return 'ended';
  } finally {
    await jail.kill();
  }
}

const call = (number: number, ...given: SystemCall['arguments']): Attempt => ({ call: { number, arguments: given } });
const opened = (path: string, flags: number): Attempt => call(257, AT_FDCWD, path, flags, 0o600);
const gate = process.pid;

/** `free`: what the control must give; by default, that the kernel did it. */
interface Escape {
  readonly name: string;
  readonly attempt: Attempt;
  readonly held: Result;
  readonly free?: (result: Result) => boolean;
}

const done = (result: Result): boolean => typeof result === 'number' && result >= 0;
/** Whatever the kernel said of these arguments: the call reached it. */
const answered = (result: Result): boolean => typeof result === 'number';
const escape = (name: string, attempt: Attempt, held: Result, control: Escape['free'] = done): Escape => ({
  name,
  attempt,
  held,
  free: control,
});

const ESCAPES: readonly Escape[] = [
  escape('open an IPv4 socket', call(41, 2, 1, 0), 'ended'),
  escape('open an IPv6 socket', call(41, 10, 1, 0), 'ended', answered),
  escape('open a unix socket', call(41, 1, 1, 0), 'ended'),
  escape('open a netlink socket', call(41, 16, 3, 0), 'ended'),
  escape('open a packet socket', call(41, 17, 3, 0), 'ended', answered),
  escape('open a vsock socket', call(41, 40, 1, 0), 'ended', answered),
  escape('make a pair of sockets', call(53, 1, 1, 0, { buffer: 8 }), 'ended'),
  escape('hand a descriptor over the pipe', call(46, 3, { buffer: 64 }, 0), 'ended', answered),
  escape("open the gate's memory", opened(`/proc/${gate}/mem`, 0), -ENOENT, root ? done : answered),
  escape("read the gate's memory", call(310, gate, { buffer: 16 }, 1, { buffer: 16 }, 1, 0), 'ended', answered),
  escape("read the gate's environment", opened(`/proc/${gate}/environ`, 0), -ENOENT),
  escape('read the policy', opened(secret, 0), -ENOENT),
  escape('read the users of the machine', opened('/etc/passwd', 0), -ENOENT),
  escape('read its own program', opened(spec.entry, 0), -ENOENT),
  escape('reach a device', opened('/dev/null', O_RDWR), -ENOENT),
  escape('write to /tmp', opened(written('/tmp'), O_RDWR | O_CREAT), -ENOENT),
  escape('write to shared memory', opened(written('/dev/shm'), O_RDWR | O_CREAT), -ENOENT),
  escape('write to its own program', opened(spec.entry, O_RDWR), -ENOENT),
  escape('write to a file in memory', call(319, 'name', 0), 'ended'),
  escape('signal the gate', call(62, gate, 0), 'ended'),
  escape('signal a thread of the gate', call(234, gate, gate, 0), 'ended'),
  escape('signal everybody', call(62, -1, 0), 'ended', answered),
  escape('trace the gate', call(101, 0x4206, gate, 0, 0), 'ended', answered),
  escape('hold the gate by a descriptor', call(434, gate, 0), 'ended'),
  escape('fork', { fork: { number: 57, arguments: [] } }, 'ended'),
  escape('fork by clone', { fork: { number: 56, arguments: [17, 0, 0, 0, 0] } }, 'ended'),
  escape('run a program', call(59, '/nonexistent', 0, 0), 'ended', (result) => result === -ENOENT),
  escape('take 768 MiB of memory', { fill: 768 * 2 ** 20 }, 'ended'),
  escape('take 6 s of processor time', { spinMs: 6_000 }, 'ended'),
  escape('copy a descriptor', call(32, 0), -EPERM),
  escape('make a pipe', call(293, { buffer: 8 }, 0), -EPERM),
  escape('raise a limit of its own', call(302, 0, 7, { buffer: 16 }, 0), 'ended'),
  escape("read the gate's limits", call(302, gate, 7, 0, { buffer: 16 }), 'ended'),
  escape('leave its session', call(112), 'ended', answered),
  escape('make namespaces', call(272, 0x400), 'ended'),
  escape('enter a namespace', call(308, 3, 0), 'ended', answered),
  escape('mount', call(165, 'none', '/nonexistent', 'tmpfs', 0, 0), 'ended', answered),
  escape('change its root', call(161, '/nonexistent'), 'ended', answered),
  escape('become root', call(105, 0), 'ended', answered),
  escape('use io_uring', call(425, 1, { buffer: 128 }), 'ended', answered),
  escape('load a program into the kernel', call(321, 0, { buffer: 128 }, 48), 'ended', answered),
  escape("use the kernel's keys", call(250, 0, -3, 0), 'ended', answered),
  escape('handle page faults', call(323, 0), 'ended', answered),
  escape('count events', call(298, { buffer: 128 }, 0, -1, -1, 0), 'ended', answered),
  escape('lift the filter', call(317, 2, 0, { buffer: 8 }), 'ended', answered),
  escape('be dumpable again', call(157, 4, 1, 0, 0, 0), -EPERM),
  escape('outlive the gate', call(157, 1, 0, 0, 0, 0), -EPERM),
  escape('wake who waits elsewhere', call(202, { buffer: 128 }, 1, 1), -EAGAIN),
  escape('have pages merged with those of others', call(28, 0, 0, 12), -EINVAL),
  escape("count the gate's threads", call(262, -100, `/proc/${gate}/task`, { buffer: 256 }, 0x1000), -ENOENT),
  escape("read the gate's processor time", call(228, ~gate * 8 + 2, { buffer: 128 }), -EINVAL),
  escape("measure the clock of the gate's processor time", call(229, ~gate * 8 + 2, { buffer: 128 }), -EINVAL),
  escape('sleep until the gate has computed', call(230, ~gate * 8 + 2, 0, { buffer: 128 }, 0), -EINVAL, answered),
  escape("ask for the gate's processors", call(204, gate, 128, { buffer: 128 }), -EPERM),
  escape('call by the numbers of x32', call(0x40000000 + 39), 'ended', answered),
];

test('this machine holds jails by everything that it has', () => {
  expect(prison.confinement).toMatchObject({ user: others, seccomp: true, limits: true });
  expect(withoutNamespaces.confinement).toMatchObject({ user: others, namespaces: false, seccomp: true, limits: true });
  if (!prison.confinement.namespaces) process.stderr.write('skipped: namespaces: bubblewrap does not work here\n');
});

describe('code in a jail cannot', () => {
  test.each(ESCAPES)(
    '$name',
    async ({ attempt, held, free: control = done }) => {
      const outcome = await tryOut(free, attempt);
      expect(control(outcome), `the control gave ${outcome}`).toBe(true);
      expect(await tryOut(prison, attempt)).toBe(held);
      if (prison.confinement.namespaces) expect(await tryOut(withoutNamespaces, attempt)).toBe(held);
    },
    240_000,
  );
});

test('two jails do not meet on a page that both map', async () => {
  const meeting = (held: Prison): Promise<readonly Result[]> =>
    Promise.all([tryOut(held, { meet: 'wait' }), tryOut(held, { meet: 'wake' })]);
  expect(await meeting(free)).toEqual([0, 1]);
  for (const held of [prison, withoutNamespaces]) expect(await meeting(held)).toEqual([-EAGAIN, -EAGAIN]);
});

/** Number and kind of each, but for what Node makes itself. */
function openedBy(pid: number): readonly (readonly [fd: string, what: string])[] {
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => [fd, readlinkSync(`/proc/${pid}/fd/${fd}`)] as const);
  return open.filter(([, what]) => !/^(anon_inode:\[event(poll|fd)\]|pipe:\[\d+\])$/.test(what));
}

test.each([
  ['with what this machine has', () => prison],
  ['without namespaces', () => withoutNamespaces],
])('a jail has its pipe open, and else nothing that it did not make itself: %s', async (_, held) => {
  // Open in the gate, and not marked as Node marks its own.
  expect(closeInherited).toBe(FD_CLOEXEC);
  const jail = spawnJail(spec, held());
  try {
    const body = new TextEncoder().encode(JSON.stringify(call(39)));
    await jail.ask(FRAME.input, [body], { [FRAME.candidates]: 100 });
    if (root)
      expect(openedBy(jail.pid)).toEqual([
        ['0', '/dev/null'],
        ['1', '/dev/null'],
        ['2', '/dev/null'],
        ['3', expect.stringMatching(/^socket:/)],
      ]);
    else process.stderr.write('skipped: descriptors of a jail: they are shown to root alone\n');
    const status = readFileSync(`/proc/${jail.pid}/status`, 'utf8');
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    if (others) expect(status).toMatch(/^CapEff:\s+0+$/m);
    const limits = readFileSync(`/proc/${jail.pid}/limits`, 'utf8');
    if (others || held().confinement.namespaces) expect(limits).toMatch(/^Max processes\s+64\s+64\s/m);
  } finally {
    await jail.kill();
  }
});

test.runIf(others)('no two jails are of one user: what one takes counts towards no other', async () => {
  const jails = [prison, prison, prison].map((held) => spawnJail(spec, held));
  try {
    const body = new TextEncoder().encode(JSON.stringify(call(39)));
    await Promise.all(jails.map((jail) => jail.ask(FRAME.input, [body], { [FRAME.candidates]: 100 })));
    const users = jails.map(({ pid }) => /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    expect(new Set(users).size).toBe(3);
    expect(users.every((user) => isUserOfJails(Number(user)))).toBe(true);
  } finally {
    await Promise.all(jails.map((jail) => jail.kill()));
  }
});

test('a jail that aborts ends, and a jail that does nothing lives', async () => {
  expect(await tryOut(prison, { abort: true })).toBe('ended');
  expect(await tryOut(prison, call(39))).toEqual(prison.confinement.namespaces ? 1 : expect.any(Number));
});
