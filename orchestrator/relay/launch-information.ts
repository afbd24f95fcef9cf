/**
 * What the enclave needs to know and the policy shows only as hashes (host port 8001): the parties' key ARNs and, on
 * the local host, the TLS roots. The enclave checks each against its hash; a host that lies is a host that fails. Where
 * the coordinator lends the enclaves the host's own role, its credentials are given here too.
 *
 *     enclave -> host   frame { t: "launch" }
 *     host -> enclave   frame { t: "launch", keyArns: [text], roots: [DER bytes] }
 *
 *     enclave -> host   frame { t: "credentials" }
 *     host -> enclave   frame { t: "credentials", accessKeyId, secretAccessKey, sessionToken: text, expiresAt: uint ms }
 *                     | frame { t: "absent" }
 */
import type { Duplex } from 'node:stream';
import type { LaunchInformation } from '../../enclave/vsock/host.ts';
import { finish, readQuestion, writeReply } from './ask.ts';
import type { Notebook } from './observations.ts';

export interface HostCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Those of the host's own role, if it lends it; asked at each question, since they expire. */
export type FindCredentials = () => Promise<HostCredentials | undefined>;

/** The handler of host port 8001. */
export function launchInformationService(
  information: LaunchInformation,
  credentials: FindCredentials,
  notebook: Notebook,
): (connection: Duplex) => void {
  return (connection) => {
    connection.on('error', () => {});
    serve(connection, information, credentials, notebook).then(
      () => finish(connection),
      () => connection.destroy(),
    );
  };
}

async function serve(
  connection: Duplex,
  { keyArns, roots }: LaunchInformation,
  credentials: FindCredentials,
  notebook: Notebook,
): Promise<void> {
  const question = await readQuestion(connection);
  if (question === undefined) return;
  const t = question.oneOf('t', ['launch', 'credentials']);
  question.done();
  switch (t) {
    case 'launch': {
      const seen = notebook.service('launch information');
      await writeReply(connection, { t: 'launch', keyArns, roots });
      return seen.closed('given');
    }
    case 'credentials': {
      const seen = notebook.service("the host's credentials");
      const found = await credentials();
      await writeReply(connection, found === undefined ? { t: 'absent' } : { t: 'credentials', ...found });
      return seen.closed(found === undefined ? 'absent' : 'given');
    }
  }
}
