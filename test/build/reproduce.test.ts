/** What somebody publishes is built again and compared: measurements, and the file where it is there. */
import { appendFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BaseOptions } from '../../build/local-base.ts';
import { signatureSection } from '../../build/eif/sign.ts';
import type { BuildResult } from '../../build/image-builder.ts';
import { readImagePolicy } from '../../build/image-policy.ts';
import { buildLocalImage } from '../../build/local-builder.ts';
import { rebuildLocal } from '../../build/rebuild.ts';
import { reproduce } from '../../build/reproduce.ts';
import type { Reproduction } from '../../build/reproduce.ts';
import { issueCertificate, privateKeyPem } from '../../orchestrator/local/pki.ts';
import { parseClaim } from '../../parties/measurements.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../policies/canonical.ts';
import { measureEif } from '../../build/measure/pcr.ts';
import { edit, withRightCrc } from './eif/samples.ts';
import { policyWith, smallBase } from './fixture.ts';

const NOW = new Date('2026-11-21T12:00:00Z');
const POLICY = policyWith(3);
let folder = '';
let base: BaseOptions;
let built: BuildResult;
let files = 0;
const fresh = (): string => join(folder, `f${files++}`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-reproduce-test-'));
  const installation = join(folder, 'installation');
  await mkdir(installation);
  base = await smallBase(installation);
  built = await buildLocalImage({ policy: POLICY, outDir: fresh(), cacheDir: false, base });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Attempt {
  readonly claim?: (text: string) => string;
  readonly image?: string;
  readonly from?: BaseOptions;
  readonly of?: BuildResult;
  readonly policy?: Parameters<typeof reproduce>[0]['policy'];
}

async function attempt({
  claim = (text) => text,
  image,
  from = base,
  of = built,
  policy = POLICY,
}: Attempt = {}): Promise<Reproduction> {
  const text = claim(await readFile(of.measurementsPath, 'utf8'));
  return reproduce({
    claim: parseClaim(text, 'measurements.json'),
    policy,
    ...(image === undefined ? {} : { image }),
    rebuild: rebuildLocal({ onProgress: () => {}, signal: new AbortController().signal }, from),
    folder: fresh(),
    now: NOW,
  });
}

async function changedImage(change: (copy: Uint8Array) => void, honest = false): Promise<string> {
  const path = fresh();
  const changed = edit(new Uint8Array(await readFile(built.eifPath)), change);
  await writeFile(path, honest ? withRightCrc(changed) : changed);
  return path;
}

describe('the same sources', () => {
  test('give the same measurements, and the same file', async () => {
    expect(await attempt()).toMatchObject({ same: true, measurements: [], image: undefined });
    const { same, image, rebuilt } = await attempt({ image: built.eifPath });
    expect({ same, differences: image?.differences }).toEqual({ same: true, differences: [] });
    expect(image?.file).toEqual(rebuilt.eif);
  });

  test('with the policy that the image carries', async () => {
    const policy = await readImagePolicy(built.eifPath);
    expect(policy).toEqual(await toCanonicalPolicy(POLICY));
    expect(await toCanonicalPolicy(policy)).toEqual(policy);
    expect((await attempt({ policy, image: built.eifPath })).same).toBe(true);
  });

  test('whatever stays to be trusted is said', async () => {
    const { takenAsIs } = await attempt();
    expect(takenAsIs.join('\n')).toMatch(/package-lock\.json[^]*Node \d+\.\d+\.\d+ for linux/);
  });
});

describe('another installation', () => {
  test('is told by what its image holds: the file, its digests, the first byte', async () => {
    const elsewhere = join(folder, 'elsewhere');
    await cp(join(folder, 'installation'), elsewhere, { recursive: true });
    await appendFile(join(elsewhere, 'node_modules', 'tiny', 'index.js'), '// and more\n');
    const from = { ...base, root: elsewhere, node: join(elsewhere, 'node') };
    const found = await attempt({ from, image: built.eifPath });
    expect(found.same).toBe(false);
    expect(found.measurements.map(({ path }) => path)).toEqual(expect.arrayContaining(['PCR0', 'PCR2', 'eif.sha384']));
    expect(found.measurements.map(({ path }) => path)).not.toContain('PCR1');
    const content = 'export const tiny = true;\n';
    expect(found.image?.differences).toEqual([
      {
        where: 'ramdisk 2: rootfs/accord/node_modules/tiny/index.js',
        what: 'content',
        offset: content.length,
        image: expect.stringMatching(/^[0-9a-f]{64} \(26 bytes\)$/),
        rebuild: expect.stringMatching(/^[0-9a-f]{64} \(38 bytes\)$/),
      },
    ]);
  });
});

describe('a claim that is not true', () => {
  test.each<readonly [string, (claim: Record<string, unknown>) => unknown, string]>([
    ['PCR0', (claim) => ({ ...claim, PCR0: 'ab'.repeat(48) }), 'PCR0'],
    ['the size', (claim) => ({ ...claim, eif: { ...Object(claim['eif']), bytes: 5 } }), 'eif.bytes'],
    [
      'an input',
      (claim) => ({
        ...claim,
        inputs: { ...Object(claim['inputs']), node: { version: '1.0.0', platform: 'linux-x64' } },
      }),
      'inputs.node.version',
    ],
    ['what nobody wrote', (claim) => ({ ...claim, reviewed: true }), 'reviewed'],
    ['the collaboration', (claim) => ({ ...claim, collaboration: 'other' }), 'collaboration'],
  ])('%s: told by its path, with both values', async (_, change, path) => {
    const found = await attempt({ claim: (text) => JSON.stringify(change(JSON.parse(text))) });
    expect(found.same).toBe(false);
    expect(found.measurements.map((leaf) => leaf.path)).toEqual([path]);
  });

  test('another policy: refused before anything is built', async () => {
    const claim = parseClaim(await readFile(built.measurementsPath, 'utf8'), 'm');
    const request = reproduce({
      claim,
      policy: policyWith(4),
      rebuild: () => expect.unreachable('it was built'),
      folder: fresh(),
      now: NOW,
    });
    await expect(request).rejects.toMatchObject({ kind: 'refused', code: 'reproduce/other-policy' });
  });
});

describe('a file that is not the image', () => {
  test('one byte of the gate, with the checksum as it was and made right again', async () => {
    const at = (await readFile(built.eifPath)).indexOf('export {};');
    const flip = (copy: Uint8Array): void => void (copy[at + 3] = (copy[at + 3] ?? 0) ^ 1);
    const [plain, honest] = [await changedImage(flip), await changedImage(flip, true)];
    const gate = { where: 'ramdisk 2: rootfs/accord/gate.mjs', what: 'content', offset: 3 };
    const found = await attempt({ image: plain });
    expect(found).toMatchObject({ same: false, measurements: [] });
    expect(found.image?.differences).toMatchObject([gate, { where: 'header', what: 'checksum' }]);
    expect((await attempt({ image: honest })).image?.differences).toMatchObject([gate]);
  });

  test('no EIF', async () => {
    const path = fresh();
    await writeFile(path, 'hello');
    await expect(attempt({ image: path })).rejects.toMatchObject({ kind: 'malformed', code: 'eif/magic' });
    await expect(readImagePolicy(path)).rejects.toMatchObject({ code: 'eif/magic' });
  });
});

describe('a signed image', () => {
  const signed = async (): Promise<BuildResult> => {
    const authority = await issueCertificate({
      subject: 'CN=release',
      notBefore: NOW.getTime() - 1000,
      notAfter: NOW.getTime() + 86_400_000,
    });
    const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(authority.certificate).toString('base64')}\n-----END CERTIFICATE-----\n`;
    const key = await privateKeyPem(authority);
    const sign = (pcr0: string): ReturnType<typeof signatureSection> => signatureSection(pcr0, key, pem, NOW);
    return buildLocalImage({ policy: POLICY, outDir: fresh(), cacheDir: false, base, sign });
  };

  test('is the same but for its signature, which is checked', async () => {
    const of = await signed();
    expect(of.measurements.PCR8).toBe((await measureEif(of.eifPath)).PCR8);
    const found = await attempt({ of, image: of.eifPath });
    expect(found).toMatchObject({ same: true, measurements: [] });
    expect(found.image).toMatchObject({ differences: [], signature: { valid: true, signer: 'CN=release' } });
    const alone = await attempt({ of });
    expect(alone.same).toBe(true);
    expect(alone.takenAsIs.at(-1)).toMatch(/^PCR8, the file \(eif\) and the sizing .*--image/);
  });

  test('is not one whose measurements are of another file', async () => {
    const of = await signed();
    const lie = (text: string): string => JSON.stringify({ ...JSON.parse(text), eif: { bytes: 5, sha384: 'ee'.repeat(48) } }); // prettier-ignore
    const found = await attempt({ of, image: of.eifPath, claim: lie });
    expect(found.same).toBe(false);
    expect(found.measurements.map(({ path }) => path)).toEqual(['eif.bytes', 'eif.sha384']);
  });

  test('is not one whose signature is gone, or of another signer', async () => {
    const [of, other] = [await signed(), await signed()];
    const PCR8 = of.measurements.PCR8 ?? '';
    expect(await attempt({ of, image: built.eifPath })).toMatchObject({
      same: false,
      measurements: [{ path: 'PCR8', claimed: `"${PCR8}"`, rebuilt: undefined }],
    });
    expect(await attempt({ of, image: other.eifPath })).toMatchObject({
      same: false,
      measurements: [{ path: 'PCR8' }],
    });
    expect(await attempt({ image: of.eifPath })).toMatchObject({ same: false, measurements: [{ path: 'PCR8' }] });
  });

  test('whose kernel was changed: the signature is not of it either', async () => {
    const of = await signed();
    const path = fresh();
    const bytes = new Uint8Array(await readFile(of.eifPath));
    await writeFile(path, withRightCrc(edit(bytes, (copy) => (copy[600] = (copy[600] ?? 0) ^ 1))));
    const found = await attempt({ of, image: path });
    expect(found.same).toBe(false);
    expect(found.image?.differences).toMatchObject([{ where: 'kernel', what: 'content', offset: 40 }]);
    expect(found.image?.signature).toMatchObject({ valid: false });
  });
});

test('an image without a policy says so', async () => {
  const text = canonicalPolicyText(await toCanonicalPolicy(POLICY));
  const path = await changedImage((copy) => {
    const at = Buffer.from(copy).indexOf(`ACCORD_POLICY=${text.slice(0, 20)}`);
    copy.set(new TextEncoder().encode('ACCORD_POLICE'), at);
  });
  await expect(readImagePolicy(path)).rejects.toMatchObject({ kind: 'malformed', code: 'image/no-policy' });
});
