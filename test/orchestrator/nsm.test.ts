import { X509Certificate, createHash, createPrivateKey, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createNsm } from '../../enclave/attest/device.ts';
import type { Nsm } from '../../enclave/attest/nsm.ts';
import { nsmOverSocket } from '../../enclave/attest/nsm-socket.ts';
import type { NsmTransport } from '../../enclave/attest/device.ts';
import { decodeCbor, encodeCbor } from '../../enclave/encoding/cbor.ts';
import type { CborValue } from '../../enclave/encoding/cbor.ts';
import { createAttestationIssuer } from '../../orchestrator/local/attestation-issuer.ts';
import { createLocalNsm, startLocalNsm } from '../../orchestrator/local/nsm.ts';
import type { AttestationIssuer } from '../../orchestrator/local/attestation-issuer.ts';
import type { LocalNsm } from '../../orchestrator/local/nsm.ts';
import { localRoot, notChecked, parseAttestation, verifyAttestation } from '../../parties/attestation/verify.ts';
import type { Expectation } from '../../parties/attestation/verify.ts';
import { Failure } from '../../policies/failure.ts';

const HOUR = 3_600_000;
const MODULE = 'i-0123456789abcdef0-enc0123456789abcdef';
const PCRS = new Map([0, 1, 2, 3, 4].map((index) => [index, new Uint8Array(48).fill(index + 1)]));

let folder: string;
let issuer: AttestationIssuer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-nsm-'));
  issuer = await createAttestationIssuer(join(folder, 'root'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function expectation(overrides: Partial<Expectation> = {}): Expectation {
  return {
    roots: [localRoot(issuer.rootSha256)],
    at: new Date(),
    pcrs: notChecked('not of interest here'),
    nonce: notChecked('not of interest here'),
    policyDigest: notChecked('not of interest here'),
    maxAgeMs: 60_000,
    allowDebug: false,
    ...overrides,
  };
}

describe('the module over its socket', () => {
  let nsm: LocalNsm;
  let transport: NsmTransport;
  let device: Nsm;

  beforeAll(async () => {
    const socketPath = join(folder, 'nsm.sock');
    nsm = await startLocalNsm({ socketPath, pcrs: PCRS, moduleId: MODULE, issuer });
    transport = nsmOverSocket(async () => {
      const socket = connect(socketPath);
      await once(socket, 'connect');
      return socket;
    });
    device = createNsm(transport);
  });
  afterAll(async () => {
    transport.close();
    await nsm.close();
    await expect(stat(join(folder, 'nsm.sock'))).rejects.toThrow('ENOENT');
  });

  test('documents verify under the local root, with what was asked for in them', async () => {
    const request = { publicKey: randomBytes(32), userData: new Uint8Array(), nonce: randomBytes(1024) };
    const document = parseAttestation(await device.attest(request));
    const verified = await verifyAttestation(document, expectation({ nonce: request.nonce }));
    expect(verified.root.kind).toBe('local');
    expect(verified.debug).toBe(false);
    expect(document.moduleId).toBe(MODULE);
    expect(document.publicKey).toStrictEqual(new Uint8Array(request.publicKey));
    expect(document.userData).toHaveLength(0);
    expect([...document.pcrs.keys()]).toStrictEqual(Array.from({ length: 16 }, (_, index) => index));
    expect(document.pcrs.get(2)).toStrictEqual(new Uint8Array(48).fill(3));
    expect(document.pcrs.get(15)).toStrictEqual(new Uint8Array(48));
    expect(document.cabundle).toHaveLength(4);
    expect(document.cose.payload[0]).toBe(0xbf);
  });

  test('what is absent is null, as the hardware writes it', async () => {
    const document = parseAttestation(await device.attest({}));
    expect([document.publicKey, document.userData, document.nonce]).toStrictEqual([undefined, undefined, undefined]);
    const payload = decodeCbor(document.cose.payload, { maxBytes: 16_384, foreign: true });
    expect(payload instanceof Map && payload.get('nonce')).toBeNull();
  });

  test('random bytes and registers', async () => {
    expect(await device.random(256)).not.toStrictEqual(await device.random(256));
    expect(await device.describePcr(4)).toStrictEqual(PCRS.get(4));
  });

  test('overlapping requests are answered each with its own', async () => {
    const nonces = Array.from({ length: 8 }, () => new Uint8Array(randomBytes(32)));
    const documents = await Promise.all(nonces.map((nonce) => device.attest({ nonce })));
    expect(documents.map((bytes) => parseAttestation(bytes).nonce)).toStrictEqual(nonces);
  });

  test('a request longer than the device takes ends the connection; the next one is served', async () => {
    await expect(transport.exchange(new Uint8Array(4097))).rejects.toBeInstanceOf(Failure);
    expect(await device.random(1)).toHaveLength(1);
  });
});

describe('the module', () => {
  const ask = async (
    request: CborValue | Uint8Array,
    module = createLocalNsm({ pcrs: PCRS, moduleId: MODULE, issuer }),
  ) => decodeCbor(await module(request instanceof Uint8Array ? request : encodeCbor(request)), { maxBytes: 12_288 });
  const call = (name: string, fields: Record<string, CborValue>): CborValue =>
    new Map([[name, new Map(Object.entries(fields))]]);
  const error = (name: string): CborValue => new Map([['Error', name]]);

  test.each<readonly [string, string, CborValue | Uint8Array]>([
    ['InvalidArgument', 'no request at all', Uint8Array.of(0xff)],
    ['InvalidArgument', 'an unknown request', 'Reboot'],
    ['InvalidArgument', 'an unknown request with fields', call('Reboot', {})],
    ['InvalidArgument', 'two requests', new Map([['LockPCR', new Map()], ['GetRandom', new Map()]])], // prettier-ignore
    ['InvalidArgument', 'a missing field', call('DescribePCR', {})],
    ['InvalidArgument', 'a field of another type', call('Attestation', { nonce: 'text' })],
    ['InvalidArgument', 'an empty public key', call('Attestation', { public_key: new Uint8Array() })],
    ['InputTooLarge', 'a nonce of 1025 bytes', call('Attestation', { nonce: new Uint8Array(1025) })],
    ['InputTooLarge', 'user data of 1025 bytes', call('Attestation', { user_data: new Uint8Array(1025) })],
    ['InputTooLarge', 'a public key of 1025 bytes', call('Attestation', { public_key: new Uint8Array(1025) })],
    ['InvalidIndex', 'PCR32', call('DescribePCR', { index: 32 })],
    ['ReadOnlyIndex', 'extending a locked PCR', call('ExtendPCR', { index: 0, data: Uint8Array.of(1) })],
    ['ReadOnlyIndex', 'locking a locked PCR', call('LockPCR', { index: 0 })],
    ['InvalidIndex', 'locking beyond the last', call('LockPCRs', { range: 33 })],
  ])('%s: %s', async (name, _, request) => {
    expect(await ask(request)).toStrictEqual(error(name));
  });

  test('a free register is extended, and is in documents once it is locked', async () => {
    const module = createLocalNsm({ pcrs: PCRS, moduleId: MODULE, issuer });
    const data = Uint8Array.of(1, 2, 3);
    const expected = new Uint8Array(createHash('sha384').update(new Uint8Array(48)).update(data).digest());
    expect(await ask(call('ExtendPCR', { index: 16, data }), module)).toStrictEqual(
      call('ExtendPCR', { data: expected }),
    );
    const pcrs = async (): Promise<ReadonlyMap<number, Uint8Array>> => {
      const response = await ask(call('Attestation', {}), module);
      const inner = response instanceof Map ? response.get('Attestation') : undefined;
      const document: unknown = inner instanceof Map ? inner.get('document') : undefined;
      return parseAttestation(document instanceof Uint8Array ? document : new Uint8Array()).pcrs;
    };
    expect((await pcrs()).has(16)).toBe(false);
    expect(await ask(call('LockPCR', { index: 16 }), module)).toBe('LockPCR');
    expect((await pcrs()).get(16)).toStrictEqual(expected);
    expect(await ask(call('ExtendPCR', { index: 16, data }), module)).toStrictEqual(error('ReadOnlyIndex'));
  });

  test('registers are locked together up to a bound', async () => {
    const module = createLocalNsm({ pcrs: PCRS, moduleId: MODULE, issuer });
    expect(await ask(call('LockPCRs', { range: 18 }), module)).toBe('LockPCRs');
    const locked = await Promise.all([17, 18].map((index) => ask(call('DescribePCR', { index }), module)));
    expect(locked).toStrictEqual([true, false].map((lock) => call('DescribePCR', { lock, data: new Uint8Array(48) })));
  });

  test('describes itself', async () => {
    const described = await ask('DescribeNSM');
    const fields = described instanceof Map ? described.get('DescribeNSM') : undefined;
    expect(fields instanceof Map && [fields.get('module_id'), fields.get('max_pcrs')]).toStrictEqual([MODULE, 32]);
  });

  test('any bytes get an answer', async () => {
    const module = createLocalNsm({ pcrs: PCRS, moduleId: MODULE, issuer });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
        expect(await ask(bytes, module)).toBeDefined();
      }),
    );
  });
});

describe('the issuer', () => {
  test('keeps its root, readable by its owner alone', async () => {
    const path = join(folder, 'kept');
    const first = await createAttestationIssuer(path);
    const second = await createAttestationIssuer(path);
    expect(second.rootSha256).toBe(first.rootSha256);
    expect((await stat(join(path, 'root.json'))).mode & 0o777).toBe(0o600);
    expect(new Uint8Array(await readFile(join(path, 'root.der')))).toStrictEqual(first.root);
    expect((await readdir(path)).toSorted()).toStrictEqual(['root.der', 'root.json']);
  });

  test('several processes that start at once agree on one root', async () => {
    const path = join(folder, 'raced');
    const issuers = await Promise.all(Array.from({ length: 4 }, () => createAttestationIssuer(path)));
    expect(new Set(issuers.map(({ rootSha256 }) => rootSha256)).size).toBe(1);
  });

  test('a damaged root is reported, never replaced', async () => {
    const path = join(folder, 'damaged');
    await createAttestationIssuer(path);
    const file = join(path, 'root.json');
    await writeFile(file, '{"certificate":"AA=="}');
    await expect(createAttestationIssuer(path)).rejects.toMatchObject({ code: 'local-attestation/root-unreadable' });
    expect(await readFile(file, 'utf8')).toBe('{"certificate":"AA=="}');
  });

  test('renews what expires: each document is valid for an hour or more, over months', async () => {
    let now = Date.now();
    const clocked = await createAttestationIssuer(join(folder, 'clocked'), { now: () => now });
    const leaves = new Set<string>();
    for (const hours of [0, 1, 1.9, 2.1, 23, 24, 24 * 7, 24 * 60]) {
      now += hours * HOUR;
      const document = parseAttestation(await clocked.sign({ moduleId: MODULE, pcrs: PCRS }));
      leaves.add(Buffer.from(document.certificate).toString('hex'));
      for (const at of [now, now + HOUR]) {
        await verifyAttestation(document, {
          ...expectation({ roots: [localRoot(clocked.rootSha256)], maxAgeMs: HOUR }),
          at: new Date(at),
        });
      }
      const last = new X509Certificate(document.certificate);
      expect(Date.parse(last.validTo) - now).toBeLessThanOrEqual(3 * HOUR);
    }
    expect(leaves.size).toBe(7);
  });

  test('enclaves that start at once have a leaf each, under one chain', async () => {
    const sign = async (moduleId: string) => parseAttestation(await issuer.sign({ moduleId, pcrs: PCRS }));
    const [a, b, again] = await Promise.all([sign('i-a-enc1'), sign('i-b-enc2'), sign('i-a-enc1')]);
    expect(a.cabundle).toStrictEqual(b.cabundle);
    expect(a.certificate).toStrictEqual(again.certificate);
    expect(a.certificate).not.toStrictEqual(b.certificate);
  });

  test('writes the folder from which another program signs', async () => {
    const path = join(folder, 'qemu');
    await issuer.writeKeyFolder(path, MODULE);
    expect((await readdir(path)).toSorted()).toStrictEqual(['ca-0.der', 'ca-1.der', 'ca-2.der', 'ca-3.der', 'leaf.der', 'leaf.key']); // prettier-ignore
    expect((await stat(join(path, 'leaf.key'))).mode & 0o777).toBe(0o600);
    const leaf = new X509Certificate(await readFile(join(path, 'leaf.der')));
    expect(leaf.checkPrivateKey(createPrivateKey(await readFile(join(path, 'leaf.key'))))).toBe(true);
    expect(leaf.checkIssued(new X509Certificate(await readFile(join(path, 'ca-3.der'))))).toBe(true);
    expect(new Uint8Array(await readFile(join(path, 'ca-0.der')))).toStrictEqual(issuer.root);
  });
});
