import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
    stdin: async () => new Uint8Array(),
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
