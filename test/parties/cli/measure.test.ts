/** `accord measure` of signed images: who signed, and what it says where the signature is not of the image. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { signatureSection } from '../../../build/eif/sign.ts';
import { measureEif } from '../../../build/measure/pcr.ts';
import { issueCertificate, privateKeyPem } from '../../../orchestrator/local/pki.ts';
import { verb } from '../../../parties/cli/measure.ts';
import { encodeEif } from '../../build/eif/encode-eif.ts';
import { FIELDS, SECTIONS, edit, withRightCrc } from '../../build/eif/samples.ts';
import { runVerb } from './run-verb.ts';
import type { Outcome } from './run-verb.ts';

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'accord-measure-'));
});
afterAll(() => rm(cwd, { recursive: true, force: true }));

async function signedImage(subject: string, days = 1): Promise<Uint8Array> {
  const now = Date.now();
  const authority = await issueCertificate({
    subject,
    notBefore: now - 2 * 86_400_000,
    notAfter: now + days * 86_400_000,
  });
  const body = Buffer.from(authority.certificate).toString('base64');
  const pem = `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
  const { PCR0 } = await measureEif(encodeEif(FIELDS, SECTIONS));
  const { content } = signatureSection(PCR0, await privateKeyPem(authority), pem, new Date(now - 1.5 * 86_400_000));
  return encodeEif(FIELDS, [...SECTIONS, { kind: 'signature', content }]);
}

async function measure(image: Uint8Array, ...options: readonly string[]): Promise<Outcome> {
  await writeFile(join(cwd, 'image.eif'), image);
  return runVerb('measure', verb, ['image.eif', ...options], { cwd });
}

test('a signature that is of this image: who made it, and until when', async () => {
  const { code, out, err } = await measure(await signedImage('CN=release'));
  expect(code).toBe(0);
  expect(out).toMatch(/^PCR0 {2}.*\nPCR1 {2}.*\nPCR2 {2}.*\nPCR8 {2}[0-9a-f]{96}\n$/);
  expect(err).toMatch(/^signed by the key of CN=release, until \d{4}-/);
});

test('a byte that was changed after the signature was made: refused, with the PCRs as they are', async () => {
  const changed = withRightCrc(edit(await signedImage('CN=release'), (copy) => (copy[700] = (copy[700] ?? 0) ^ 1)));
  const { code, out, err } = await measure(changed);
  expect(code).toBe(10);
  expect(out).toContain((await measureEif(changed)).PCR0);
  expect(err).toContain('the signature is not of this image: it was made over the PCR0 ');
  const { signature } = JSON.parse((await measure(changed, '--json')).out);
  expect(signature).toMatchObject({ valid: false, fault: expect.stringContaining('PCR0') });
});

test('a certificate whose days are over: told, not refused', async () => {
  const { code, err } = await measure(await signedImage('CN=release', -1));
  expect([code, err]).toEqual([0, expect.stringContaining('its certificate expired at ')]);
});

test('a signer whose name would move the cursor does not', async () => {
  const { err } = await measure(await signedImage('CN=release\u001B[2J'));
  expect(err).not.toContain('\u001B');
});
