import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { createHost } from '../../../enclave/vsock/host.ts';
import { blobService } from '../../../orchestrator/relay/blobs.ts';
import type { ContributionKeeper } from '../../../orchestrator/relay/contributions.ts';
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
  (bytes: Uint8Array | undefined): ContributionKeeper['give'] =>
  async () =>
    bytes === undefined ? undefined : { bytes: bytes.length, stream: Readable.from(cut(bytes)) };

const NO_RECORDS: RecordKeeper = {
  put: () => Promise.reject(new Error('not here')),
  get: async () => undefined,
  putKeys: () => Promise.reject(new Error('not here')),
  keys: async () => undefined,
  policy: async () => undefined,
};
const contributionService = (
  give: ContributionKeeper['give'],
  notebook: Notebook,
  taken: ContributionKeeper['taken'] = async () => false,
): ReturnType<typeof blobService> => blobService({ contributions: { give, taken }, records: NO_RECORDS }, notebook);

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
      const blob = await enclave.contribution('classify', { earlier: false }, forever());
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
    expect(await enclave.contribution('classify', { earlier: false }, forever())).toBeUndefined();
  });

  it('are asked for by hash, or the newest, or the earlier; what was taken is noted', async () => {
    const [asked, taken] = [new Array<unknown>(), new Array<unknown>()];
    const notebook = createNotebook(() => 5);
    const service = contributionService(
      async (...question) => void asked.push(question),
      notebook,
      async (...told) => taken.push(told) === 1,
    );
    const enclave = await enclaveOf(service);
    const sha256 = new Uint8Array(randomBytes(32));
    const hex = Buffer.from(sha256).toString('hex');
    for (const wanted of [{ sha256 }, { earlier: false }, { earlier: true }]) {
      expect(await enclave.contribution('anchor.alice', wanted, forever())).toBeUndefined();
    }
    const WANTED = [{ sha256: hex }, { earlier: false }, { earlier: true }];
    expect(asked).toEqual(WANTED.map((wanted) => ['anchor.alice', wanted]));
    await enclave.contributionTaken('classify', sha256, forever());
    await enclave.contributionTaken('classify', sha256, forever());
    expect(taken).toEqual([
      ['classify', hex],
      ['classify', hex],
    ]);
    expect(notebook.entries().slice(3)).toMatchObject([{ outcome: 'stored' }, { outcome: 'absent' }]);
  });

  it('end early, and are noted so, when the disk fails in the middle', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield randomBytes(10);
      throw new Error('input/output error');
    }
    const notebook = createNotebook(() => 5);
    const broken: ContributionKeeper['give'] = async () => ({ bytes: 100, stream: Readable.from(failing()) });
    const enclave = await enclaveOf(contributionService(broken, notebook));
    const blob = await enclave.contribution('classify', { earlier: false }, forever());
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
    const blob = await enclave.contribution('classify', { earlier: false }, forever());
    for await (const part of blob?.content() ?? []) if (part.length > 0) break;
    await expect.poll(() => isDestroyed, WAIT).toBe(true);
  });
});
