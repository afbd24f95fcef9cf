/** The schema, as the steps that led to it. A step that was released is never edited; the next one corrects it. */
import { createHash } from 'node:crypto';
import { Failure } from '../../policies/failure.ts';

export type MigrationCode = 'store/schema-newer' | 'store/schema-edited';

/** What both PGlite and PostgreSQL offer. */
export interface Database {
  /** One statement with `$1`-style parameters; the rows. */
  query(sql: string, parameters?: readonly unknown[]): Promise<readonly Row[]>;
  /** Several statements without parameters. */
  execute(sql: string): Promise<void>;
  /** All or nothing. Calls are serialised. */
  transaction<T>(work: (database: Database) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export type Row = Readonly<Record<string, unknown>>;

export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE collaborations (
    id               text PRIMARY KEY,
    collaboration    text NOT NULL,
    policy_digest    text NOT NULL UNIQUE,
    canonical_policy text NOT NULL,
    policy           text NOT NULL,
    state            text NOT NULL CHECK (state IN ('building', 'built', 'running', 'stopped', 'failed')),
    reason           text,
    measurements     text,
    sizing           text,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
  );
  CREATE TABLE contributions (
    collaboration_id text NOT NULL REFERENCES collaborations (id) ON DELETE CASCADE,
    function         text NOT NULL,
    bytes            bigint NOT NULL CHECK (bytes >= 0),
    sha256           text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    stored_at        timestamptz NOT NULL,
    PRIMARY KEY (collaboration_id, function)
  );
  `,
  `
  CREATE TABLE kept_contributions (
    collaboration_id text NOT NULL REFERENCES collaborations (id) ON DELETE CASCADE,
    function         text NOT NULL,
    because          text NOT NULL CHECK (because IN ('given', 'in-force')),
    sha256           text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    PRIMARY KEY (collaboration_id, function, because)
  );
  `,
];

/**
 * Brings the schema up to date, each step in a transaction of its own. A folder written by a newer Accord is refused
 * rather than misread, and so is one whose recorded steps are not ours.
 */
export async function migrate(
  database: Database,
  now: () => Date,
  steps: readonly string[] = MIGRATIONS,
): Promise<void> {
  await database.execute(
    'CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY, sha256 text NOT NULL, at timestamptz NOT NULL)',
  );
  const done = await database.query('SELECT version, sha256 FROM migrations ORDER BY version');
  if (done.length > steps.length) {
    throw new Failure<MigrationCode>(
      'environment',
      'store/schema-newer',
      `the data folder was written by a newer version of Accord (schema ${done.length}, this version knows ${steps.length})`,
      { hint: 'start the newer version again, or choose another folder with --data DIR' },
    );
  }
  for (const [index, row] of done.entries()) {
    if (row['sha256'] !== digest(steps[index] ?? '')) {
      throw new Failure<MigrationCode>(
        'environment',
        'store/schema-edited',
        `step ${index + 1} of the data folder's schema is not the one this version of Accord knows`,
        { hint: 'choose another folder with --data DIR' },
      );
    }
  }
  for (const [index, sql] of steps.entries()) {
    if (index < done.length) continue;
    await database.transaction(async (inside) => {
      await inside.execute(sql);
      await inside.query('INSERT INTO migrations (version, sha256, at) VALUES ($1, $2, $3)', [
        index + 1,
        digest(sql),
        now().toISOString(),
      ]);
    });
  }
}

function digest(sql: string): string {
  return createHash('sha256').update(sql).digest('hex');
}
