/** The client of S3 asks for no home folder, in which it would read files: the image has none, and Node's is taken away here. */
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { Agent } from 'node:https';
import type * as Os from 'node:os';
import { Duplex } from 'node:stream';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

// Before anything of the SDK is loaded.
const require = createRequire(import.meta.url);
const nativeOs: typeof Os = require('node:os');
const { homedir } = nativeOs;
beforeAll(() => {
  nativeOs.homedir = () => {
    throw new Error('there is no home here');
  };
  syncBuiltinESMExports();
  for (const name of ['HOME', 'AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE', 'AWS_PROFILE']) vi.stubEnv(name, undefined); // prettier-ignore
});
afterAll(() => {
  nativeOs.homedir = homedir;
  syncBuiltinESMExports();
  vi.unstubAllEnvs();
});

test('where there is no home, every request goes out once, to the bucket in its Region', async () => {
  const { createS3 } = await import('../../../enclave/claims/s3.ts');
  const sent: string[] = [];
  const agent = Object.assign(new Agent(), {
    createConnection: ({ host, port }: { host: string; port: number }) =>
      new Duplex({
        read() {},
        write(chunk, _encoding, done) {
          const [method] = /^[A-Z]+ \S+/.exec(String(chunk)) ?? [];
          if (method !== undefined) sent.push(`${host}:${port} ${method}`);
          done(new Error('far enough'));
        },
      }),
  });
  const s3 = createS3({
    trust: 'aws',
    agent,
    clockOffset: () => Promise.resolve(0),
    region: 'eu-west-1',
    bucket: 'alice-anchor',
    account: '111122223333',
    credentials: { accessKeyId: 'AKIAANCHOR', secretAccessKey: 'secret' },
  });
  const signal = new AbortController().signal;
  const unavailable = { code: 's3/unavailable', cause: { message: 'far enough' } };
  await expect(s3.create('k', Uint8Array.of(1), Date.UTC(2031, 1), signal)).rejects.toMatchObject(unavailable);
  await expect(s3.versions('k', signal)).rejects.toMatchObject(unavailable);
  await expect(s3.read('k', undefined, signal)).rejects.toMatchObject(unavailable);
  expect(sent).toEqual([
    expect.stringMatching(/^s3\.eu-west-1\.amazonaws\.com:443 PUT \/alice-anchor\/k/),
    expect.stringMatching(/^s3\.eu-west-1\.amazonaws\.com:443 GET \/alice-anchor\/\?.*versions/),
    expect.stringMatching(/^s3\.eu-west-1\.amazonaws\.com:443 GET \/alice-anchor\/k/),
  ]);
});
