/**
 * What every client of AWS in the enclave is made with: one pool of connections through the host's relay, trusted time,
 * the policy's endpoints. Nothing is read from the environment or from a file.
 */
import type { NodeHttpHandlerOptions } from '@smithy/node-http-handler';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Trust } from '../../policies/model.ts';

export interface AwsSettings {
  readonly trust: Trust;
  readonly agent: NonNullable<NodeHttpHandlerOptions['httpsAgent']>;
  /** How far the machine's clock, with which the SDK signs, is behind the trusted one. Milliseconds. */
  clockOffset(): Promise<number>;
}

const TIMEOUT_MS = 8_000;

/** For all requests of all clients that share the settings' agent. */
export function requestHandler(settings: AwsSettings): NodeHttpHandler {
  return new NodeHttpHandler({
    httpsAgent: settings.agent,
    connectionTimeout: TIMEOUT_MS,
    requestTimeout: TIMEOUT_MS,
    throwOnRequestTimeout: true,
  });
}

/** Each of these an SDK client would otherwise look for in the environment and in files. */
export const NOT_FROM_THE_ENVIRONMENT = {
  retryMode: 'standard',
  defaultsMode: 'standard',
  useDualstackEndpoint: false,
  useFipsEndpoint: false,
  userAgentAppId: (): Promise<undefined> => Promise.resolve(undefined),
  authSchemePreference: [] as string[],
  // As it is by default: `true` would sign by the machine's clock, whatever `systemClockOffset` says.
  disableClockSkewCorrection: false,
} as const;

/** The HTTP status of an SDK client's error; undefined where there was no answer. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return undefined;
  const metadata: unknown = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined;
}
