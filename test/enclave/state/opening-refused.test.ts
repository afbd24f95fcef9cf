/** What is not taken for the state: of the host, of the anchors, of a party’s KMS. */
import { describe, expect, test } from 'vitest';
import { createMemoryAnchor } from '../../../enclave/claims/memory-anchor.ts';
import type { KmsGenerated } from '../../../enclave/kms/client.ts';
import { parseAttestation } from '../../../parties/attestation/verify.ts';
import { KEY_ARNS } from '../harness.ts';
import { envelopedParts, writeEnvelopedData } from '../kms/enveloped-data.ts';
import { makeRecipientKey } from '../kms/recipient-key.ts';
import type { HostStorage } from '../scripted-host.ts';
import { kmsRefused, kmsUnavailable } from '../scripted-kms.ts';
import { ROLE } from './sealed.ts';
import { codesOf, count, opened, sessions, soon, statusOf, within } from './sealed-gates.ts';

describe('what the host hands back instead of the keys', () => {
  const REFUSED: Readonly<Record<string, readonly [(storage: HostStorage, other: HostStorage) => void, string]>> = {
    nothing: [
      (storage) => {
        storage.keySet = undefined;
        storage.records.clear();
      },
      'state/keys-missing',
    ],
    'a set that it has from elsewhere': [
      (storage, other) => {
        storage.keySet = other.keySet;
        storage.records.clear();
      },
      'state/keys-substituted',
    ],
    'a set with a bit flipped': [
      (storage) => {
        storage.keySet = storage.keySet?.map((byte, i, all) => (i === all.length - 1 ? byte ^ 1 : byte));
        storage.records.clear();
      },
      'state/keys-substituted',
    ],
    'something else': [
      (storage) => {
        storage.keySet = Uint8Array.of(1, 2, 3);
        storage.records.clear();
      },
      'state/keys-malformed',
    ],
  };
  test.each(Object.entries(REFUSED))('%s', async (_, [tamper, code]) => {
    const [here, elsewhere] = [await within(), await within()];
    await opened(await here.start({ credentials: ROLE }));
    await opened(await elsewhere.start({ credentials: ROLE }));
    await here.stop();
    const [kept, records] = [here.storage.keySet, new Map(here.storage.records)];
    tamper(here.storage, elsewhere.storage);
    const gate = await here.start({ credentials: ROLE });
    await soon(() => statusOf(gate)).toMatchObject({ state: 'refused', reason: code });
    const alice = await gate.peer('alice');
    expect(await count(alice)).toEqual({ t: 'refused', refused: 'state-refused', detail: code });
    expect(codesOf(gate)).toContain(code);
    expect(gate.lines).not.toContainEqual(expect.objectContaining({ accord: 'opened' }));
    // The right one, and no new start, is all it needs.
    here.storage.keySet = kept;
    for (const [name, record] of records) here.storage.records.set(name, record);
    expect(await count(alice)).toBe(1);
  });

  test('a set that is older than the anchors’ other content is none: nothing is made anew', async () => {
    const { start, stop, storage, kms } = await within();
    await opened(await start({ credentials: ROLE }));
    await stop();
    storage.keySet = undefined;
    storage.records.clear();
    const gate = await start({ credentials: ROLE });
    await soon(() => statusOf(gate).state).toBe('refused');
    expect(storage.records.size).toBe(0);
    expect(kms.generates.length).toBeLessThanOrEqual(4);
  });
});

describe('what stands in the anchors instead of the claim', () => {
  test('another state key’s claim of this very set: it is not taken for ours', async () => {
    const { start, stop, anchors } = await within();
    await opened(await start({ credentials: ROLE }));
    await stop();
    for (const [owner, anchor] of anchors) {
      const forged = async (bytes: Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> =>
        (await bytes)?.map((byte, i) => (i === 100 ? byte ^ 1 : byte));
      anchors.set(owner, { ...anchor, holder: (...of) => forged(anchor.holder(...of)) });
    }
    const gate = await start({ credentials: ROLE });
    await soon(() => statusOf(gate)).toMatchObject({ state: 'refused', reason: 'state/keys-foreign' });
  });

  test('bytes that are no entry', async () => {
    const { start, anchors } = await within();
    for (const owner of ['alice', 'bob']) {
      anchors.set(owner, { ...createMemoryAnchor(owner), holder: () => Promise.resolve(new Uint8Array(101)) });
    }
    const gate = await start({ credentials: ROLE });
    await soon(() => statusOf(gate)).toMatchObject({ state: 'refused', reason: 'state/keys-foreign' });
  });
});

describe('a party that is not there, or whose KMS is not', () => {
  test('is named in what a call is told', async () => {
    const { start } = await within();
    const gate = await start();
    const alice = await gate.peer('alice');
    expect(await count(alice)).toEqual({
      t: 'refused',
      refused: 'not-open',
      detail: 'it waits for a session of bob',
    });
  });

  test('KMS refuses', async () => {
    const { start, kms } = await within();
    kms.scriptGenerate = ({ keyArn }, reply) => (keyArn === KEY_ARNS.bob ? Promise.reject(kmsRefused()) : reply());
    const gate = await start();
    const [alice] = await sessions(gate, 'alice', 'bob');
    await soon(() => statusOf(gate).reason).toBe('kms/refused (AccessDeniedException)');
    expect(await count(alice)).toEqual({
      t: 'refused',
      refused: 'not-open',
      detail: 'it waits for a session of bob; kms/refused (AccessDeniedException)',
    });
    kms.scriptGenerate = (_, reply) => reply();
    await sessions(gate, 'bob');
    await opened(gate);
  });

  test('KMS cannot be reached: it is asked again with the next call', async () => {
    const { start, kms } = await within();
    kms.scriptGenerate = ({ keyArn }, reply) => (keyArn === KEY_ARNS.bob ? Promise.reject(kmsUnavailable()) : reply());
    const gate = await start();
    const [alice] = await sessions(gate, 'alice', 'bob');
    expect(await count(alice)).toMatchObject({ refused: 'not-open' });
    kms.scriptGenerate = (_, reply) => reply();
    expect(await count(alice)).toBe(1);
  });

  test('KMS opens it with another key, or opens something that is no data key', async () => {
    const { start, stop, kms } = await within();
    await opened(await start({ credentials: ROLE }));
    await stop();
    kms.script = async ({ keyArn, context }, reply) => {
      const answer = await reply();
      const isBobs = keyArn === KEY_ARNS.bob && context['accord:purpose'] === 'state';
      return isBobs ? { ...answer, keyArn: KEY_ARNS.alice } : answer;
    };
    const gate = await start();
    await sessions(gate, 'alice', 'bob');
    await soon(() => codesOf(gate)).toEqual(['kms/other-key']);
    await soon(() => statusOf(gate)).toMatchObject({ state: 'waiting', waitingFor: ['bob'] });
  });
});

describe('a data key that KMS makes', () => {
  const other = makeRecipientKey();
  const WRONG: Readonly<
    Record<string, readonly [(made: KmsGenerated, spki: Uint8Array) => Promise<KmsGenerated>, string]>
  > = {
    'under another key': [async (made) => ({ ...made, keyArn: KEY_ARNS.alice }), 'kms/other-key'],
    'for another recipient': [
      async (made) => ({
        ...made,
        envelope: writeEnvelopedData(await envelopedParts((await other).spki, new Uint8Array(32))),
      }),
      'kms/envelope-unopened',
    ],
    'of another length': [
      async (made, spki) => ({ ...made, envelope: writeEnvelopedData(await envelopedParts(spki, new Uint8Array(16))) }),
      'kms/envelope-unopened',
    ],
    'in an envelope that is none': [
      async (made) => ({ ...made, envelope: made.envelope.subarray(1) }),
      'kms/ber-malformed',
    ],
  };
  test.each(Object.entries(WRONG))('%s is not taken, and nothing is made of the others', async (_, [tamper, code]) => {
    const { start, kms, storage } = await within();
    kms.scriptGenerate = async ({ keyArn, attestation }, reply) => {
      const made = await reply();
      const spki = parseAttestation(attestation).publicKey ?? new Uint8Array(0);
      return keyArn === KEY_ARNS.bob ? tamper(made, spki) : made;
    };
    const gate = await start();
    await sessions(gate, 'alice', 'bob');
    await soon(() => codesOf(gate)).toEqual([code]);
    await soon(() => statusOf(gate)).toMatchObject({ state: 'waiting', waitingFor: ['bob'] });
    expect(storage.records.size).toBe(0);
  });
});
