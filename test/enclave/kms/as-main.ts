/** KMS as `enclave/main.ts` connects it: through the host's relay, TLS ending here. */
import { randomBytes } from 'node:crypto';
import * as files from 'node:fs/promises';
import { rootCertificates } from 'node:tls';
import { openAnchor } from '../../../enclave/claims/open-anchor.ts';
import { connectAws } from '../../../enclave/kms/connect.ts';
import type { World } from '../../../enclave/service.ts';
import { realTimers } from '../real-timers.ts';

/** `changes`: what a test has otherwise. */
export const kmsAsMain =
  (changes: Partial<Parameters<typeof connectAws>[0]> = {}): World['connectAws'] =>
  async ({ policy, launch, host, now }) => {
    const { kms, settings: aws } = await connectAws({
      trust: policy.trust,
      offeredRoots: launch.roots,
      carriedRoots: rootCertificates,
      dial: (name, port, signal) => host.dial(name, port, signal),
      now,
      wallClock: () => Date.now(),
      timers: realTimers,
      ...changes,
    });
    const { until } = policy;
    return {
      kms,
      openAnchor: (place) => openAnchor({ ...place, aws, timers: realTimers, until, files, random: randomBytes }),
    };
  };
