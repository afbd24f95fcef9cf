/**
 * From the host's blob to a loaded model. Every step narrows what the bytes can be:
 *
 *   1. the host sends as many bytes as the party named            else: cut, or another file
 *   2. the header's key is the party's, its context this policy's, party's, purpose's (a model, or one marked as test data)
 *      and function's
 *                                                                 else: a ciphertext made for something else is offered
 *   3. KMS opens the data key, attested, with that context        else: another image, or the owner withdrew
 *      (after a restart it comes from the sealed state instead)
 *   4. every chunk is authentic under it                          else: changed
 *   5. SHA-256 of all that the host sent is what the party named  else: an older contribution is offered
 *   6. the package is a model of this kind, and the one that the policy pins, if it pins one
 *   7. the computing process takes it
 */
import { createHash } from 'node:crypto';
import { Failure } from '../policies/failure.ts';
import type { ModelFunctionPolicy } from '../policies/model.ts';
import { constantTimeEqual } from './crypto/digest.ts';
import { hashed } from './crypto/hashed.ts';
import type { StreamCode } from './crypto/stream.ts';
import { parseModelPackage } from './functions/model-package.ts';
import type { ModelCode } from './functions/model-refusal.ts';
import type { Gate } from './gate.ts';
import type { JailCode } from './jail/jail-failure.ts';
import type { AttestedCode } from './kms/attested.ts';
import type { LoadedModel } from './models.ts';
import type { Session } from './pipeline/authenticate.ts';
import type { EncryptionContext } from './protocol/context.ts';
import { modelContext, sameContext } from './protocol/context.ts';
import type { EnvelopeCode, EnvelopeHeader } from './protocol/envelope.ts';
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

/** Which contribution, and whose. */
export type NamedContribution = Omit<Contribute, 't'> & Pick<Session, 'party' | 'keyArn'>;

export interface LoadedContribution {
  readonly model: LoadedModel;
  /** 32 bytes, which the caller erases. */
  readonly dataKey: Uint8Array;
}

/** Gives the data key of an envelope (32 bytes) that is for this context. */
export type OpenDataKey = (header: EnvelopeHeader, context: EncryptionContext) => Promise<Uint8Array>;

/** Fetches, opens and loads. Throws `Failure<ContributionCode>`; nothing is in place before the caller puts it there. */
export async function loadContribution(
  gate: Gate,
  named: NamedContribution,
  policy: ModelFunctionPolicy,
  openDataKey: OpenDataKey,
  signal: AbortSignal,
): Promise<LoadedContribution> {
  const blob = await gate.host.contribution(named.function, { sha256: named.envelopeSha256 }, signal);
  if (blob === undefined) throw mismatch('contribution/absent', 'the host does not have this contribution');
  let taken = false;
  let opened: OpenedBlob | undefined;
  try {
    opened = await openBlob(gate, named, blob, openDataKey);
    const { plaintext, dataKey } = opened;
    const model = parseModelPackage(plaintext, policy.uses, policy.output.labels);
    if (policy.model.sha256 !== undefined && policy.model.sha256 !== model.sha256) {
      throw mismatch('contribution/not-pinned', `the policy pins another model; this one is ${model.sha256}`);
    }
    const computer = await gate.startComputer({ kind: policy.uses, model, policy, signal });
    taken = true;
    return { model: { sha256: model.sha256, computer }, dataKey };
  } finally {
    blob.close();
    // A model in place keeps its bytes, for the processes that take a dead one's place. Any other leaves no trace.
    if (!taken) {
      opened?.plaintext.fill(0);
      opened?.dataKey.fill(0);
    }
  }
}

interface OpenedBlob {
  readonly plaintext: Uint8Array;
  readonly dataKey: Uint8Array;
}

async function openBlob(
  gate: Gate,
  named: NamedContribution,
  blob: Blob,
  openDataKey: OpenDataKey,
): Promise<OpenedBlob> {
  if (blob.bytes !== named.bytes) {
    throw mismatch('contribution/wrong-length', `the host has ${blob.bytes} bytes, the party named ${named.bytes}`);
  }
  const hash = createHash('sha256');
  const envelope = await readEnvelope(hashed(blob.content(), hash));
  const { header } = envelope;
  if (header.keyArn !== named.keyArn) throw mismatch('contribution/wrong-key', 'it is encrypted under another key');
  const context = modelContext({ ...named, policyDigest: gate.policyDigest });
  if (!sameContext(header.context, context)) {
    throw mismatch('contribution/wrong-context', 'it was encrypted for another policy, party, purpose or function');
  }
  const dataKey = await openDataKey(header, context);
  try {
    const plaintext = await gather(envelope.open(dataKey), blob.bytes);
    if (!constantTimeEqual(new Uint8Array(hash.digest()), named.envelopeSha256)) {
      plaintext.fill(0);
      throw mismatch('contribution/wrong-hash', 'the host has another contribution than the one that was named');
    }
    return { plaintext, dataKey };
  } catch (error) {
    dataKey.fill(0);
    throw error;
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

function mismatch(code: ContributionCode, message: string): Failure<ContributionCode> {
  return new Failure('refused', code, message);
}
