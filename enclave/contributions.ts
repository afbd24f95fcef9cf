/**
 * Models as they come and stay. A contribution is loaded, written into the sealed state, and only then in place and
 * answered; what is written there is loaded again after a restart, or where another copy of the enclave took it. The
 * newest one counts: where the host does not have it any more, the function has no model, not an older one.
 */
import { Failure } from '../policies/failure.ts';
import type { ModelFunctionPolicy } from '../policies/model.ts';
import type { OpenDataKey } from './contribution.ts';
import { loadContribution } from './contribution.ts';
import type { Gate } from './gate.ts';
import type { Contributions, Contributor } from './contributor.ts';
import { decodeKept, encodeKept } from './kept-contribution.ts';
import type { Report } from './life.ts';
import { Refused } from './pipeline/refused.ts';
import type { Contribute } from './protocol/request.ts';
import type { OpenedState } from './state/opening.ts';
import type { Change } from './state/records.ts';
import { contributionRecord } from './state/records.ts';
import { createTurns } from './state/turns.ts';

/** A model stays in place for so long without its being known that there is no newer one. */
const UNKNOWN_MS = 900_000;

/** `gate` is asked for when it is needed: it holds what is made here. */
export function createContributions(gate: () => Gate, report: Report): Contributions {
  const turns = createTurns();
  /** Function -> SHA-256 of the record that its model came with, as text. */
  const inPlace = new Map<string, string>();
  /** Function -> when its model was last known to be the newest, by the NSM. */
  const knownAt = new Map<string, number>();
  /** Function -> why the host was told last that it has no model. */
  const told = new Map<string, string>();
  const now = (): Promise<number> => gate().issuer.clock.now();

  const age = async (name: string): Promise<number> => (await now()) - (knownAt.get(name) ?? -Infinity);

  const put = async (
    name: string,
    policy: ModelFunctionPolicy,
    state: OpenedState,
    signal: AbortSignal,
  ): Promise<void> => {
    const { keyring, debug, models, host } = gate();
    const time = await now();
    const record = await state.records.read(contributionRecord(name), signal);
    knownAt.set(name, time);
    if (record === undefined) return;
    const kept = decodeKept(record.bytes);
    record.bytes.fill(0);
    try {
      const { envelopeSha256, bytes, testData, modelSha256 } = kept;
      const id = String(envelopeSha256);
      if (inPlace.get(name) === id || testData !== debug) return;
      inPlace.delete(name);
      // It is old, however long the newer one takes. Who calls meanwhile waits for that.
      models.withhold(name, 'contribution/not-loaded');
      const party = policy.model.from;
      const keyArn = [...keyring].find(([, owner]) => owner === party)?.[0] ?? '';
      const named = { function: name, party, keyArn, envelopeSha256, bytes, testData };
      const openDataKey = (): Promise<Uint8Array> => Promise.resolve(kept.dataKey.slice());
      const loaded = await loadContribution(gate(), named, policy, openDataKey, signal);
      loaded.dataKey.fill(0);
      if (loaded.model.sha256 !== modelSha256) throw new Error('the same bytes are another model');
      models.replace(name, loaded.model);
      inPlace.set(name, id);
      told.delete(name);
      await host.contributionTaken(name, envelopeSha256, signal);
    } finally {
      kept.dataKey.fill(0);
    }
  };

  const takeOver = async (
    { records }: OpenedState,
    session: Contributor,
    request: Contribute,
    policy: ModelFunctionPolicy,
    signal: AbortSignal,
  ): Promise<string> => {
    const { decrypt, models, host } = gate();
    const { party, keyArn, credentials } = session;
    const openDataKey: OpenDataKey = ({ dataKey: ciphertext }, context) =>
      decrypt({ keyArn, ciphertext, context, credentials }, signal);
    const named = { ...request, party, keyArn };
    const { model, dataKey } = await loadContribution(gate(), named, policy, openDataKey, signal);
    const { envelopeSha256, bytes, testData } = request;
    const next = encodeKept({ envelopeSha256, bytes, testData, dataKey, modelSha256: model.sha256 });
    dataKey.fill(0);
    let time = 0;
    try {
      // Before anything is in place: a clock that does not answer leaves all as it was.
      time = await now();
      const change = (): ReturnType<Change<void>> => Promise.resolve({ next: next.slice(), result: undefined });
      await records.update(contributionRecord(request.function), change, signal);
    } catch (error) {
      await model.computer.close();
      throw error;
    } finally {
      next.fill(0);
    }
    models.replace(request.function, model);
    told.delete(request.function);
    inPlace.set(request.function, String(envelopeSha256));
    knownAt.set(request.function, time);
    await host.contributionTaken(request.function, envelopeSha256, signal);
    return model.sha256;
  };

  return {
    async take(session, request, policy, signal) {
      // Before its turn: opening the state ends with a restoration, which takes turns too.
      const state = await gate().opening.demand(signal);
      return turns.take(request.function, signal, () => takeOver(state, session, request, policy, signal));
    },

    async restore(state, signal, only) {
      for (const [name, policy] of Object.entries(gate().policy.functions)) {
        if (policy.uses === 'counter' || (only !== undefined && only.function !== name)) continue;
        try {
          await turns.take(name, signal, () => put(name, policy, state, signal));
        } catch (error) {
          if (signal.aborted) return;
          if (!(error instanceof Failure) && !(error instanceof Refused)) throw error;
          const code = error instanceof Failure ? error.code : error.refusal.refused;
          // Another copy's store may be out of reach for a moment: what is in place stays until it is known to be old.
          if (code.startsWith('claim/') && inPlace.has(name) && (await age(name)) < UNKNOWN_MS) continue;
          inPlace.delete(name);
          gate().models.withhold(name, code);
          const tell = (): void => {
            // Another call may have put it in place meanwhile.
            if (inPlace.has(name) || told.get(name) === code) return;
            told.set(name, code);
            report({ accord: 'unopened', code, where: contributionRecord(name) });
          };
          if (only === undefined) tell();
          else void only.left.then(tell);
        }
      }
    },
  };
}
