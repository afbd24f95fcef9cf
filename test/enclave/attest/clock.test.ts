import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CLOCK_TRUST_MS, createTrustedClock, timestampOf } from '../../../enclave/attest/clock.ts';
import { createIssuer } from '../../../enclave/attest/issue.ts';
import type { AttestRequest, Nsm } from '../../../enclave/attest/nsm.ts';
import { encodeCbor } from '../../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../../enclave/encoding/cbor.ts';
import { decodeUserData } from '../../../enclave/protocol/user-data.ts';
import { policyDigest } from '../../../policies/digest.ts';
import { describeWithVectors } from '../../vectors.ts';

const NOON = Date.parse('2026-11-21T12:00:00Z');

const documentAt = (timestamp: CborValue): Uint8Array =>
  encodeCbor([new Uint8Array(0), new Map(), encodeCbor(new Map([['timestamp', timestamp]])), new Uint8Array(96)]);

/** Time as the module tells it, and monotonic time, both moved by hand. */
function hands(): { nsmTime: number; monotonic: number; asked: number } {
  return { nsmTime: NOON, monotonic: 5_000, asked: 0 };
}

describe('the trusted clock', () => {
  test('asks the module once a minute and counts in between', async () => {
    const at = hands();
    const clock = createTrustedClock(
      () => {
        at.asked += 1;
        return Promise.resolve(documentAt(at.nsmTime));
      },
      () => at.monotonic,
    );
    expect(await clock.now()).toBe(NOON);
    at.monotonic += CLOCK_TRUST_MS - 1;
    expect(await clock.now()).toBe(NOON + CLOCK_TRUST_MS - 1);
    expect(at.asked).toBe(1);
    at.monotonic += 1;
    at.nsmTime += 3_600_000;
    expect(await clock.now()).toBe(NOON + 3_600_000);
    expect(at.asked).toBe(2);
  });

  test('a monotonic clock that the host stopped is believed for no longer than the module is silent', async () => {
    const at = hands();
    const clock = createTrustedClock(
      () => Promise.resolve(documentAt(at.nsmTime)),
      () => at.monotonic,
    );
    await clock.now();
    // The machine was frozen for a day; the next connection's document says so.
    clock.observe(documentAt(NOON + 86_400_000));
    expect(await clock.now()).toBe(NOON + 86_400_000);
  });

  test('never goes backwards, whatever the module says', async () => {
    const at = hands();
    const clock = createTrustedClock(
      () => Promise.resolve(documentAt(at.nsmTime)),
      () => at.monotonic,
    );
    expect(await clock.now()).toBe(NOON);
    clock.observe(documentAt(NOON - 60_000));
    expect(await clock.now()).toBe(NOON);
    at.nsmTime -= 600_000;
    at.monotonic += CLOCK_TRUST_MS;
    expect(await clock.now()).toBe(NOON);
    at.monotonic -= 10 * CLOCK_TRUST_MS;
    expect(await clock.now()).toBe(NOON);
  });

  test('a module that fails gives no time', async () => {
    const clock = createTrustedClock(
      () => Promise.reject(new Error('gone')),
      () => 0,
    );
    await expect(clock.now()).rejects.toThrow('gone');
  });
});

describe('the timestamp of a document', () => {
  test.each([
    ['not a number', 'noon'],
    ['seconds', Math.floor(NOON / 1000)],
    ['negative', -1],
    ['far in the future', 9_000_000_000_000],
    ['beyond 2^53', 2n ** 60n],
  ] as const)('%s is refused', (_, timestamp) => {
    expect(() => timestampOf(documentAt(timestamp))).toThrow(expect.objectContaining({ code: 'clock/malformed' }));
  });

  test.each([
    ['no array', encodeCbor(new Map())],
    ['three elements', encodeCbor([1, 2, Uint8Array.of(0xa0)])],
    ['no payload', encodeCbor([1, 2, 3, 4])],
    ['no timestamp', encodeCbor([1, 2, Uint8Array.of(0xa0), 4])],
  ])('%s is refused', (_, document) => {
    expect(() => timestampOf(document)).toThrow(expect.objectContaining({ code: 'clock/malformed' }));
  });
});

interface Vector {
  readonly file: string;
  readonly timestamp?: number | string;
  readonly timestampMs?: number;
}

describeWithVectors('genuine documents', (folder) => {
  const index: readonly Vector[] = JSON.parse(readFileSync(join(folder, 'attestation', 'index.json'), 'utf8'));
  test.each(index.filter(({ file }) => file.includes('genuine')))('$file tells its time', ({ file }) => {
    const document = new Uint8Array(readFileSync(join(folder, 'attestation', file)));
    // The file's name carries the day.
    const day = /\d{4}-\d\d-\d\d/.exec(file)?.[0];
    expect(new Date(timestampOf(document)).toISOString().slice(0, 10)).toBe(day);
  });
});

describe('issuing documents', () => {
  const recording = (at: { nsmTime: number }): { nsm: Nsm; requests: AttestRequest[] } => {
    const requests: AttestRequest[] = [];
    const nsm: Nsm = {
      attest: (request) => {
        requests.push(request);
        return Promise.resolve(documentAt(at.nsmTime));
      },
      random: () => Promise.reject(new Error('not here')),
      describePcr: () => Promise.reject(new Error('not here')),
    };
    return { nsm, requests };
  };

  test('a connection’s document binds its key, the nonce of the hello and the policy', async () => {
    const at = hands();
    const digest = await policyDigest('{}');
    const { nsm, requests } = recording(at);
    const issuer = createIssuer(nsm, digest, () => at.monotonic);
    await issuer.forConnection(Uint8Array.of(1), Uint8Array.of(2));
    expect(requests).toEqual([
      { publicKey: Uint8Array.of(1), nonce: Uint8Array.of(2), userData: expect.any(Uint8Array) },
    ]);
    expect(decodeUserData(requests[0]?.userData ?? new Uint8Array(0)).policyDigest).toBe(digest);
  });

  test('KMS gets one document a boot, made anew before it is stale', async () => {
    const at = hands();
    const { nsm, requests } = recording(at);
    const issuer = createIssuer(nsm, await policyDigest('{}'), () => at.monotonic);
    const spki = Uint8Array.of(3);
    await Promise.all([issuer.forKms(spki), issuer.forKms(spki)]);
    at.monotonic += 60_000;
    await issuer.forKms(spki);
    expect(requests).toHaveLength(1);
    at.monotonic += 1;
    await issuer.forKms(spki);
    expect(requests).toHaveLength(2);
    expect(requests.every(({ publicKey, nonce }) => publicKey === spki && nonce === undefined)).toBe(true);
    at.monotonic -= 1;
    await issuer.forKms(spki);
    expect(requests).toHaveLength(3);
    const other = Uint8Array.of(4);
    await issuer.forKms(other);
    expect(requests.map(({ publicKey }) => publicKey)).toEqual([spki, spki, spki, other]);
  });

  test('the clock asks with a document of its own, which names the policy and no key', async () => {
    const at = hands();
    const { nsm, requests } = recording(at);
    const issuer = createIssuer(nsm, await policyDigest('{}'), () => at.monotonic);
    expect(await issuer.clock.now()).toBe(at.nsmTime);
    expect(requests).toEqual([{ userData: expect.any(Uint8Array) }]);
  });

  test('a document that could not be made is asked for again', async () => {
    const at = hands();
    let fails = true;
    const { nsm } = recording(at);
    const flaky: Nsm = {
      ...nsm,
      attest: (request) => (fails ? Promise.reject(new Error('busy')) : nsm.attest(request)),
    };
    const issuer = createIssuer(flaky, await policyDigest('{}'), () => at.monotonic);
    const spki = Uint8Array.of(3);
    await expect(issuer.forKms(spki)).rejects.toThrow('busy');
    fails = false;
    await expect(issuer.forKms(spki)).resolves.toBeInstanceOf(Uint8Array);
  });
});
