/**
 * What it costs to seal 64 MiB of state so that 1, 3 or 5 parties together open it, against one pass of AES-256-GCM over the
 * same bytes. All of it counts: wrapping the state key, the record's chunks and tags, and the SHA-256 that is claimed.
 * Where one pass ends, the sealed bytes lie in memory; so they do here.
 *
 * It is a process of its own, with nothing in it but what the gate has: what else a process has loaded, the collector goes
 * through each time that so many bytes become garbage.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { concat } from '../../enclave/encoding/bytes.ts';
import { storedKeySet } from '../../enclave/state/key-set.ts';
import { makeKeySet } from '../../enclave/state/layers.ts';
import { sealRecord } from '../../enclave/state/record.ts';
import { openRecord } from '../../enclave/state/restore.ts';
import { policyDigest } from '../../policies/digest.ts';
import type { Emit } from './figure.ts';
import { interleaved, rounded } from './figure.ts';

const BYTES = 64 * 1024 * 1024;
const PARTIES = ['alice', 'bob', 'charlie', 'dora', 'erin'];
const ROUNDS = 15;
const MOST = 1.15;

const random = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes));

async function measure(emit: Emit): Promise<void> {
  const content = random(BYTES);
  const raw = random(32);
  const onePass = (): readonly Uint8Array[] => {
    const cipher = createCipheriv('aes-256-gcm', raw, random(12));
    const sealed = cipher.update(content);
    cipher.final();
    return [sealed, cipher.getAuthTag()];
  };
  for (const parties of [1, 3, 5]) {
    const compared = await interleaved({ rounds: ROUNDS }, await sealer(parties, content), onePass);
    emit({
      figure: `sealing: 64 MiB under ${parties} ${parties === 1 ? 'party' : 'parties'}`,
      value: rounded(compared.value, 1),
      unit: 'ms',
      reference: rounded(compared.reference, 1),
      ratio: rounded(compared.ratio),
      target: '<= 1.15 x',
      met: compared.ratio <= MOST,
      note: `one AES-256-GCM pass (node:crypto, one update); quickest ${rounded(compared.quickest.value, 1)} and ${rounded(compared.quickest.reference, 1)} ms`,
    });
  }
  const flat = await interleaved({ rounds: ROUNDS }, await sealer(5, content), await sealer(1, content));
  emit({
    figure: 'sealing: 64 MiB under 5 parties, flat',
    value: rounded(flat.value, 1),
    unit: 'ms',
    reference: rounded(flat.reference, 1),
    ratio: rounded(flat.ratio),
    target: '<= 1.15 x',
    met: flat.ratio <= MOST,
    note: 'the same under one party',
  });
  await benchOpening(emit, content);
}

/** For the reader: taking a record back, its hash and every tag checked. */
async function benchOpening(emit: Emit, content: Uint8Array): Promise<void> {
  const raw = random(32);
  const nonce = random(12);
  const cipher = createCipheriv('aes-256-gcm', raw, nonce);
  const sealedOnce = cipher.update(content);
  cipher.final();
  const tag = cipher.getAuthTag();
  const onePass = (): Uint8Array => {
    const decipher = createDecipheriv('aes-256-gcm', raw, nonce).setAuthTag(tag);
    const opened = decipher.update(sealedOnce);
    decipher.final();
    return opened;
  };
  const setting = { collaboration: 'bench', policyDigest: await policyDigest('bench'), keysDigest: random(32) };
  const place = { name: 'function.bench', version: 1 };
  const { parts, sha256 } = await sealRecord(setting, place, raw, content, random);
  const whole = concat(...parts);
  const compared = await interleaved({ rounds: ROUNDS }, () => openRecord(setting, place, sha256, raw, whole), onePass);
  emit({
    figure: 'sealing: 64 MiB taken back',
    value: rounded(compared.value, 1),
    unit: 'ms',
    reference: rounded(compared.reference, 1),
    ratio: rounded(compared.ratio),
    target: 'none: for the reader',
    met: true,
    note: 'against one AES-256-GCM pass that opens the same bytes; with SHA-256',
  });
}

/** Seals the content anew each time, as at a collaboration's first boot: a set of wrapped keys and one record. */
async function sealer(parties: number, content: Uint8Array): Promise<() => Promise<unknown>> {
  const order = PARTIES.slice(0, parties);
  const terms = { collaboration: 'bench', policyDigest: await policyDigest('bench'), seal: 'layered' as const, order };
  const dataKeys = new Map(order.map((party) => [party, { ciphertext: random(184), plaintext: random(32) }]));
  return async () => {
    const stateKey = random(32);
    const set = await makeKeySet(terms, dataKeys, stateKey, random);
    const { sha256: keysDigest } = await storedKeySet(set);
    const setting = { ...terms, keysDigest };
    return sealRecord(setting, { name: 'function.bench', version: 0 }, stateKey, content, random);
  };
}

await measure((line) => void process.stdout.write(`${JSON.stringify(line)}\n`));
