/** Host port 8002: everything that the host keeps for an enclave and cannot read. One question a connection. */
import type { Duplex } from 'node:stream';
import { LIMITS } from '../../enclave/protocol/limits.ts';
import { finish, readQuestion } from './ask.ts';
import { giveContribution, noteTaken } from './contributions.ts';
import type { ContributionKeeper } from './contributions.ts';
import type { Notebook } from './observations.ts';
import { giveKeys, givePolicy, giveRecord, storeRecord } from './sealed-records.ts';
import type { RecordKeeper } from './sealed-records.ts';

export interface BlobSources {
  readonly contributions: ContributionKeeper;
  readonly records: RecordKeeper;
}

const QUESTIONS = [
  'contribution',
  'contribution-taken',
  'record-put',
  'record-get',
  'keys-put',
  'keys-get',
  'policy-get',
] as const;

/** The handler of host port 8002. */
export function blobService(sources: BlobSources, notebook: Notebook): (connection: Duplex) => void {
  return (connection) => {
    connection.on('error', () => {});
    serve(connection, sources, notebook).then(
      () => finish(connection),
      () => connection.destroy(),
    );
  };
}

async function serve(connection: Duplex, { contributions, records }: BlobSources, notebook: Notebook): Promise<void> {
  const question = await readQuestion(connection);
  if (question === undefined) return;
  const t = question.oneOf('t', QUESTIONS);
  switch (t) {
    case 'contribution':
      return giveContribution(connection, question, contributions, notebook);
    case 'contribution-taken':
      return noteTaken(connection, question, contributions, notebook);
    case 'record-put':
      return storeRecord(connection, question, { put: records.put, maxBytes: LIMITS.sealedRecordBytes }, notebook);
    case 'keys-put':
      return storeRecord(connection, question, { put: records.putKeys, maxBytes: LIMITS.keySetBytes }, notebook);
    case 'record-get':
      return giveRecord(connection, question, records, notebook);
    case 'keys-get':
      return giveKeys(connection, question, records, notebook);
    case 'policy-get':
      return givePolicy(connection, question, records, notebook);
  }
}
