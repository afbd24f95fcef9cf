/** Where trust ends in words, for whoever explains or compares it. Hashes are whole: of half of one, two things can be made that share it. */
import { canonicalize } from './canonical.ts';
import type { LocalTrust, Trust } from './model.ts';
import { count, enumerate } from './words.ts';

/** Two sentences of a local trust, one of AWS. */
export function trustInWords(trust: Trust): string {
  if (trust === 'aws') return 'Attestation ends at the pinned root of AWS Nitro, and KMS, STS and S3 are those of AWS.';
  const { attestationRoot, tlsRoots, endpoints } = trust;
  return (
    `Attestation ends at a local root (SHA-256 ${attestationRoot}), and TLS at ${count(tlsRoots.length, 'local root')} ` +
    `(SHA-256 ${enumerate(tlsRoots)}). KMS is at ${endpoints.kms}, STS at ${endpoints.sts} and S3 at ${endpoints.s3}.`
  );
}

/** What a change of trust means; nothing where there is none. */
export function trustChange(was: Trust, is: Trust): string[] {
  if (canonicalize(was) === canonicalize(is)) return [];
  if (was === 'aws' || is === 'aws') {
    return [`Trust ends elsewhere. It was ${was === 'aws' ? "AWS's" : 'local'} before. ${trustInWords(is)}`];
  }
  return [...ofRoots(was, is), ...ofEndpoints(was, is)];
}

function ofRoots(was: LocalTrust, is: LocalTrust): string[] {
  const texts: string[] = [];
  if (was.attestationRoot !== is.attestationRoot) {
    texts.push(
      `Attestation ends at the root ${is.attestationRoot} instead of ${was.attestationRoot} (SHA-256): whoever holds it can attest anything.`,
    );
  }
  const [before, after] = [enumerate(was.tlsRoots), enumerate(is.tlsRoots)];
  if (before !== after) texts.push(`TLS of KMS, STS and S3 ends at ${after} instead of ${before} (SHA-256 of roots).`);
  return texts;
}

const SERVICES = { kms: 'KMS', sts: 'STS', s3: 'S3' } as const;

function ofEndpoints({ endpoints: was }: LocalTrust, { endpoints: is }: LocalTrust): string[] {
  return (['kms', 'sts', 's3'] as const).flatMap((one) =>
    was[one] === is[one] ? [] : [`${SERVICES[one]} is at ${is[one]} instead of ${was[one]}.`],
  );
}
