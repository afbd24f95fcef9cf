/** `accord key-policy --succeed`: which image hands its state over, and the pins while it does. */
import { Failure } from '../../policies/failure.ts';
import type { KeyPolicyTerms, Pin } from '../kms/key-policy.ts';
import { parseMeasurements } from '../measurements.ts';
import { readText } from './files.ts';
import type { Io } from './verb.ts';

export type SuccessionVerbCode = 'key-policy/succeed'; // named by a digest, and not pinned by the policy in force

export interface Predecessor {
  readonly policyDigest: string;
  /** Undefined where only the digest is named: the policy in force says which images carry it. */
  readonly pin: Pin | undefined;
}

/** `named` is a digest of 96 hexadecimal digits, else a file of measurements. */
export async function predecessorFrom(named: string, io: Io): Promise<Predecessor> {
  if (/^[0-9a-f]{96}$/i.test(named)) return { policyDigest: named.toLowerCase(), pin: undefined };
  const { PCR0: pcr0, policyDigest } = parseMeasurements(await readText(io, named), named);
  return { policyDigest, pin: { pcr0, policyDigest } };
}

/** The successors, and before them whom they succeed. `inForce`: the terms of the policy in force, if it is one of ours. */
export function withPredecessor(
  pins: readonly Pin[],
  { policyDigest, pin }: Predecessor,
  inForce: KeyPolicyTerms | undefined,
): readonly Pin[] {
  // What the predecessor itself succeeded is closed: it is not opened again.
  const pinned = (inForce?.pins ?? [])
    .filter((each) => each.policyDigest === policyDigest)
    .map(({ pcr0 }): Pin => ({ pcr0, policyDigest }));
  const before = pin === undefined ? pinned : [pin];
  if (before.length === 0) {
    throw new Failure<SuccessionVerbCode>(
      'refused',
      'key-policy/succeed',
      'the policy in force pins no image of that policy digest',
      { where: policyDigest, hint: 'name the measurements.json of the image that hands over instead of its digest' },
    );
  }
  return [...before, ...pins.map((each) => ({ ...each, succeeds: policyDigest }))];
}
