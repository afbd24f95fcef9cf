/**
 * PostgreSQL inside this process, its files in the data folder. PGlite must never be opened by two processes at once:
 * take the folder's lock first (`lock.ts`). The first start of a new folder takes seconds; later ones half a second.
 */
import { PGlite } from '@electric-sql/pglite';
import type { Transaction } from '@electric-sql/pglite';
import { Failure } from '../../policies/failure.ts';
import type { DataLock } from './lock.ts';
import type { Database, Row } from './migrations.ts';

export type PGliteCode = 'store/database-unusable';

/** `_lock` is the proof that the folder is ours alone. */
export async function openPGlite(folder: string, _lock: DataLock): Promise<Database> {
  let pglite: PGlite;
  try {
    pglite = await PGlite.create(folder);
  } catch (error) {
    throw new Failure<PGliteCode>(
      'environment',
      'store/database-unusable',
      `the database in the data folder does not open: ${error instanceof Error ? error.message : String(error)}`,
      {
        where: folder,
        hint: 'is the disk full? else restore the folder from a copy, or choose another with --data DIR',
        cause: error,
      },
    );
  }
  return {
    ...statements(pglite),
    transaction: (work) => pglite.transaction((transaction) => work(inside(transaction))),
    close: () => pglite.close(),
  };
}

function statements(on: PGlite | Transaction): Pick<Database, 'query' | 'execute'> {
  return {
    query: async (sql, parameters = []) => (await on.query<Row>(sql, [...parameters])).rows,
    execute: async (sql) => {
      await on.exec(sql);
    },
  };
}

/** Inside a transaction, a further one is part of it. */
function inside(transaction: Transaction): Database {
  const database: Database = {
    ...statements(transaction),
    transaction: (work) => work(database),
    close: async () => {},
  };
  return database;
}
