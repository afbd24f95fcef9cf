/**
 * What the enclave asks of its host, and what it takes for an answer (`exchange.ts`). Nothing here is trusted: keys and
 * roots are compared with hashes in the policy, blobs and records with hashes that a party named or that stand in the
 * anchors. What the host adds to an answer is not read, what it leaves out is waited for until a limit.
 *
 *     port 8000   { t: "dial", host: text, port: uint }     -> { t: "dialled" }, then raw bytes both ways
 *                                                            / { t: "refused", reason: text[0..512] }
 *     port 8001   { t: "launch" }                           -> { t: "launch", keyArns: [1..64 text[1..256]],
 *                                                                             roots: [0..16 bytes[1..8192]] }
 *                 { t: "credentials" }                      -> { t: "credentials", accessKeyId: text[1..128],
 *                                                                secretAccessKey: text[1..256],
 *                                                                sessionToken: text[1..8192],
 *                                                                expiresAt: uint }      // milliseconds since 1970
 *                                                            / { t: "absent" }
 *     port 8002   what it keeps for the enclave: `host-storage.ts`
 */
import type { Duplex } from 'node:stream';
import { Failure } from '../../policies/failure.ts';
import type { Timers } from '../deadline.ts';
import { within } from '../deadline.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { EnclaveCredentials } from '../protocol/request.ts';
import type { HostCode } from './exchange.ts';
import { REPLY_BYTES, STALL_MS, ask, malformed, orDestroy } from './exchange.ts';
import type { HostStorage } from './host-storage.ts';
import { createHostStorage } from './host-storage.ts';
import type { Vsock } from './socket.ts';
import { PORTS } from './socket.ts';

export type { HostCode } from './exchange.ts';
export type { Blob, HostStorage, StoredBytes, WantedContribution } from './host-storage.ts';

export interface LaunchInformation {
  readonly keyArns: readonly string[];
  /** X.509 certificates in DER. */
  readonly roots: readonly Uint8Array[];
}

/** Credentials of the host's own role. What they may do is the parties' keys' to say. */
export interface HostCredentials extends EnclaveCredentials {
  /** Milliseconds since 1970, as the host says. */
  readonly expiresAt: number;
}

export interface Host extends HostStorage {
  /** A connection to `host:port` out there, through the relay. */
  dial(host: string, port: number, signal: AbortSignal): Promise<Duplex>;
  launch(signal: AbortSignal): Promise<LaunchInformation>;
  /** Undefined where the host has no role to lend. */
  credentials(signal: AbortSignal): Promise<HostCredentials | undefined>;
}

const CREDENTIALS_BYTES = 16_384;

export function createHost(vsock: Vsock, timers: Timers): Host {
  return {
    ...createHostStorage(vsock, timers),

    async dial(host, port, signal) {
      const stream = await vsock.dial(PORTS.outbound, signal);
      return orDestroy(stream, async () => {
        const reply = await ask(stream, { t: 'dial', host, port }, ['dialled', 'refused'], REPLY_BYTES, signal);
        if (reply.t === 'refused') {
          const reason = reply.map.text('reason', { max: 512 });
          throw new Failure<HostCode>(
            'environment',
            'host/dial-refused',
            `the relay refused ${host}:${port}: ${reason}`,
          );
        }
        reply.map.done();
        return stream;
      });
    },

    async launch(signal) {
      const stream = await vsock.dial(PORTS.launch, signal);
      try {
        const { map } = await ask(stream, { t: 'launch' }, ['launch'], LIMITS.frameBytes, signal);
        const keyArns = map.array('keyArns', { min: 1, max: 64 }).map((arn) => {
          if (typeof arn !== 'string' || arn.length === 0 || arn.length > 256) throw malformed('a key ARN');
          return arn;
        });
        const roots = map.array('roots', { max: 16 }).map((root) => {
          if (!(root instanceof Uint8Array) || root.length === 0 || root.length > 8192) throw malformed('a root');
          return root;
        });
        map.done();
        return { keyArns, roots };
      } finally {
        stream.destroy();
      }
    },

    async credentials(signal) {
      const stream = await vsock.dial(PORTS.launch, signal);
      try {
        const { t, map } = await within(
          timers,
          STALL_MS,
          "the host's answer about credentials",
          (limit) => ask(stream, { t: 'credentials' }, ['credentials', 'absent'], CREDENTIALS_BYTES, limit),
          signal,
        );
        if (t === 'absent') return undefined;
        const credentials = {
          accessKeyId: map.text('accessKeyId', { min: 1, max: 128 }),
          secretAccessKey: map.text('secretAccessKey', { min: 1, max: 256 }),
          sessionToken: map.text('sessionToken', { min: 1, max: 8_192 }),
          expiresAt: map.uint('expiresAt'),
        };
        map.done();
        return credentials;
      } finally {
        stream.destroy();
      }
    },
  };
}
