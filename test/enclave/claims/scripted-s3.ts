/** S3 in memory, honest, each of whose requests a test may answer otherwise. */
import type { S3, S3Object } from '../../../enclave/claims/s3.ts';
import type { S3Code } from '../../../enclave/claims/s3-failure.ts';
import { failed } from '../../../enclave/claims/s3-failure.ts';

export type Operation = keyof S3;

export interface Stored extends S3Object {
  readonly marker?: boolean;
}

export interface ScriptedS3 extends S3 {
  /** Requests so far, `create`, `versions`… */
  readonly asked: Operation[];
  /** Newest last. */
  readonly store: Map<string, Stored[]>;
  /** Looks at each request first, `count` from 1 for each operation: does what it says, or gives something else, or throws. */
  script: (operation: Operation, count: number, honest: () => Promise<unknown>) => Promise<unknown>;
}

export function createScriptedS3(): ScriptedS3 {
  const store = new Map<string, Stored[]>();
  const asked: Operation[] = [];
  let ids = 0;
  const run = async <Result>(operation: Operation, signal: AbortSignal, honest: () => Result): Promise<Result> => {
    asked.push(operation);
    const count = asked.filter((each) => each === operation).length;
    const heard = new Promise<never>((_, reject) => {
      const stop = (): void => reject(failed('s3/unavailable', 'AbortError'));
      if (signal.aborted) stop();
      else signal.addEventListener('abort', stop, { once: true });
    });
    const scripted = s3.script(operation, count, () => Promise.resolve(honest()));
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a lie of S3 has any form
    return (await Promise.race([scripted, heard])) as Result;
  };
  const s3: ScriptedS3 = {
    asked,
    store,
    script: (_operation, _count, honest) => honest(),
    create: (key, bytes, retainUntil, signal) =>
      run('create', signal, () => {
        const versions = store.get(key) ?? [];
        const current = versions.at(-1);
        if (current !== undefined && current.marker !== true) return { outcome: 'exists' } as const;
        ids += 1;
        const lock = { mode: 'COMPLIANCE', retainUntil };
        store.set(key, [...versions, { id: `v${ids}`, bytes: new Uint8Array(bytes), lock }]);
        return { outcome: 'created', id: `v${ids}` } as const;
      }),
    versions: (key, signal) =>
      run('versions', signal, () => {
        const all = (store.get(key) ?? []).toReversed();
        const of = (marker: boolean): readonly Stored[] => all.filter((each) => (each.marker === true) === marker);
        return [
          ...of(false).map(({ id }) => ({ id, kind: 'object' }) as const),
          ...of(true).map(({ id }) => ({ id, kind: 'delete-marker' }) as const),
        ];
      }),
    read: (key, id, signal) =>
      run('read', signal, () => {
        const versions = store.get(key) ?? [];
        const found = id === undefined ? versions.at(-1) : versions.find((each) => each.id === id);
        return found?.marker === true ? undefined : found;
      }),
    bucket: (signal) => run('bucket', signal, () => ({ versioning: true, objectLock: true })),
  };
  return s3;
}

export const s3Fails = (code: S3Code, where = 'Scripted'): Promise<never> => Promise.reject(failed(code, where));
