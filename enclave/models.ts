/**
 * The models that were contributed, each loaded in a computing process of its own. A new one takes the old one's place in
 * one step: calls in flight finish with the one they started with, which is closed after the last of them.
 */
import type { Computer } from './jail/gate-side.ts';

export interface LoadedModel {
  /** SHA-256 of the whole package, lower-case hex. */
  readonly sha256: string;
  readonly computer: Computer;
}

export interface BorrowedModel extends LoadedModel {
  /** To be called once, when the call is over. */
  giveBack(): void;
}

export interface ModelShelf {
  /** Undefined where no model is in place. */
  borrow(functionName: string): BorrowedModel | undefined;
  /** SHA-256 of the model in place. */
  sha256(functionName: string): string | undefined;
  replace(functionName: string, model: LoadedModel): void;
  /** The model that should be in place cannot be had: none is, and `code` says why. */
  withhold(functionName: string, code: string): void;
  /** Why there is no model; undefined where there is one, or none was contributed. */
  withheld(functionName: string): string | undefined;
  close(): Promise<void>;
}

interface Shelved extends LoadedModel {
  borrowers: number;
  retired: boolean;
}

export function createModelShelf(): ModelShelf {
  const shelf = new Map<string, Shelved>();
  const reasons = new Map<string, string>();
  let isClosed = false;
  const closing = new Set<Promise<void>>();

  const close = (model: LoadedModel): void => {
    const closed = model.computer
      .close()
      // A process that is gone already has nothing left to close.
      .catch(() => {})
      .finally(() => closing.delete(closed));
    closing.add(closed);
  };
  const retire = (model: Shelved): void => {
    model.retired = true;
    if (model.borrowers === 0) close(model);
  };

  return {
    borrow(functionName) {
      const model = shelf.get(functionName);
      if (model === undefined) return undefined;
      model.borrowers += 1;
      let given = false;
      return {
        sha256: model.sha256,
        computer: model.computer,
        giveBack() {
          if (given) return;
          given = true;
          model.borrowers -= 1;
          if (model.retired && model.borrowers === 0) close(model);
        },
      };
    },
    sha256: (functionName) => shelf.get(functionName)?.sha256,
    replace(functionName, { sha256, computer }) {
      const old = shelf.get(functionName);
      const fresh = { sha256, computer, borrowers: 0, retired: false };
      if (isClosed) retire(fresh);
      else shelf.set(functionName, fresh);
      reasons.delete(functionName);
      if (old !== undefined) retire(old);
    },
    withhold(functionName, code) {
      const old = shelf.get(functionName);
      shelf.delete(functionName);
      reasons.set(functionName, code);
      if (old !== undefined) retire(old);
    },
    withheld: (functionName) => reasons.get(functionName),
    // Without waiting for calls in flight: the enclave ends. What they give back meanwhile is closed, too.
    async close() {
      isClosed = true;
      for (const model of shelf.values()) close(model);
      shelf.clear();
      while (closing.size > 0) await Promise.all(closing);
    },
  };
}
