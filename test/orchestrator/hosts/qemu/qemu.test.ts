/** The qemu host with real machines: signed attestation, every kind of end, and nothing that outlives its owner. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, readdir, readlink, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bootParts } from '../../../../build/boot.ts';
import { defaultCacheDir } from '../../../../build/cache.ts';
import type { HostServices, LaunchSpec, RunningEnclave } from '../../../../orchestrator/hosts/host.ts';
import { processesOf, sendSignal } from '../../../../orchestrator/hosts/processes.ts';
import { createQemuHost, findQemu } from '../../../../orchestrator/hosts/qemu.ts';
import { createAttestationIssuer } from '../../../../orchestrator/local/attestation-issuer.ts';
import type { AttestationIssuer } from '../../../../orchestrator/local/attestation-issuer.ts';
import { awsRoot, localRoot, notChecked, parseAttestation, verifyAttestation } from '../../../../parties/attestation/verify.ts'; // prettier-ignore
import type { AttestationDocument, Expectation } from '../../../../parties/attestation/verify.ts';
import { bundled } from '../../bundled.ts';
import { ask } from '../conformance.ts';
import { writeConformanceImage } from '../conformance-image.ts';

const WAIT = { timeout: 20_000 };
const cacheDir = defaultCacheDir(process.env);
const paths = await findQemu(cacheDir).catch((error: unknown) => String(error));

if (typeof paths === 'string')
  describe('the qemu host', () => it.skip(`${paths}: run \`npm run setup:qemu\``, () => {}));
else {
  describe('the qemu host', { timeout: 300_000 }, () => {
    let folder: string;
    let runFolder: string;
    let image: string;
    let issuer: AttestationIssuer;
    const running: RunningEnclave[] = [];

    beforeAll(async () => {
      folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-qemu-')));
      runFolder = join(folder, 'run');
      issuer = await createAttestationIssuer(join(folder, 'nsm'));
      image = join(folder, 'image.eif');
      await writeConformanceImage(image, { mode: 'serves', boot: await bootParts({ cacheDir }) });
    });
    afterEach(async () => {
      for (const enclave of running.splice(0)) await enclave.terminate();
      expect(await processesOf(folder)).toEqual([]);
      expect(await readdir(runFolder).catch(() => [])).toEqual([]);
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    async function launch(
      { eifPath = image, memoryMiB = 448 }: Partial<LaunchSpec> = {},
      services: HostServices = {},
      within: string = runFolder,
    ): Promise<RunningEnclave> {
      const host = createQemuHost({
        runFolder: within,
        issuer,
        cacheDir,
        instanceId: 'i-0123456789abcdef0',
        roleArn: 'arn:aws:iam::999900001111:role/accord-host',
      });
      const enclave = await host.launch({ collaboration: 'test', eifPath, memoryMiB, cpus: 1 }, services);
      running.push(enclave);
      return enclave;
    }

    async function killProgram(name: string): Promise<void> {
      for (const pid of await processesOf(runFolder)) {
        if (basename(await readlink(`/proc/${pid}/exe`)) === name) sendSignal(pid, 'SIGKILL');
      }
    }

    async function attested(enclave: RunningEnclave): Promise<AttestationDocument> {
      const reply = await ask(enclave, 'attest');
      return parseAttestation(new Uint8Array(Buffer.from(reply.text('document'), 'base64')));
    }

    function expectationOf(enclave: RunningEnclave): Expectation {
      const { PCR0, PCR1, PCR2 } = enclave.describe().measurements;
      return {
        roots: [localRoot(issuer.rootSha256)],
        at: new Date(),
        pcrs: { 0: PCR0, 1: PCR1, 2: PCR2 },
        nonce: new Uint8Array(32).fill(7),
        policyDigest: notChecked('the stand-in has no policy'),
        maxAgeMs: 60_000,
        allowDebug: false,
      };
    }

    it('signs attestation documents that verify under the local root and no other', async () => {
      const enclave = await launch();
      const document = await attested(enclave);
      const expectation = expectationOf(enclave);
      const verified = await verifyAttestation(document, expectation);
      expect(verified).toMatchObject({ root: { kind: 'local' }, document: { moduleId: enclave.describe().id } });
      await expect(verifyAttestation(document, { ...expectation, roots: [awsRoot] })).rejects.toMatchObject({
        kind: 'refused',
      });
      await expect(enclave.connect(5001)).rejects.toMatchObject({ code: 'host/not-listening' });
      await killProgram('vhost-device-vsock');
      expect(await enclave.ended).toMatchObject({ reason: expect.stringContaining('vsock bridge') });
    });

    it('signs with one set of certificates or the next, never with some of both', async () => {
      const enclave = await launch();
      const [name = ''] = await readdir(runFolder);
      const place = join(runFolder, name);
      // Another process with the same root: other authorities, another leaf.
      const second = await createAttestationIssuer(join(folder, 'nsm'));
      await second.writeKeyFolder(join(place, 'second'), enclave.describe().id);
      const over = new AbortController();
      const swap = async (): Promise<void> => {
        for (const target of alternate('second', 'nsm.0')) {
          if (over.signal.aborted) return;
          await symlink(target, join(place, 'swap'));
          await rename(join(place, 'swap'), join(place, 'nsm'));
          await sleep(1);
        }
      };
      const swapping = swap();
      const leaves = new Set<string>();
      try {
        for (let count = 0; count < 40; count++) {
          const document = await attested(enclave);
          await verifyAttestation(document, expectationOf(enclave));
          leaves.add(Buffer.from(document.certificate).toString('hex'));
        }
      } finally {
        over.abort();
        await swapping;
      }
      expect(leaves.size).toBe(2);
      await rm(join(place, 'nsm'));
      await expect(attested(enclave)).rejects.toThrow(); // it is told, and
      expect((await ask(enclave, 'environment')).text('policy')).toBe('{"a":"b c"}'); // the machine goes on
      expect(enclave.console().join('\n')).toMatch(/qemu: .*nsm: .*No such file/);
    });

    it('works below a folder whose path is too long for a socket', async () => {
      const deep = join(folder, 'long', 'l'.repeat(90), 'o'.repeat(90));
      const enclave = await launch({}, {}, deep);
      expect((await ask(enclave, 'environment')).text('policy')).toBe('{"a":"b c"}');
      await enclave.terminate();
      await rm(join(folder, 'long'), { recursive: true });
    });

    it('tells that the program crashed, or used up the memory', async () => {
      const crashing = await launch();
      await ask(crashing, 'crash');
      expect(await crashing.ended).toMatchObject({ reason: expect.stringContaining('signal 11') });
      const eating = await launch();
      await ask(eating, 'devour');
      expect(await eating.ended).toMatchObject({ reason: expect.stringContaining('raise enclave.memoryMiB') });
    });

    it('tells that the memory is too small for the image', async () => {
      await expect(launch({ memoryMiB: 128 })).rejects.toMatchObject({
        code: 'host/enclave-ended',
        message: expect.stringContaining('raise enclave.memoryMiB'),
      });
    });

    it('refuses before it starts: a changed byte, an image without kernel, another processor, too much memory', async () => {
      const spoilt = join(folder, 'spoilt.eif');
      await writeFile(spoilt, await readFile(image));
      const file = await open(spoilt, 'r+');
      await file.write(Buffer.from('X'), 0, 1, 40_000_000);
      await file.close();
      await expect(launch({ eifPath: spoilt })).rejects.toMatchObject({ code: 'eif/crc-mismatch' });
      const local = join(folder, 'local.eif');
      await writeConformanceImage(local, { mode: 'serves' });
      await expect(launch({ eifPath: local })).rejects.toMatchObject({ code: 'host/no-kernel' });
      await expect(launch({ memoryMiB: 100_000_000 })).rejects.toMatchObject({ code: 'host/too-little-memory' });
    });

    it('ends with the orchestrator, even by kill -9, and the next one sweeps the folder', async () => {
      const program = await bundled('test/orchestrator/hosts/qemu/launcher.ts');
      const child = spawn(process.execPath, [program, runFolder, join(folder, 'nsm'), image, JSON.stringify(paths)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      expect(await processesOf(folder)).toHaveLength(2);
      child.kill('SIGKILL');
      await once(child, 'exit');
      await expect.poll(() => processesOf(folder), WAIT).toEqual([]);
      expect(await readdir(runFolder)).toHaveLength(1);
      await launch();
      expect(await readdir(runFolder)).toHaveLength(1);
    });
  });
}

function* alternate(...values: readonly string[]): Generator<string> {
  for (;;) yield* values;
}
