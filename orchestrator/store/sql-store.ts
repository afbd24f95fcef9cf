/** The store in SQL: one schema and one set of statements for every database that speaks PostgreSQL. */
import { Failure } from '../../policies/failure.ts';
import type { Measurements } from '../hosts/host.ts';
import { migrate } from './migrations.ts';
import type { Database, Row } from './migrations.ts';
import { COLLABORATION_STATES } from './store.ts';
import type { Collaboration, CollaborationState, Contribution, JsonObject, KeptBecause, Store } from './store.ts';

export type StoreCode = 'store/row-invalid';

/** Migrates the database and gives the store on it. `now` stamps what is written. */
export async function createSqlStore(database: Database, now: () => Date): Promise<Store> {
  await migrate(database, now);

  const read = async (inside: Database, id: string): Promise<Collaboration | undefined> => {
    const [row] = await inside.query('SELECT * FROM collaborations WHERE id = $1', [id]);
    if (row === undefined) return undefined;
    const contributions = await inside.query(
      'SELECT * FROM contributions WHERE collaboration_id = $1 ORDER BY function',
      [id],
    );
    return toCollaboration(row, contributions.map(toContribution));
  };

  return {
    create: (draft) =>
      database.transaction(async (inside) => {
        const at = now().toISOString();
        const inserted = await inside.query(
          `INSERT INTO collaborations
             (id, collaboration, policy_digest, canonical_policy, policy, state, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, 'building', $6, $6) ON CONFLICT DO NOTHING RETURNING id`,
          [draft.id, draft.collaboration, draft.policyDigest, draft.canonicalPolicy, draft.policy, at],
        );
        const collaboration = await read(inside, draft.id);
        if (collaboration === undefined) throw invalid('collaborations', 'id');
        return { created: inserted.length === 1, collaboration };
      }),

    get: (id) => database.transaction((inside) => read(inside, id)),

    findByDigest: (digest) =>
      database.transaction(async (inside) => {
        const [row] = await inside.query('SELECT id FROM collaborations WHERE policy_digest = $1', [digest]);
        return row === undefined ? undefined : read(inside, text(row, 'id'));
      }),

    list: () =>
      database.transaction(async (inside) => {
        const rows = await inside.query('SELECT * FROM collaborations ORDER BY created_at DESC, id');
        const contributed = await inside.query('SELECT * FROM contributions ORDER BY function');
        return rows.map((row) => {
          const own = contributed.filter((entry) => entry['collaboration_id'] === row['id']);
          return toCollaboration(row, own.map(toContribution));
        });
      }),

    update: (id, change) =>
      database.transaction(async (inside) => {
        const before = await read(inside, id);
        if (before === undefined) return undefined;
        const after = { ...before, ...change };
        await inside.query(
          `UPDATE collaborations
             SET state = $2, reason = $3, measurements = $4, sizing = $5, updated_at = $6 WHERE id = $1`,
          [
            id,
            after.state,
            after.reason,
            after.measurements === null ? null : JSON.stringify(after.measurements),
            after.sizing === null ? null : JSON.stringify(after.sizing),
            now().toISOString(),
          ],
        );
        return read(inside, id);
      }),

    putContribution: async (id, { function: functionName, bytes, sha256 }) => {
      const [row] = await database.query(
        `INSERT INTO contributions (collaboration_id, function, bytes, sha256, stored_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (collaboration_id, function)
           DO UPDATE SET bytes = excluded.bytes, sha256 = excluded.sha256, stored_at = excluded.stored_at
         RETURNING *`,
        [id, functionName, bytes, sha256, now().toISOString()],
      );
      if (row === undefined) throw invalid('contributions', 'collaboration_id');
      return toContribution(row);
    },

    deleteContribution: async (id, functionName) => {
      const rows = await database.query(
        'DELETE FROM contributions WHERE collaboration_id = $1 AND function = $2 RETURNING function',
        [id, functionName],
      );
      return rows.length === 1;
    },

    keepContribution: async (id, functionName, because, sha256) => {
      await database.query(
        `INSERT INTO kept_contributions (collaboration_id, function, because, sha256) VALUES ($1, $2, $3, $4)
         ON CONFLICT (collaboration_id, function, because) DO UPDATE SET sha256 = excluded.sha256`,
        [id, functionName, because, sha256],
      );
    },

    keptContributions: async (id, functionName) => {
      const rows = await database.query(
        'SELECT because, sha256 FROM kept_contributions WHERE collaboration_id = $1 AND function = $2',
        [id, functionName],
      );
      return new Map(rows.map((row) => [because(row), text(row, 'sha256')]));
    },

    blobsInUse: async () => {
      const rows = await database.query('SELECT sha256 FROM contributions UNION SELECT sha256 FROM kept_contributions');
      return new Set(rows.map((row) => text(row, 'sha256')));
    },

    close: () => database.close(),
  };
}

function toCollaboration(row: Row, contributions: readonly Contribution[]): Collaboration {
  return {
    id: text(row, 'id'),
    collaboration: text(row, 'collaboration'),
    policyDigest: text(row, 'policy_digest'),
    canonicalPolicy: text(row, 'canonical_policy'),
    policy: text(row, 'policy'),
    state: state(row),
    reason: nullableText(row, 'reason'),
    measurements: measurements(row),
    sizing: json(row, 'sizing'),
    contributions,
    createdAt: time(row, 'created_at'),
    updatedAt: time(row, 'updated_at'),
  };
}

function toContribution(row: Row): Contribution {
  return {
    function: text(row, 'function'),
    bytes: integer(row, 'bytes'),
    sha256: text(row, 'sha256'),
    storedAt: time(row, 'stored_at'),
  };
}

function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw invalid('row', column);
  return value;
}

function nullableText(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

/** A `bigint` column comes as number, bigint or text, as the driver likes. */
function integer(row: Row, column: string): number {
  const value = Number(row[column]);
  if (!Number.isSafeInteger(value)) throw invalid('row', column);
  return value;
}

function time(row: Row, column: string): string {
  const value = row[column];
  const date = value instanceof Date ? value : new Date(text(row, column));
  return date.toISOString();
}

function state(row: Row): CollaborationState {
  const value = COLLABORATION_STATES.find((name) => name === row['state']);
  if (value === undefined) throw invalid('collaborations', 'state');
  return value;
}

function because(row: Row): KeptBecause {
  const value = row['because'];
  if (value !== 'given' && value !== 'in-force') throw invalid('kept_contributions', 'because');
  return value;
}

function json(row: Row, column: string): JsonObject | null {
  const value = nullableText(row, column);
  if (value === null) return null;
  const parsed: unknown = JSON.parse(value);
  if (typeof parsed !== 'object' || parsed === null) throw invalid('row', column);
  return { ...parsed };
}

function measurements(row: Row): Measurements | null {
  const value = json(row, 'measurements');
  if (value === null) return null;
  const { PCR0, PCR1, PCR2 } = value;
  if (typeof PCR0 !== 'string' || typeof PCR1 !== 'string' || typeof PCR2 !== 'string') {
    throw invalid('collaborations', 'measurements');
  }
  return { PCR0, PCR1, PCR2 };
}

function invalid(table: string, column: string): Failure<StoreCode> {
  return new Failure('environment', 'store/row-invalid', 'the data folder holds a row that Accord did not write', {
    where: `${table}.${column}`,
    hint: 'restore the folder from a copy, or start with an empty one (--data DIR)',
  });
}
