import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dispatch } from '../../../orchestrator/cli/dispatch.ts';
import { VERBS } from '../../../orchestrator/cli/table.ts';
import { startLocalAws } from '../../../orchestrator/local/aws.ts';
import type { LocalAws } from '../../../orchestrator/local/aws.ts';
import { VERSION } from '../../../build/version.ts';

let folder: string;
let aws: LocalAws;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-up-'));
  aws = await startLocalAws({ dataDir: join(folder, 'aws') });
});
afterAll(async () => {
  await aws.close();
  await rm(folder, { recursive: true, force: true });
});

/** With standard input at its end: what starts, stops again. */
async function up(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  let [out, err] = ['', ''];
  const io = {
    out: (part: string) => void (out += part),
    err: (part: string) => void (err += part),
    env,
    cwd: folder,
    signal: new AbortController().signal,
    interactive: false,
    stdin: () => Readable.from([]),
  };
  const code = await dispatch(['up', '--port', '0', '--until-eof', ...argv], io, { version: VERSION, verbs: VERBS });
  return { code, out, err };
}

describe('accord up --host', () => {
  it.each([
    [['--host', 'moon'], /--host takes local, qemu, nitro, not "moon"/],
    [[], /--local-aws is missing: the local host needs/],
    [['--host', 'qemu'], /--local-aws is missing: the qemu host needs/],
    [['--host', 'nitro', '--local-aws', 'aws'], /--local-aws goes with --host local or qemu, not with --host nitro/],
    [['--host', 'nitro', '--run-dir', 'run'], /--run-dir goes with --host local or qemu/],
    [['--local-aws', 'aws', '--engine', 'docker'], /--engine goes with --host qemu or nitro, not with --host local/],
    [['--local-aws', 'aws', '--base', 'x'], /--base goes with/],
    [['--local-aws', 'aws', '--blobs', 'x'], /--blobs goes with/],
    [['--local-aws', 'aws', '--debug'], /--debug goes with --host nitro/],
    [['--host', 'nitro', '--engine', 'kaniko'], /--engine takes docker, buildah, podman, not "kaniko"/],
    [['--local-aws', 'aws', '--port', 'x'], /^accord: --port takes a whole number from 0 to 65535, not "x"/],
  ])('%j is called wrongly', async (argv, message) => {
    expect(await up(argv)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) });
  });

  it('local is what it is without it, and is said', async () => {
    const served = await up(['--local-aws', 'aws', '--data', 'local', '--json']);
    expect(served, served.err).toMatchObject({ code: 0, err: expect.stringContaining('on the local host') });
    expect(JSON.parse(served.out)).toMatchObject({ host: 'local', pid: process.pid });
  });

  it('qemu, where it is not set up, fails at once with the command that does it', async () => {
    const env = { ACCORD_LOCAL_AWS: 'aws', XDG_CACHE_HOME: join(folder, 'cache') };
    expect(await up(['--host', 'qemu', '--data', 'qemu'], env)).toMatchObject({
      code: 40,
      out: '',
      err: expect.stringMatching(/QEMU is not set up[^]*npm run setup:qemu/),
    });
  });

  it.skipIf(existsSync('/dev/nitro_enclaves'))(
    'nitro, where there are no enclaves, fails at once with the setting that is missing',
    async () => {
      expect(await up(['--host', 'nitro', '--data', 'nitro'], { ACCORD_LOCAL_AWS: 'aws' })).toMatchObject({
        code: 40,
        out: '',
        err: expect.stringMatching(/this machine has no Nitro Enclaves[^]*--enclave-options Enabled=true/),
      });
    },
  );
});

describe('accord up, where the local AWS of the folder does not run', () => {
  it('says so and serves: it may be started yet', async () => {
    const ended = await startLocalAws({ dataDir: join(folder, 'ended') });
    await ended.close();
    const { code, err } = await up(['--local-aws', 'ended', '--data', 'without-aws']);
    expect({ code, err }).toEqual({
      code: 0,
      err: expect.stringMatching(
        /warning: the local AWS of \S+ended does not run \(nothing answers at 127\.0\.0\.1:\d+\)/,
      ),
    });
    expect((await up(['--local-aws', 'aws', '--data', 'with-aws'])).err).not.toContain('does not run');
  });
});

describe('accord up that fails', () => {
  const env = { XDG_CACHE_HOME: '/nowhere' };

  it('leaves no folder that was not there before, and every one that was', async () => {
    await mkdir(join(folder, 'mine'));
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const taken = typeof address === 'object' ? String(address?.port) : '';
    const before = (await readdir(folder)).toSorted();
    for (const data of ['fresh', 'above/below/fresh', 'mine/fresh']) {
      for (const [argv, code] of [
        [['--local-aws', 'nowhere'], 'orchestrator/no-local-aws'],
        [['--local-aws', 'aws', '--port', taken], 'orchestrator/port-in-use'],
        [['--local-aws', 'aws', '--host', 'qemu'], 'host/'],
      ] as const) {
        const failed = await up([...argv, '--data', data], env);
        expect(failed).toMatchObject({ code: 40, err: expect.stringContaining(code) });
        expect((await readdir(folder)).toSorted(), failed.err).toEqual(before);
        expect(await readdir(join(folder, 'mine'))).toEqual([]);
      }
    }
    const localAws = startLocalAws({ dataDir: join(folder, 'fresh'), port: Number(taken) });
    await expect(localAws).rejects.toMatchObject({ kind: 'environment' });
    expect((await readdir(folder)).toSorted()).toEqual(before);
    expect((await up(['--local-aws', 'nowhere', '--data', 'mine'])).code).toBe(40);
    expect(await readdir(folder)).toContain('mine');
    server.close();
  });
});
