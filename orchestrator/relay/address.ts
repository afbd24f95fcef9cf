/**
 * Names to addresses. `*.accord.test` exists nowhere: it stands for AWS in miniature, whose address the coordinator
 * gives. Every other name is looked up as usual.
 */
import type { Endpoint } from './allow-list.ts';

const LOCAL_SUFFIX = '.accord.test';

/** Where AWS in miniature listens now; asked at each connection, since it may be started again on another port. */
export type LocalAwsAddress = () => Promise<Endpoint | undefined>;

/** Undefined where the name is local and there is no local AWS. */
export async function addressOf(
  endpoint: Endpoint,
  localAws: LocalAwsAddress | undefined,
): Promise<Endpoint | undefined> {
  return endpoint.host.endsWith(LOCAL_SUFFIX) ? localAws?.() : endpoint;
}
