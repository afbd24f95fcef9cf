/** What the host has for the set of wrapped keys: a hint before the anchors are asked, the one they name afterwards. */
import { Failure } from '../../policies/failure.ts';
import { sha256 } from '../crypto/digest.ts';
import type { Host } from '../vsock/host.ts';
import type { WantedSet } from './data-keys.ts';
import type { KeySet, KeySetTerms } from './key-set.ts';
import { readKeySet } from './key-set.ts';
import { stateFailure } from './state-failure.ts';

/** The set that the host was given last; `fresh` where it has none that is for these terms. */
export async function offeredSet(
  host: Pick<Host, 'keys'>,
  terms: KeySetTerms,
  signal: AbortSignal,
): Promise<WantedSet> {
  const bytes = await host.keys(signal);
  if (bytes === undefined) return 'fresh';
  try {
    return { set: await readKeySet(bytes, terms), digest: await sha256(bytes) };
  } catch (error) {
    // It may be that nothing was claimed yet, and this is of no meaning. If something was, it is told then.
    if (error instanceof Failure) return 'fresh';
    throw error;
  }
}

/** The set that the anchors name. `wanted`: what the host had offered. Throws `state/keys-…`. */
export async function namedSet(
  host: Pick<Host, 'keys' | 'record'>,
  terms: KeySetTerms,
  digest: Uint8Array,
  wanted: WantedSet | undefined,
  signal: AbortSignal,
): Promise<KeySet> {
  const named = await host.record(digest, signal);
  if (named !== undefined) return readKeySet(named, terms, digest);
  const offered = await host.keys(signal);
  if (offered !== undefined) return readKeySet(offered, terms, digest);
  if (wanted !== undefined && wanted !== 'fresh')
    throw stateFailure('state/keys-substituted', 'the wrapped keys are not the ones that the anchors name');
  throw stateFailure('state/keys-missing', 'the host does not have the wrapped keys that the anchors name');
}
