/** The enclave's own client of host port 8002 against the orchestrator's service of it, with real folders behind. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../../enclave/encoding/hex.ts';
import { LIMITS } from '../../../enclave/protocol/limits.ts';
import { createHost } from '../../../enclave/vsock/host.ts';
import type { StoredBytes } from '../../../enclave/vsock/host.ts';
import { createKeeper } from '../../../orchestrator/keeper.ts';
import { blobService } from '../../../orchestrator/relay/blobs.ts';
import { launchInformationService } from '../../../orchestrator/relay/launch-information.ts';
import type { ContributionKeeper } from '../../../orchestrator/relay/contributions.ts';
import { createNotebook } from '../../../orchestrator/relay/observations.ts';
import type { Notebook } from '../../../orchestrator/relay/observations.ts';
import { openRecords } from '../../../orchestrator/store/records.ts';
import type { RecordsLimits } from '../../../orchestrator/store/records.ts';
import type { Collaboration, Store } from '../../../orchestrator/store/store.ts';
import { canonicalPolicyText, toCanonicalPolicy } from '../../../policies/canonical.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { loadPolicy } from '../../../policies/load.ts';
import { realTimers } from '../../enclave/real-timers.ts';
import { policyText } from '../harness.ts';
import { listening } from './pair.ts';
import type { Listening } from './pair.ts';

type Enclave = ReturnType<typeof createHost>;

let folder: string;
let notebook: Notebook;
const closing: Listening[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-relay-'));
  notebook = createNotebook(() => 5);
});
afterEach(async () => {
  for (const one of closing.splice(0)) await one.close();
  await rm(folder, { recursive: true, force: true });
});

const forever = (): AbortSignal => new AbortController().signal;

/** A collaboration as the store gives it; `succeeds` is written into its policy. */
async function collaboration(calls: number, succeeds?: string): Promise<Collaboration> {
  const written: Record<string, unknown> = JSON.parse(policyText(undefined, calls));
  if (succeeds !== undefined)
    Object.assign(written, {
      succeeds: { policyDigest: succeeds, calls: 'carried' },
      state: { seal: 'layered' },
      anchors: { alice: { s3: 's3://alice-anchor' }, bob: { s3: 's3://bob-anchor' } },
    });
  const policy = loadPolicy(JSON.stringify(written), { file: 'policy' });
  const canonicalPolicy = canonicalPolicyText(await toCanonicalPolicy(policy));
  const digest = await policyDigest(canonicalPolicy);
  const at = new Date(0).toISOString();
  return {
    id: `screening-${digest.slice(0, 12)}`,
    collaboration: 'screening',
    policyDigest: digest,
    canonicalPolicy,
    policy: JSON.stringify(written),
    state: 'running',
    reason: null,
    measurements: null,
    sizing: null,
    contributions: [],
    createdAt: at,
    updatedAt: at,
  };
}

const NO_CONTRIBUTIONS: ContributionKeeper = { give: async () => undefined, taken: async () => false };

const storeOf = (...all: readonly Collaboration[]): Pick<Store, 'findByDigest'> => ({
  findByDigest: async (digest) => all.find((one) => one.policyDigest === digest),
});

async function enclaveOf(
  own: Collaboration,
  others: readonly Collaboration[] = [],
  limits?: RecordsLimits,
): Promise<Enclave> {
  const records = createKeeper(storeOf(own, ...others), await openRecords(folder, limits), own);
  const served = await listening(blobService({ contributions: NO_CONTRIBUTIONS, records }, notebook));
  closing.push(served);
  return createHost({ dial: () => served.dial(), listen: () => Promise.reject(new Error('not here')) }, realTimers);
}

/** In parts, as an enclave seals it. */
function record(bytes: Uint8Array): StoredBytes {
  const sha256 = new Uint8Array(createHash('sha256').update(bytes).digest());
  const middle = Math.floor(bytes.length / 2);
  return { sha256, bytes: bytes.length, parts: [bytes.subarray(0, middle), bytes.subarray(middle)] };
}

const outcomes = (): readonly (string | null)[] => notebook.entries().map(({ outcome }) => outcome);

describe('records', () => {
  it('go to the disk and come back whole, whatever their size', async () => {
    const enclave = await enclaveOf(await collaboration(3));
    for (const size of [1, 70_000, 5_000_000]) {
      const sealed = record(new Uint8Array(randomBytes(size)));
      expect(await enclave.record(sealed.sha256, forever())).toBeUndefined();
      await enclave.putRecord(sealed, forever());
      const back = (await enclave.record(sealed.sha256, forever())) ?? new Uint8Array();
      expect(toHex(record(back).sha256)).toBe(toHex(sealed.sha256));
    }
    const each = ['absent', 'stored', 'given'];
    await expect.poll(outcomes, { timeout: 5_000 }).toEqual([...each, ...each, ...each]);
    expect(notebook.totals().bytesFromEnclave).toBe(5_070_001);
  });

  it('are refused with the reason when there is no more room, small ones and those that take long to send', async () => {
    const enclave = await enclaveOf(await collaboration(3), [], { records: 100, bytes: 1000 });
    for (const size of [1001, 20_000_000]) {
      const tooMuch = record(new Uint8Array(randomBytes(size)));
      await expect(enclave.putRecord(tooMuch, forever())).rejects.toMatchObject({
        code: 'host/not-stored',
        message: expect.stringContaining('may store 100 of 1000'),
      });
    }
    await enclave.putRecord(record(new Uint8Array(1000)), forever());
    expect(outcomes()).toEqual(['refused: store/records-full', 'refused: store/records-full', 'stored']);
  });

  it('that are not what was announced are refused, and nothing is kept', async () => {
    const own = await collaboration(3);
    const enclave = await enclaveOf(own);
    const honest = record(new Uint8Array(randomBytes(500)));
    const other = { ...honest, sha256: new Uint8Array(32) };
    await expect(enclave.putRecord(other, forever())).rejects.toThrow('not the one announced');
    expect(await readdir(join(folder, own.id))).toEqual([]);
  });

  it('of an enclave that dies while it sends are not kept', async () => {
    const own = await collaboration(3);
    const enclave = await enclaveOf(own);
    const dying = new AbortController();
    const sealed = record(new Uint8Array(randomBytes(100_000)));
    const [first = new Uint8Array()] = sealed.parts;
    const stalled = { ...sealed, parts: [first] };
    const put = enclave.putRecord(stalled, dying.signal);
    setTimeout(() => dying.abort(new Error('killed')), 50);
    await expect(put).rejects.toThrow();
    await expect.poll(outcomes, { timeout: 5_000 }).not.toEqual([null]);
    await expect.poll(() => readdir(join(folder, own.id)), { timeout: 5_000 }).toEqual([]);
  });

  it('of another collaboration are not given, and those of a predecessor are', async () => {
    const first = await collaboration(3);
    const stranger = await collaboration(4);
    const sealed = record(new Uint8Array(randomBytes(100)));
    await (await enclaveOf(first)).putRecord(sealed, forever());
    expect(await (await enclaveOf(stranger, [first])).record(sealed.sha256, forever())).toBeUndefined();
    const second = await collaboration(3, first.policyDigest);
    const third = await collaboration(3, second.policyDigest);
    const enclave = await enclaveOf(third, [first, second]);
    expect(await enclave.record(sealed.sha256, forever())).toHaveLength(100);
    expect(await enclave.keys(forever())).toBeUndefined();
  });
});

describe('the wrapped keys', () => {
  it('are those that were given last, and each set stays a record', async () => {
    const enclave = await enclaveOf(await collaboration(3));
    expect(await enclave.keys(forever())).toBeUndefined();
    const sets = [record(new Uint8Array(randomBytes(900))), record(new Uint8Array(randomBytes(901)))];
    for (const set of sets) {
      await enclave.putKeys(set, forever());
      expect(await enclave.keys(forever())).toHaveLength(set.bytes);
    }
    expect(await enclave.record(sets[0]?.sha256 ?? new Uint8Array(), forever())).toHaveLength(900);
  });

  it('are bounded like the enclave bounds them', async () => {
    const enclave = await enclaveOf(await collaboration(3));
    await expect(enclave.putKeys(record(new Uint8Array(LIMITS.keySetBytes + 1)), forever())).rejects.toBeDefined();
    expect(await enclave.keys(forever())).toBeUndefined();
  });
});

describe('an earlier policy', () => {
  it('is given by its digest, where this host knows it', async () => {
    const first = await collaboration(3);
    const second = await collaboration(4);
    const enclave = await enclaveOf(second, [first]);
    const text = await enclave.policy(await policyDigest(first.canonicalPolicy), forever());
    expect(new TextDecoder().decode(text)).toBe(first.canonicalPolicy);
    const unknown = await policyDigest(`${first.canonicalPolicy} `);
    expect(await enclave.policy(unknown, forever())).toBeUndefined();
  });
});

describe("the host's credentials", () => {
  const information = { keyArns: ['arn:a'], roots: [] };
  const credentials = { accessKeyId: 'ASIA', secretAccessKey: 's', sessionToken: 't'.repeat(2000), expiresAt: 1e12 };

  it.each([
    ['are lent where the coordinator said so', credentials],
    ['are absent where not', undefined],
  ])('%s', async (_, lent) => {
    const served = await listening(launchInformationService(information, async () => lent, notebook));
    closing.push(served);
    const enclave = createHost(
      { dial: () => served.dial(), listen: () => Promise.reject(new Error('no')) },
      realTimers,
    );
    expect(await enclave.credentials(forever())).toEqual(lent);
    expect(notebook.entries()).toMatchObject([{ asked: "the host's credentials" }]);
    expect(JSON.stringify(notebook.entries())).not.toContain('ASIA');
  });
});
