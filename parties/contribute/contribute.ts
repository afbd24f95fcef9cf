/**
 * A model on its way from its owner to the enclave, through the hands of a host that must learn nothing of it:
 *
 *     pack -> encrypt under the owner's KMS key -> store with the orchestrator -> name it in the owner's own session
 *
 * The enclave takes exactly the bytes that the session names, and answers with the digest of what it opened: that digest
 * is the model's own, computed here before anything was sent.
 */
import type { RandomSource } from '../../enclave/crypto/random.ts';
import { toHex } from '../../enclave/encoding/hex.ts';
import { isTreeManifest } from '../../enclave/functions/model-manifest.ts';
import type { ModelPackage } from '../../enclave/functions/model-package.ts';
import { packModel, parseModelPackage } from '../../enclave/functions/model-package.ts';
import { readTree } from '../../enclave/jail/tree-file.ts';
import { modelContext } from '../../enclave/protocol/context.ts';
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { Failure } from '../../policies/failure.ts';
import type { ModelFunctionPolicy } from '../../policies/model.ts';
import type { Coordinator } from '../coordinator/client.ts';
import type { CoordinatorCode } from '../coordinator/problem.ts';
import type { Home } from '../home.ts';
import type { DataKeys } from '../kms/data-keys.ts';
import { encryptFile } from '../kms/envelope.ts';
import { Refused } from '../session/refusal.ts';
import type { Session } from '../session/session.ts';
import { spool } from './outbox.ts';
import type { Outgoing } from './outbox.ts';

export type ContributeCode =
  | 'contribute/too-large'
  | 'contribute/not-pinned' // the policy pins another model
  | 'contribute/other-model'; // the enclave opened something else

export interface Contribution {
  readonly function: string;
  /** Hex; what a policy may pin. */
  readonly modelSha256: string;
  /** Hex, of the ciphertext that the orchestrator holds. */
  readonly envelopeSha256: string;
  readonly envelopeBytes: number;
}

export interface ContributeOptions {
  readonly home: Home;
  readonly functionName: string;
  readonly model: ModelPackage;
  /** The package's bytes; overwritten once they are encrypted. */
  readonly packed: Uint8Array;
  readonly coordinator: Pick<Coordinator, 'contribute'>;
  readonly dataKeys: DataKeys;
  /** Marks the model as test data: for an enclave in debug mode. Default no. */
  readonly testData?: boolean;
  /** Opened only when the envelope is stored. */
  readonly openSession: () => Promise<Pick<Session, 'contribute' | 'close'>>;
  readonly random: RandomSource;
  readonly signal?: AbortSignal;
  readonly onProgress: (step: string, done?: number, total?: number) => void;
}

/**
 * Joins and checks manifest and model as the enclave will, before KMS or anybody else is asked. A tree is read to its last
 * leaf; what the ONNX file of a picture model holds is for the enclave's jail to judge.
 */
export function prepareModel(
  manifest: string,
  file: Uint8Array,
  policy: ModelFunctionPolicy,
): { readonly model: ModelPackage; readonly packed: Uint8Array } {
  const packed = packModel(manifest, file);
  const model = parseModelPackage(packed, policy.uses, policy.output.labels);
  if (policy.uses === 'decision-tree' && isTreeManifest(model.manifest)) {
    readTree(model.file, model.manifest, policy.tree);
  }
  const { sha256 } = policy.model;
  if (sha256 !== undefined && sha256 !== model.sha256) {
    throw new Failure<ContributeCode>('refused', 'contribute/not-pinned', 'the policy pins another model', {
      where: `this one is ${model.sha256}, the policy names ${sha256}`,
      hint: 'contribute the very files that were pinned: manifest and model, byte for byte',
    });
  }
  return { model, packed };
}

export async function contributeModel(options: ContributeOptions): Promise<Contribution> {
  const { home, functionName, model, coordinator, signal, onProgress } = options;
  const envelope = await encryptModel(options);
  try {
    const where = home.config.collaboration;
    onProgress('storing the envelope', 0, envelope.bytes);
    const content = counted(envelope.content(), (done) => onProgress('storing the envelope', done, envelope.bytes));
    const stored = await coordinator.contribute(where, functionName, { content, bytes: envelope.bytes }, signal);
    demandStored(stored, envelope);
    const session = await options.openSession();
    try {
      onProgress('the enclave opens and loads the model');
      const answer = await session.contribute(functionName, envelope.sha256, envelope.bytes, options.testData);
      if (answer.t === 'refused') throw new Refused(answer, { price: 'nothing' });
      if (toHex(answer.modelSha256) !== model.sha256) throw otherModel(toHex(answer.modelSha256));
    } finally {
      await session.close();
    }
    return {
      function: functionName,
      modelSha256: model.sha256,
      envelopeSha256: toHex(envelope.sha256),
      envelopeBytes: envelope.bytes,
    };
  } finally {
    await envelope.discard();
  }
}

async function encryptModel(options: ContributeOptions): Promise<Outgoing> {
  const { home, functionName, packed, dataKeys, random, signal, onProgress, testData = false } = options;
  const { party, keyArn } = home.config;
  onProgress('asking KMS for a data key');
  const encrypted = await encryptFile({
    dataKeys,
    keyArn,
    context: modelContext({ policyDigest: home.pins.policyDigest, party, function: functionName, testData }),
    plaintext: [packed],
    plaintextBytes: packed.length,
    random,
    ...(signal === undefined ? {} : { signal }),
  });
  const total = encrypted.bytes ?? packed.length;
  if (total > LIMITS.contributionBytes) {
    throw new Failure<ContributeCode>('malformed', 'contribute/too-large', `the encrypted model has ${total} bytes`, {
      hint: `at most ${LIMITS.contributionBytes} are taken`,
    });
  }
  try {
    return await spool(home, encrypted.content, (done) => onProgress('encrypting', done, total));
  } finally {
    packed.fill(0);
  }
}

/** An orchestrator that stored something else would be found out by the enclave; here it costs no session. */
export function demandStored(stored: { readonly bytes: number; readonly sha256: string }, sent: Outgoing): void {
  if (stored.bytes === sent.bytes && stored.sha256 === toHex(sent.sha256)) return;
  throw new Failure<CoordinatorCode>(
    'environment',
    'coordinator/other-bytes',
    'the orchestrator stored something else',
    {
      where: `${stored.bytes} bytes, SHA-256 ${stored.sha256}; sent were ${sent.bytes}, ${toHex(sent.sha256)}`,
      hint: 'try again; if it recurs, the host changes what it is given',
    },
  );
}

function otherModel(found: string): Failure<ContributeCode> {
  return new Failure(
    'refused',
    'contribute/other-model',
    'the enclave opened another model than the one that was sent',
    {
      where: found,
      hint: 'do not rely on this enclave, and report it: this cannot happen with the image that you pinned',
    },
  );
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  onProgress: (done: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let done = 0;
  for await (const piece of source) {
    yield piece;
    onProgress((done += piece.length));
  }
}
