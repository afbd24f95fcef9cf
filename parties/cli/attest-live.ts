/** What `accord attest` judges without `--document`: a fresh document of the enclave that runs now. */
import { parseAttestation } from '../attestation/verify.ts';
import type { AttestationDocument, Expectation } from '../attestation/verify.ts';
import { createCoordinator } from '../coordinator/client.ts';
import { Failure } from '../../policies/failure.ts';
import { openChosenHome } from '../home.ts';
import type { HomeChoice } from '../home.ts';
import { pinnedExpectation } from '../session/expectation.ts';
import type { EnclaveExpectation } from '../session/handshake.ts';
import { fetchLiveDocument } from '../session/live-attestation.ts';
import { pathOf } from './files.ts';
import { demandNew, writeNew } from './new-file.ts';
import { systemRandom } from './party.ts';
import { stepProgress } from './progress.ts';
import type { Io } from './verb.ts';

/** A home and its pins, or an enclave that is named and an expectation that is stated. */
export type LiveSource =
  | { readonly choice: HomeChoice }
  | { readonly orchestrator: string; readonly collaboration: string; readonly expectation: EnclaveExpectation };

export type FoundDocument =
  | { readonly document: AttestationDocument; readonly expectation: Expectation }
  | { readonly document: undefined; readonly failure: Failure; readonly expectation: Expectation };

export interface LiveOptions {
  readonly allowDebug: boolean;
  /** Where to keep the document. */
  readonly save: string | undefined;
  /** Whether in place of a file that is there. */
  readonly force: boolean;
}

export async function fetchLive(
  source: LiveSource,
  { allowDebug, save, force }: LiveOptions,
  io: Io,
): Promise<FoundDocument> {
  const { orchestrator, collaboration, expectation: expected } = await targetOf(source, allowDebug, io);
  const kept = save === undefined ? undefined : pathOf(io, save);
  if (kept !== undefined) await demandNew(kept, force);
  const progress = stepProgress(io);
  try {
    progress.update('asking the enclave for a fresh document');
    const channel = await createCoordinator(orchestrator).connect(collaboration, io.signal);
    const { bytes, expectation } = await fetchLiveDocument({
      channel,
      expectation: expected,
      random: systemRandom,
      now: () => new Date(),
      signal: io.signal,
    });
    if (kept !== undefined) await writeNew(kept, [bytes], force);
    return parsed(bytes, expectation);
  } finally {
    progress.end();
  }
}

function parsed(bytes: Uint8Array, expectation: Expectation): FoundDocument {
  try {
    return { document: parseAttestation(bytes), expectation };
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    return { document: undefined, failure, expectation };
  }
}

async function targetOf(
  source: LiveSource,
  allowDebug: boolean,
  io: Io,
): Promise<{
  readonly orchestrator: string;
  readonly collaboration: string;
  readonly expectation: EnclaveExpectation;
}> {
  if (!('choice' in source)) return source;
  const home = await openChosenHome(source.choice, io.env, io.cwd);
  const { orchestrator, collaboration } = home.config;
  return { orchestrator, collaboration, expectation: pinnedExpectation(home, allowDebug) };
}
