/**
 * The conformance test on the nitro host, with the stand-in of nitro-cli and of vsock. On an EC2 instance with enclaves the
 * same test asks the real ones; elsewhere it says why it does not.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { bootParts } from '../../../../build/boot.ts';
import type { BootParts } from '../../../../build/boot.ts';
import { defaultCacheDir } from '../../../../build/cache.ts';
import { createNitroHost } from '../../../../orchestrator/hosts/nitro.ts';
import type { NitroHost } from '../../../../orchestrator/hosts/nitro.ts';
import { createNitroCli } from '../../../../orchestrator/hosts/nitro/cli.ts';
import { createNitroCommand } from '../../../../orchestrator/hosts/nitro/command.ts';
import { MACHINE_PATHS } from '../../../../orchestrator/hosts/nitro/machine.ts';
import { createAttestationIssuer } from '../../../../orchestrator/local/attestation-issuer.ts';
import { bundled } from '../../bundled.ts';
import { describeConformance } from '../conformance.ts';
import type { Subject } from '../conformance.ts';
import { writeConformanceImage } from '../conformance-image.ts';
import { startMachine } from './stand-in.ts';
import type { Machine } from './stand-in.ts';

const place = { instanceId: 'i-0f1e2d3c4b5a69788', roleArn: 'arn:aws:iam::999900001111:role/accord-host' };
const KILLED = 'the enclave is gone, and could not say why';
let machine: Machine;
let host: NitroHost;

beforeAll(async () => {
  machine = await startMachine();
  const nsm = join(machine.folder, 'nsm');
  await createAttestationIssuer(nsm);
  await machine.setPool({
    memoryMiB: 8192,
    heartbeatMs: 30_000,
    images: {
      program: await bundled('test/orchestrator/hosts/nitro/enclave-image.ts'),
      place: [nsm, place.roleArn, place.instanceId],
    },
  });
  await machine.setAllocator('memory_mib: 8192\ncpu_count: 4\n');
  host = await machine.host();
});
afterAll(async () => {
  await host.close();
  await machine.remove();
});

/** Images that are written once, however often they are asked for. */
function imagesIn(folder: () => string, boot?: () => Promise<BootParts>): Subject['image'] {
  const images = new Map<string, Promise<string>>();
  const make = async (mode: 'serves' | 'silent'): Promise<string> => {
    const path = join(folder(), `conformance-${mode}.eif`);
    await writeConformanceImage(path, boot === undefined ? { mode } : { mode, boot: await boot() });
    return path;
  };
  return (mode) => {
    const path = images.get(mode) ?? make(mode);
    images.set(mode, path);
    return path;
  };
}

const standIn: Subject = {
  ...place,
  host: () => host,
  image: imagesIn(() => machine.folder),
  async kill(enclave) {
    const { id } = enclave.describe();
    for (const { EnclaveID, ProcessID } of await machine.listed()) {
      if (EnclaveID === id) process.kill(ProcessID, 'SIGKILL');
    }
  },
  killed: KILLED,
  leftovers: async () => (await machine.listed()).map(({ EnclaveName }) => EnclaveName),
};

describeConformance('nitro', () => standIn);

const hasEnclaves = existsSync(MACHINE_PATHS.device);
const WHY_NOT = `there is no ${MACHINE_PATHS.device}: not an EC2 instance with enclaves enabled`;
// vitest shows the reason in the name.
describe.skipIf(!hasEnclaves)(`on a real instance${hasEnclaves ? '' : ` (skipped: ${WHY_NOT})`}`, () => {
  const cli = createNitroCli(createNitroCommand());
  let folder: string;
  let real: NitroHost;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'accord-nitro-real-'));
    real = await createNitroHost({ owner: 'c0f0c0f0c0f0' });
  });
  afterAll(async () => {
    await real.close();
    await rm(folder, { recursive: true, force: true });
  });
  const subject: Subject = {
    // The role that the instance was started with, if it has one, is known to whoever started it.
    roleArn: process.env['ACCORD_INSTANCE_ROLE_ARN'] ?? '',
    instanceId: hasEnclaves ? readFileSync('/sys/class/dmi/id/board_asset_tag', 'utf8').trim() : '',
    host: () => real,
    image: imagesIn(
      () => folder,
      () => bootParts({ cacheDir: defaultCacheDir(process.env) }),
    ),
    kill: (enclave) => cli.terminate(enclave.describe().id),
    killed: KILLED,
    leftovers: async () => (await cli.list()).map(({ id }) => id),
  };
  describeConformance('nitro', () => subject);
});
