/** A whole orchestrator on free ports and in a folder of its own, with AWS in miniature beside it. */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startLocalAws } from '../../orchestrator/local/aws.ts';
import type { LocalAws } from '../../orchestrator/local/aws.ts';
import { startOrchestrator } from '../../orchestrator/main.ts';
import type { Orchestrator } from '../../orchestrator/main.ts';
import type { LocalTrust } from '../../policies/model.ts';

export interface Harness {
  readonly folder: string;
  readonly dataFolder: string;
  readonly aws: LocalAws;
  readonly logged: readonly string[];
  orchestrator: Orchestrator;
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function startHarness(): Promise<Harness> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'accord-orchestrator-')));
  const aws = await startLocalAws({ dataDir: join(folder, 'aws') });
  const dataFolder = join(folder, 'data');
  const logged: string[] = [];
  const start = (): Promise<Orchestrator> =>
    startOrchestrator({
      dataFolder,
      runFolder: join(dataFolder, 'run'),
      localAwsFolder: aws.dataDir,
      port: 0,
      address: '127.0.0.1',
      validateResponses: true,
      now: () => new Date(),
      log: (line) => void logged.push(line),
    });
  const harness: Harness = {
    folder,
    dataFolder,
    aws,
    logged,
    orchestrator: await start(),
    async restart() {
      await harness.orchestrator.close();
      harness.orchestrator = await start();
    },
    async close() {
      await harness.orchestrator.close();
      await aws.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return harness;
}

/** A policy of Alice and Bob that trusts `trust`; `calls` makes it another one. */
export function policyText(trust: LocalTrust | undefined, calls = 3): string {
  return JSON.stringify({
    apiVersion: 'accord/v1',
    collaboration: 'screening',
    until: '2027-06-30',
    parties: {
      alice: {
        role: 'data-owner',
        kmsKeyArn: 'arn:aws:kms:eu-west-1:111122223333:key/a11ce000-0000-4000-8000-000000000001',
      },
      bob: {
        role: 'model-owner',
        kmsKeyArn: 'arn:aws:kms:eu-west-1:444455556666:key/b0b00000-0000-4000-8000-000000000002',
      },
    },
    functions: {
      classify: {
        uses: 'image-classification',
        model: 'bob',
        calls: { alice: calls },
        input: { maxBytes: 4_194_304, buckets: [4_194_304] },
        output: { topK: 1, decimals: 2 },
        release: { afterMs: 0, padTo: 1024 },
      },
    },
    anchors: 'none',
    state: 'none',
    enclave: { memoryMiB: 1024, cpus: 2 },
    ...(trust === undefined ? {} : { trust }),
  });
}
