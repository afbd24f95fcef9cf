/**
 * What the enclave needs to know and the policy shows only as hashes (host port 8001): the parties' key ARNs and, on
 * the local host, the TLS roots. The enclave checks each against its hash; a host that lies is a host that fails.
 *
 *     enclave -> host   frame { t: "launch" }
 *     host -> enclave   frame { t: "launch", keyArns: [text], roots: [DER bytes] }
 */
import type { Duplex } from 'node:stream';
import type { LaunchInformation } from '../../enclave/vsock/host.ts';
import { finish, readQuestion, writeReply } from './ask.ts';
import type { Notebook } from './observations.ts';

/** The handler of host port 8001. */
export function launchInformationService(
  information: LaunchInformation,
  notebook: Notebook,
): (connection: Duplex) => void {
  return (connection) => {
    connection.on('error', () => {});
    void (async () => {
      const question = await readQuestion(connection);
      if (question === undefined) return;
      question.oneOf('t', ['launch']);
      question.done();
      const seen = notebook.service('launch information');
      await writeReply(connection, { t: 'launch', keyArns: information.keyArns, roots: information.roots });
      seen.closed('given');
    })().then(
      () => finish(connection),
      () => connection.destroy(),
    );
  };
}
