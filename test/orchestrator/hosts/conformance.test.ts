/** The conformance test on the hosts that this machine can be: the local one, and QEMU where it is set up. */
import { mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { bootParts } from '../../../build/boot.ts';
import type { BootParts } from '../../../build/boot.ts';
import { defaultCacheDir } from '../../../build/cache.ts';
import { createLocalHost } from '../../../orchestrator/hosts/local.ts';
import { processesOf, sendSignal } from '../../../orchestrator/hosts/processes.ts';
import { createQemuHost, findQemu } from '../../../orchestrator/hosts/qemu.ts';
import { createAttestationIssuer } from '../../../orchestrator/local/attestation-issuer.ts';
import type { AttestationIssuer } from '../../../orchestrator/local/attestation-issuer.ts';
import { describeConformance } from './conformance.ts';
import type { Subject } from './conformance.ts';
import { writeConformanceImage } from './conformance-image.ts';

const cacheDir = defaultCacheDir(process.env);
const absent = await findQemu(cacheDir).then(
  () => undefined,
  (error: unknown) => (error instanceof Error ? error.message : String(error)),
);

const place = { instanceId: 'i-0123456789abcdef0', roleArn: 'arn:aws:iam::999900001111:role/accord-host' };
let folder: string;
let issuer: AttestationIssuer;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-hosts-')));
  issuer = await createAttestationIssuer(join(folder, 'nsm'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function subject(name: 'local' | 'qemu', boot?: () => Promise<BootParts>): Subject {
  const runFolder = join(folder, `${name}-run`);
  const images = new Map<string, Promise<string>>();
  const make = async (mode: 'serves' | 'silent'): Promise<string> => {
    const path = join(folder, `${name}-${mode}.eif`);
    await writeConformanceImage(path, boot === undefined ? { mode } : { mode, boot: await boot() });
    return path;
  };
  return {
    ...place,
    host: () =>
      name === 'local'
        ? createLocalHost({ runFolder, issuer, ...place })
        : createQemuHost({ runFolder, issuer, cacheDir, ...place }),
    image(mode) {
      const path = images.get(mode) ?? make(mode);
      images.set(mode, path);
      return path;
    },
    async kill() {
      for (const pid of await processesOf(runFolder)) sendSignal(pid, 'SIGKILL');
    },
    leftovers: async () => [
      ...(await processesOf(runFolder)).map(String),
      ...(await readdir(runFolder).catch(() => [])),
    ],
  };
}

const local = (): Subject => (made.local ??= subject('local'));
const qemu = (): Subject => (made.qemu ??= subject('qemu', () => bootParts({ cacheDir })));
const made: { local?: Subject; qemu?: Subject } = {};

describeConformance('local', local);
if (absent === undefined) describeConformance('qemu', qemu);
else describe('the qemu host', () => it.skip(`${absent}: run \`npm run setup:qemu\``, () => {}));
