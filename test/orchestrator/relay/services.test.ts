import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { createHost } from '../../../enclave/vsock/host.ts';
import { blobService } from '../../../orchestrator/relay/blobs.ts';
import type { FindContribution } from '../../../orchestrator/relay/contributions.ts';
import { launchInformationService } from '../../../orchestrator/relay/launch-information.ts';
import { createNotebook } from '../../../orchestrator/relay/observations.ts';
import type { Notebook } from '../../../orchestrator/relay/observations.ts';
import type { RecordKeeper } from '../../../orchestrator/relay/sealed-records.ts';
import { realTimers } from '../../enclave/real-timers.ts';
import { listening } from './pair.ts';
import type { Listening } from './pair.ts';

const WAIT = { timeout: 20_000 };

/** The enclave's own client asks; what stands behind it is what is tested. */
const closing: Listening[] = [];
afterEach(async () => {
  for (const one of closing.splice(0)) await one.close();
});

const forever = (): AbortSignal => new AbortController().signal;

async function enclaveOf(service: Parameters<typeof listening>[0]): Promise<ReturnType<typeof createHost>> {
  const served = await listening(service);
  closing.push(served);
  return createHost({ dial: () => served.dial(), listen: () => Promise.reject(new Error('not here')) }, realTimers);
}

const find =
  (bytes: Uint8Array | undefined): FindContribution =>
  async () =>
    bytes === undefined ? undefined : { bytes: bytes.length, stream: Readable.from(cut(bytes)) };

const NO_RECORDS: RecordKeeper = {
  put: () => Promise.reject(new Error('not here')),
  get: async () => undefined,
  putKeys: () => Promise.reject(new Error('not here')),
  keys: async () => undefined,
  policy: async () => undefined,
};
const contributionService = (find: FindContribution, notebook: Notebook): ReturnType<typeof blobService> =>
  blobService({ findContribution: find, records: NO_RECORDS }, notebook);

function* cut(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
}

describe('launch information', () => {
  it('reaches the enclave as it is', async () => {
    const information = { keyArns: ['arn:a', 'arn:b'], roots: [new Uint8Array(randomBytes(900))] };
    const notebook = createNotebook(() => 5);
    const enclave = await enclaveOf(launchInformationService(information, async () => undefined, notebook));
    expect(await enclave.launch(forever())).toEqual(information);
    expect(notebook.entries()).toMatchObject([{ kind: 'service', asked: 'launch information', outcome: 'given' }]);
  });
});

describe('contributions', () => {
  it('reach the enclave whole, whatever their size', async () => {
    for (const size of [1, 50_000, 5_000_000]) {
      const bytes = randomBytes(size);
      const enclave = await enclaveOf(
        contributionService(
          find(bytes),
          createNotebook(() => 5),
        ),
      );
      const blob = await enclave.contribution('classify', forever());
      expect(blob?.bytes).toBe(size);
      const got: Uint8Array[] = [];
      for await (const part of blob?.content() ?? []) got.push(part);
      expect(Buffer.concat(got).equals(bytes)).toBe(true);
    }
  });

  it('are absent where nothing was contributed', async () => {
    const enclave = await enclaveOf(
      contributionService(
        find(undefined),
        createNotebook(() => 5),
      ),
    );
    expect(await enclave.contribution('classify', forever())).toBeUndefined();
  });

  it('end early, and are noted so, when the disk fails in the middle', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield randomBytes(10);
      throw new Error('input/output error');
    }
    const notebook = createNotebook(() => 5);
    const broken: FindContribution = async () => ({ bytes: 100, stream: Readable.from(failing()) });
    const enclave = await enclaveOf(contributionService(broken, notebook));
    const blob = await enclave.contribution('classify', forever());
    await expect(
      (async () => {
        for await (const part of blob?.content() ?? []) {
          expect(part.length).toBeGreaterThan(0);
        }
      })(),
    ).rejects.toThrow();
    expect(notebook.entries()).toMatchObject([{ outcome: 'broken off' }]);
  });

  it('stop being read from the disk when the enclave goes away', async () => {
    let isDestroyed = false;
    const stream = Readable.from(
      (async function* (): AsyncGenerator<Uint8Array> {
        try {
          for (;;) yield new Uint8Array(100_000);
        } finally {
          isDestroyed = true;
        }
      })(),
    );
    const enclave = await enclaveOf(
      contributionService(
        async () => ({ bytes: 2 ** 29, stream }),
        createNotebook(() => 5),
      ),
    );
    const blob = await enclave.contribution('classify', forever());
    for await (const part of blob?.content() ?? []) if (part.length > 0) break;
    await expect.poll(() => isDestroyed, WAIT).toBe(true);
  });
});
