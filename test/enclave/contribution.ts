/** What a model's owner does before it asks the enclave to take a contribution. */
import { createHash, randomBytes } from 'node:crypto';
import { concat } from '../../enclave/encoding/bytes.ts';
import { modelContext } from '../../enclave/protocol/context.ts';
import type { EnvelopeHeader } from '../../enclave/protocol/envelope.ts';
import { sealEnvelope } from '../../enclave/protocol/envelope.ts';
import type { Contribute } from '../../enclave/protocol/request.ts';
import type { TestGate } from './harness.ts';
import { KEY_ARNS } from './harness.ts';

export interface Contribution {
  readonly blob: Uint8Array;
  readonly request: Contribute;
}

/** Encrypts a package for a gate. `header` changes what the envelope says, `context` what KMS is told. */
export async function encryptModel(
  gate: TestGate,
  plaintext: Uint8Array,
  changes: {
    readonly header?: Partial<EnvelopeHeader>;
    readonly context?: Readonly<Record<string, string>>;
    readonly dataKey?: Uint8Array;
    readonly testData?: boolean;
  } = {},
): Promise<Contribution> {
  const { testData = false } = changes;
  const context =
    changes.context ?? modelContext({ policyDigest: gate.policyDigest, party: 'bob', function: 'classify', testData });
  const dataKey = changes.dataKey ?? randomBytes(32);
  const header: EnvelopeHeader = {
    keyArn: KEY_ARNS.bob,
    dataKey: gate.kms.encrypt(KEY_ARNS.bob, dataKey, context),
    context,
    noncePrefix: randomBytes(7),
    plaintextBytes: plaintext.length,
    ...changes.header,
  };
  const parts: Uint8Array[] = [];
  for await (const part of sealEnvelope(header, dataKey, [plaintext])) parts.push(part);
  const blob = concat(...parts);
  return { blob, request: contributeRequest(blob, testData) };
}

export function contributeRequest(blob: Uint8Array, testData = false): Contribute {
  const envelopeSha256 = new Uint8Array(createHash('sha256').update(blob).digest());
  return { t: 'contribute', function: 'classify', envelopeSha256, bytes: blob.length, testData };
}

/** Bob hands a model over. Gives its SHA-256. */
export async function contribute(gate: TestGate, plaintext: Uint8Array): Promise<Uint8Array> {
  const { blob, request } = await encryptModel(gate, plaintext);
  gate.host.blobs.set('classify', blob);
  const bob = await gate.peer('bob');
  const answer = await bob.ask(request);
  bob.close();
  if (answer === 'closed' || answer.t !== 'contributed') throw new Error(JSON.stringify(answer));
  return answer.modelSha256;
}
