/** What owners encrypt for the enclave alone: models, and credentials for their anchors. */
import { createHash } from 'node:crypto';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { anchorContext, modelContext } from '../../../enclave/protocol/context.ts';
import type { EncryptionContext } from '../../../enclave/protocol/context.ts';
import { sealEnvelope } from '../../../enclave/protocol/envelope.ts';
import type { PolicyDigest } from '../../../policies/model.ts';
import { keyArnOf } from './agreement.ts';
import type { SimulatedKms } from './kms.ts';
import type { Prng } from './prng.ts';

export interface Sealed {
  readonly blob: Uint8Array;
  readonly sha256: Uint8Array;
}

interface Owner {
  readonly kms: SimulatedKms;
  readonly random: Prng;
  readonly party: string;
  readonly policyDigest: PolicyDigest;
}

export function sealModel(owner: Owner, name: string, plaintext: Uint8Array): Promise<Sealed> {
  return sealed(owner, modelContext({ ...owner, function: name, testData: false }), plaintext);
}

export function sealAnchorCredential(owner: Owner): Promise<Sealed> {
  const credential = { accessKeyId: `AKIA${owner.party}`, secretAccessKey: `secret of ${owner.party}` };
  return sealed(owner, anchorContext(owner), new TextEncoder().encode(JSON.stringify(credential)));
}

async function sealed(
  { kms, random, party }: Owner,
  context: EncryptionContext,
  plaintext: Uint8Array,
): Promise<Sealed> {
  const keyArn = keyArnOf(party);
  const dataKey = random.bytes(32);
  const header = {
    keyArn,
    dataKey: kms.encrypt(keyArn, dataKey, context),
    context,
    noncePrefix: random.bytes(7),
    plaintextBytes: plaintext.length,
  };
  const parts: Uint8Array[] = [];
  for await (const part of sealEnvelope(header, dataKey, [plaintext])) parts.push(part);
  const blob = concat(...parts);
  return { blob, sha256: new Uint8Array(createHash('sha256').update(blob).digest()) };
}
