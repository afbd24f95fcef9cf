/**
 * From the host's blob to a loaded model. Every step narrows what the bytes can be:
 *
 *   1. the host sends as many bytes as the party named            else: cut, or another file
 *   2. the header's key is the party's, its context this policy's, party's, purpose's (a model, or one marked as test data)
 *      and function's
 *                                                                 else: a ciphertext made for something else is offered
 *   3. KMS opens the data key, attested, with that context        else: another image, or the owner withdrew
 *   4. every chunk is authentic under it                          else: changed
 *   5. SHA-256 of all that the host sent is what the party named  else: an older contribution is offered
 *   6. the package is a model of this kind, and the one that the policy pins, if it pins one
 *   7. the computing process takes it
 */
import { createHash } from 'node:crypto';
import { Failure } from '../policies/failure.ts';
import type { ModelFunctionPolicy } from '../policies/model.ts';
import { constantTimeEqual } from './crypto/digest.ts';
import type { StreamCode } from './crypto/stream.ts';
import { parseModelPackage } from './functions/model-package.ts';
import type { ModelCode } from './functions/model-refusal.ts';
import type { Gate } from './gate.ts';
import type { JailCode } from './jail/jail-failure.ts';
import type { AttestedCode } from './kms/attested.ts';
import type { LoadedModel } from './models.ts';
import type { Session } from './pipeline/authenticate.ts';
import { modelContext, sameContext } from './protocol/context.ts';
import type { EnvelopeCode } from './protocol/envelope.ts';
import { readEnvelope } from './protocol/envelope.ts';
import type { Contribute } from './protocol/request.ts';
import type { Blob, HostCode } from './vsock/host.ts';

export type ContributionCode =
  | AttestedCode
  | EnvelopeCode
  | HostCode
  | JailCode
  | ModelCode
  | StreamCode
  | 'contribution/absent' // the host has none
  | 'contribution/wrong-length'
  | 'contribution/wrong-hash'
  | 'contribution/wrong-key'
  | 'contribution/wrong-context'
  | 'contribution/not-pinned'; // another model than the policy pins

/** Fetches, opens and loads. Throws `Failure<ContributionCode>`; nothing is in place before the caller puts it there. */
export async function loadContribution(
  gate: Gate,
  session: Session,
  request: Contribute,
  policy: ModelFunctionPolicy,
  signal: AbortSignal,
): Promise<LoadedModel> {
  const blob = await gate.host.contribution(request.function, signal);
  if (blob === undefined) throw mismatch('contribution/absent', 'the host has no contribution for this function');
  let taken = false;
  let plaintext: Uint8Array | undefined;
  try {
    plaintext = await openBlob(gate, session, request, blob, signal);
    const model = parseModelPackage(plaintext, policy.uses, policy.output.labels);
    if (policy.model.sha256 !== undefined && policy.model.sha256 !== model.sha256) {
      throw mismatch('contribution/not-pinned', `the policy pins another model; this one is ${model.sha256}`);
    }
    const computer = await gate.startComputer({ kind: policy.uses, model, policy, signal });
    taken = true;
    return { sha256: model.sha256, computer };
  } finally {
    blob.close();
    // A model in place keeps its bytes, for the processes that take a dead one's place. Any other leaves no trace.
    if (!taken) plaintext?.fill(0);
  }
}

async function openBlob(
  gate: Gate,
  session: Session,
  request: Contribute,
  blob: Blob,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (blob.bytes !== request.bytes) {
    throw mismatch('contribution/wrong-length', `the host has ${blob.bytes} bytes, the party named ${request.bytes}`);
  }
  const hash = createHash('sha256');
  const envelope = await readEnvelope(hashed(blob.content(), hash));
  const { header } = envelope;
  const { party, keyArn, credentials } = session;
  if (header.keyArn !== keyArn) throw mismatch('contribution/wrong-key', 'it is encrypted under another key');
  const { function: name, testData } = request;
  const context = modelContext({ policyDigest: gate.policyDigest, party, function: name, testData });
  if (!sameContext(header.context, context)) {
    throw mismatch('contribution/wrong-context', 'it was encrypted for another policy, party, purpose or function');
  }
  const dataKey = await gate.decrypt({ keyArn, ciphertext: header.dataKey, context, credentials }, signal);
  try {
    const plaintext = await gather(envelope.open(dataKey), blob.bytes);
    if (!constantTimeEqual(new Uint8Array(hash.digest()), request.envelopeSha256)) {
      plaintext.fill(0);
      throw mismatch('contribution/wrong-hash', 'the host has another contribution than the one that was named');
    }
    return plaintext;
  } finally {
    dataKey.fill(0);
  }
}

/** One buffer, no longer than the ciphertext was: no second copy of the plaintext is left lying about. */
async function gather(parts: AsyncIterable<Uint8Array>, atMost: number): Promise<Uint8Array> {
  const whole = new Uint8Array(atMost);
  let length = 0;
  try {
    for await (const part of parts) {
      whole.set(part, length);
      length += part.length;
      part.fill(0);
    }
  } catch (error) {
    whole.fill(0);
    throw error;
  }
  return whole.subarray(0, length);
}

async function* hashed(
  source: AsyncIterable<Uint8Array>,
  hash: ReturnType<typeof createHash>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const part of source) {
    hash.update(part);
    yield part;
  }
}

function mismatch(code: ContributionCode, message: string): Failure<ContributionCode> {
  return new Failure('refused', code, message);
}
