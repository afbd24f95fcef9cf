/** Engines that are not there, or that say no: each told with what, where and what to do. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findEngine } from '../../../build/engine/engine.ts';
import type { Engine, EngineName } from '../../../build/engine/engine.ts';
import { ENGINES } from '../../../build/engine/engines.ts';

let work = '';
let runs = 0;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'accord-engines-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

/** A folder of programs that are shell scripts, as the whole PATH but for the shell's own tools. */
async function programs(scripts: Readonly<Record<string, string>>, mode = 0o755): Promise<string> {
  const folder = join(work, `bin-${runs++}`);
  await mkdir(folder);
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, name), mode);
  }
  return folder;
}

async function find(scripts: Readonly<Record<string, string>>, name?: EngineName): Promise<Engine> {
  const PATH = await programs(scripts);
  return findEngine(ENGINES, name, { env: { PATH }, storage: join(work, 'engines') });
}

const says = (text: string, code = 1): string => `echo '${text}' >&2; exit ${code}`;
const DAEMON_DOWN = 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?';
const DENIED =
  'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.24/version": dial unix /var/run/docker.sock: connect: permission denied';
const WORKING = 'case "$*" in *--version*) echo "buildah version 1.28.2 (image-spec 1.1)";; esac';

describe('finding an engine', () => {
  test('none at all is told with what to install', async () => {
    await expect(find({})).rejects.toMatchObject({
      code: 'engine/absent',
      kind: 'environment',
      where: '--engine',
      message: expect.stringContaining('none of docker, buildah and podman is installed'),
      hint: expect.stringContaining('apt-get install buildah'),
    });
  });

  test.each(['docker', 'buildah', 'podman'] as const)('%s, asked for by name and absent, is named', async (name) => {
    await expect(find({}, name)).rejects.toMatchObject({
      code: 'engine/absent',
      message: `${name} is not installed`,
      hint: expect.stringContaining('--engine'),
    });
  });

  test('a program that this user may not start is told so', async () => {
    if (process.getuid?.() === 0) {
      // Even root may start only what anybody may.
      const PATH = await programs({ docker: 'exit 0' }, 0o644);
      await expect(findEngine(ENGINES, 'docker', { env: { PATH }, storage: work })).rejects.toMatchObject({
        code: 'engine/denied',
        message: 'this user may not start docker',
      });
    }
  });

  test.each([
    ['a daemon that does not run', DAEMON_DOWN, 'engine/not-running', /systemctl start docker/],
    ['a socket that is not for this user', DENIED, 'engine/denied', /group "docker"/],
    ['anything else', 'segmentation fault', 'engine/failed', /another engine/],
  ])('docker with %s is told', async (_what, text, code, hint) => {
    await expect(find({ docker: says(text) }, 'docker')).rejects.toMatchObject({
      code,
      kind: 'environment',
      message: expect.stringContaining(text.slice(0, 40)),
      hint: expect.stringMatching(hint),
    });
  });

  test.each(['buildah', 'podman'] as const)('%s without user namespaces is told', async (name) => {
    const script = `case "$*" in *--version*) echo "${name} version 1.28";; *) ${says('cannot clone: Operation not permitted', 125)};; esac`;
    await expect(find({ [name]: script }, name)).rejects.toMatchObject({
      code: 'engine/denied',
      hint: expect.stringContaining('uidmap'),
    });
  });

  test('without a name takes the first that works', async () => {
    const engine = await find({ docker: says(DAEMON_DOWN), buildah: WORKING });
    expect([engine.name, engine.version]).toEqual(['buildah', '1.28.2']);
    await engine.close();
  });

  test('without a name says of each one that is there why not', async () => {
    const why = find({ docker: says(DAEMON_DOWN), podman: says('newuidmap: not found', 125) });
    await expect(why).rejects.toMatchObject({
      code: 'engine/absent',
      message: expect.stringMatching(/daemon does not answer.*podman may not make/s),
    });
  });

  test('a single one that is there gives its own reason', async () => {
    await expect(find({ docker: says(DENIED) })).rejects.toMatchObject({ code: 'engine/denied' });
  });
});

describe('a build', () => {
  const request = {
    context: '/nowhere',
    buildArguments: { ACCORD_POLICY: 'p' },
    tag: 't',
    onLine: () => {},
    signal: undefined,
  };
  const docker = (script: string): Promise<Engine> =>
    find({ docker: `case "$1" in version) echo 20.10;; *) ${script};; esac` }, 'docker');

  test.each([
    ['full disk', 'write /var/lib/docker/x: no space left on device', 'disk/full', /free some space/],
    [
      'registry that is not reached',
      'Get "https://registry-1.docker.io/v2/": dial tcp: lookup failed',
      'engine/base',
      /docker login/,
    ],
    ['base that is not there', 'manifest unknown: manifest unknown', 'engine/base', /without --base/],
    ['step that fails', 'COPY failed: file not found in build context', 'engine/failed', /lines above/],
  ])('with a %s is told', async (_what, text, code, hint) => {
    const engine = await docker(says(text));
    await expect(engine.build(request)).rejects.toMatchObject({
      code,
      kind: 'environment',
      message: expect.stringContaining(text.slice(0, 30)),
      hint: expect.stringMatching(hint),
    });
  });

  test('hands the policy over where other users do not see it', async () => {
    const seen = join(work, 'seen');
    const engine = await docker(`echo "$*" > ${seen}.args; echo "$ACCORD_POLICY" > ${seen}.env; exit 1`);
    await expect(engine.build({ ...request, buildArguments: { ACCORD_POLICY: 'the policy' } })).rejects.toThrow();
    const { readFile } = await import('node:fs/promises');
    expect(await readFile(`${seen}.args`, 'utf8')).toMatch(/--build-arg ACCORD_POLICY /);
    expect(await readFile(`${seen}.args`, 'utf8')).not.toContain('the policy');
    expect(await readFile(`${seen}.env`, 'utf8')).toBe('the policy\n');
  });

  test('that is interrupted ends with all that it started', async () => {
    const pids = join(work, 'pids');
    const engine = await docker(`/bin/sleep 1000 & echo $! > ${pids}; echo "Step 1/2"; wait`);
    const stop = new AbortController();
    const building = engine.build({
      ...request,
      signal: stop.signal,
      onLine: () => stop.abort(new Error('interrupted')),
    });
    await expect(building).rejects.toThrow('interrupted');
    const { readFile } = await import('node:fs/promises');
    const pid = Number(await readFile(pids, 'utf8'));
    for (let i = 0; i < 50 && alive(pid); i++) await pause(100);
    expect(alive(pid)).toBe(false);
  });

  test('that does not end when asked is ended', async () => {
    const engine = await docker(`trap "" TERM; echo "Step 1/2"; while :; do /bin/sleep 0.1; done`);
    const stop = new AbortController();
    const started = performance.now();
    const building = engine.build({
      ...request,
      signal: stop.signal,
      onLine: () => stop.abort(new Error('interrupted')),
    });
    await expect(building).rejects.toThrow('interrupted');
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  test('before which it was interrupted does not begin', async () => {
    const engine = await docker(`echo started > ${work}/begun`);
    const signal = AbortSignal.abort(new Error('interrupted'));
    await expect(engine.build({ ...request, signal })).rejects.toThrow('interrupted');
    const { stat } = await import('node:fs/promises');
    await expect(stat(join(work, 'begun'))).rejects.toThrow('ENOENT');
  });
});

describe('reading an image back', () => {
  const docker = (script: string): Promise<Engine> =>
    find({ docker: `case "$1" in version) echo 20.10;; *) ${script};; esac` }, 'docker');
  const drain = async (output: AsyncIterable<unknown>): Promise<void> => {
    for await (const _ of output);
  };

  test('from an engine that breaks off tells what the engine said, not what the reader missed', async () => {
    const engine = await docker(`echo half; ${says('open /var/lib/docker/x: no space left on device')}`);
    const reader = async (output: AsyncIterable<unknown>): Promise<void> => {
      await drain(output);
      throw new Error('the archive ends early');
    };
    await expect(engine.save('id', reader)).rejects.toMatchObject({ code: 'disk/full' });
  });

  test('that the reader refuses ends the engine, and tells why it was refused', async () => {
    const engine = await docker('while echo more; do :; done');
    const reader = async (output: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of output) throw new Error('refused');
    };
    await expect(engine.save('id', reader)).rejects.toThrow('refused');
  });

  test.each(['', '{', '[]', '[{"Os":"linux"}]', '[{"Os":1,"Architecture":"amd64","RootFS":{"Layers":["x"]}}]'])(
    'what is no description (%s) is refused',
    async (text) => {
      const engine = await docker(`echo '${text}'`);
      await expect(engine.inspect('id')).rejects.toMatchObject({ code: 'image/unreadable', kind: 'malformed' });
    },
  );
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
