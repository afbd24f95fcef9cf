/**
 * The client of KMS takes nothing from the environment, from files or from the machine's idea of who runs it: the image has
 * no home folder and no list of users, and what would be found there, the policy did not say.
 */
import { Agent } from 'node:https';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import type * as Os from 'node:os';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

/** What the SDK looks for where it is not told, each with a value that would show. */
const MISLEADING = {
  AWS_REGION: 'us-east-1',
  AWS_ENDPOINT_URL: 'https://evil.test',
  AWS_ENDPOINT_URL_KMS: 'https://evil.test',
  AWS_MAX_ATTEMPTS: '5',
  AWS_RETRY_MODE: 'adaptive',
  AWS_DEFAULTS_MODE: 'mobile',
  AWS_USE_DUALSTACK_ENDPOINT: 'true',
  AWS_USE_FIPS_ENDPOINT: 'true',
  AWS_DISABLE_CLOCK_SKEW_CORRECTION: 'true',
  AWS_AUTH_SCHEME_PREFERENCE: 'sigv4a',
  AWS_SDK_UA_APP_ID: 'seen-in-the-user-agent',
  AWS_ACCESS_KEY_ID: 'AKIDENVIRONMENT',
  AWS_SECRET_ACCESS_KEY: 'environment',
  HTTPS_PROXY: 'http://evil.test',
} as const;
const HOUR_MS = 3_600_000;

// Before anything of the SDK is loaded: where it asks for a home folder, it fails as it does in the image.
const nativeOs: typeof Os = createRequire(import.meta.url)('node:os');
const homedir = nativeOs.homedir;
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

/** The requests' lines and headers, as they would go out. */
async function requestsOf(clockOffset: number): Promise<readonly string[]> {
  const { createKms } = await import('../../../enclave/kms/client.ts');
  const { Duplex } = await import('node:stream');
  const sent: string[] = [];
  const agent = Object.assign(new Agent(), {
    createConnection: ({ host, port }: { host: string; port: number }) => {
      let text = '';
      return new Duplex({
        read() {},
        write(chunk, _encoding, done) {
          text += String(chunk);
          if (text.includes('\r\n\r\n')) {
            sent.push(`${host}:${port}\n${text}`);
            text = '';
          }
          done(new Error('far enough'));
        },
      });
    },
  });
  const kms = createKms({ trust: 'aws', agent, clockOffset: async () => clockOffset });
  const request = {
    keyArn: 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001',
    ciphertext: Uint8Array.of(1),
    context: {},
    credentials: { accessKeyId: 'AKIDSESSION', secretAccessKey: 'wJalr', sessionToken: 'token' },
    attestation: Uint8Array.of(1),
  };
  const failing = kms.decrypt(request, new AbortController().signal);
  await expect(failing).rejects.toMatchObject({ code: 'kms/unavailable', cause: { message: 'far enough' } });
  return sent;
}

test.each([
  ['in an empty environment', {}],
  ['whatever the environment says', MISLEADING],
])('%s, and where there is no home: endpoint, credentials and time are those that were given', async (_, variables) => {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  const before = Date.now();
  const sent = await requestsOf(HOUR_MS);
  expect(sent.length).toBeGreaterThan(0);
  expect(sent.length).toBeLessThanOrEqual(2);
  for (const text of sent) {
    expect(text).toMatch(/^kms\.eu-west-1\.amazonaws\.com:443\nPOST \/ HTTP\/1\.1\r\n/);
    expect(text).toMatch(/AWS4-HMAC-SHA256 Credential=AKIDSESSION\/\d{8}\/eu-west-1\/kms\/aws4_request/);
    expect(text).not.toMatch(/evil|seen-in-the-user-agent|ENVIRONMENT/);
    const [, date = ''] = /x-amz-date: (\S+)/i.exec(text) ?? [];
    const [, y, mo, d, h, mi, s] = (/^(....)(..)(..)T(..)(..)(..)Z$/.exec(date) ?? []).map(Number);
    const signed = Date.UTC(y ?? 0, (mo ?? 0) - 1, d, h, mi, s);
    expect(Math.abs(signed - before - HOUR_MS)).toBeLessThan(60_000);
  }
});
