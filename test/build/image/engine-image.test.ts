/** The configuration that an engine gave an image, compared with the one that was asked for. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  demandAsAsked,
  parseBuildahImage,
  parseConfigFile,
  parseDockerImage,
} from '../../../build/image/engine-image.ts';
import { NITRO_COMMAND } from '../../../build/image/nitro-image.ts';

const POLICY = '{"collaboration":"x","note":"a $b ${C} \\n \\" \' é"}';
const COMMAND = ['/usr/bin/node', '/accord/gate.mjs'];
const asked = { environment: { ACCORD_POLICY: POLICY }, command: COMMAND };
const LAYERS = [`sha256:${'a'.repeat(64)}`];
const config = { Env: ['PATH=/usr/local/sbin:/usr/bin', `ACCORD_POLICY=${POLICY}`], Entrypoint: COMMAND };
const oci = (change: object = {}, platform: object = {}) =>
  JSON.stringify({
    os: 'linux',
    architecture: 'amd64',
    ...platform,
    rootfs: { diff_ids: LAYERS },
    config: { ...config, ...change },
  });

describe('an image as asked', () => {
  test('is let through, whoever describes it', () => {
    const docker = JSON.stringify([{ Os: 'linux', Architecture: 'amd64', RootFS: { Layers: LAYERS }, Config: config }]);
    for (const image of [parseConfigFile(oci()), parseDockerImage(docker), parseBuildahImage(`{"OCIv1":${oci()}}`)]) {
      demandAsAsked(image, asked);
      expect(image.diffIds).toEqual(LAYERS);
    }
  });

  test('may have no PATH, the command in either place, and labels of the engine', () => {
    const [, policy] = config.Env;
    demandAsAsked(parseConfigFile(oci({ Env: [policy], Entrypoint: null, Cmd: COMMAND, Labels: { a: 'b' } })), asked);
  });
});

describe('an image is refused', () => {
  test.each([
    ['with the policy of another collaboration', { Env: ['ACCORD_POLICY={}'] }, 'ACCORD_POLICY'],
    ['without a policy', { Env: [] }, 'ACCORD_POLICY'],
    ['with one character of the policy lost', { Env: [`ACCORD_POLICY=${POLICY.replace('$b', '')}`] }, 'ACCORD_POLICY'],
    ['with a variable more', { Env: [...config.Env, 'NODE_OPTIONS=--require /tmp/x'] }, 'env'],
    ['with a loader that is told what to load', { Env: [...config.Env, 'LD_PRELOAD=/x.so'] }, 'env'],
    ['with the policy twice', { Env: [...config.Env, config.Env[1]] }, 'env'],
    ['with a second policy', { Env: [...config.Env, 'ACCORD_POLICY={}'] }, 'env'],
    ['that starts something else', { Entrypoint: ['/bin/sh'] }, 'cmd'],
    ['that starts it with an argument more', { Cmd: ['--inspect'] }, 'cmd'],
    ['that runs as another user', { User: '1000' }, 'user'],
    ['that runs elsewhere', { WorkingDir: '/tmp' }, 'workdir'],
    ['with a volume', { Volumes: { '/data': {} } }, 'Volumes'],
    ['with a trigger', { OnBuild: ['RUN x'] }, 'OnBuild'],
  ])('%s', (_what, change, where) => {
    expect(() => demandAsAsked(parseConfigFile(oci(change)), asked)).toThrow(
      expect.objectContaining({ code: 'image/not-as-asked', kind: 'refused', where }),
    );
  });

  test.each([{ architecture: 'arm64' }, { os: 'windows' }])('for another platform: %o', (platform) => {
    expect(() => demandAsAsked(parseConfigFile(oci({}, platform)), asked)).toThrow(
      expect.objectContaining({ code: 'image/not-as-asked', where: 'architecture' }),
    );
  });
});

test('the Dockerfile starts what is asked for: else no engine would build an image that is let through', () => {
  const dockerfile = readFileSync(join(import.meta.dirname, '../../../build/Dockerfile'), 'utf8');
  const entryPoint: unknown = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? 'null');
  expect(entryPoint).toEqual(NITRO_COMMAND);
});
