import { BOUNDS } from '../bounds.ts';
import type { LocalTrust, Trust } from '../model.ts';
import { list } from '../reading/collections.ts';
import { object, required } from '../reading/object.ts';
import { choice, text } from '../reading/scalars.ts';
import { map, refine, scalarOr, type Objection, type Shape } from '../reading/shape.ts';
import { sha256 } from './names.ts';

const endpoint = (service: string): Shape<string> =>
  text({
    description: `URL of ${service}; {region} stands for the key's or bucket's Region.`,
    wanted: 'an https URL without path',
    pattern: '^https://[a-z0-9.{}-]{1,200}(:[0-9]{1,5})?$',
    maxLength: 256,
    code: 'policy/bad-url',
    hint: `for example https://${service}.{region}.accord.test`,
    check(url): Objection | undefined {
      const filled = url.replaceAll('{region}', 'eu-west-1');
      if (!/[{}]/.test(filled) && URL.canParse(filled)) return undefined;
      return {
        code: 'policy/bad-url',
        message: `${JSON.stringify(url.slice(0, 60))} is not an https URL without path`,
      };
    },
  });

const tlsRoots: Shape<readonly string[]> = list({
  description: 'SHA-256 of the DER of each root that TLS servers may chain to.',
  wanted: 'a list of hashes',
  item: sha256('SHA-256 of a certificate in DER.'),
  min: 1,
  max: BOUNDS.tlsRoots,
});

const sorted = (items: readonly string[]): readonly string[] => [...items].sort();

const localTrustWith = (roots: Shape<readonly string[]>): Shape<LocalTrust> =>
  object<LocalTrust>(
    {
      attestationRoot: required(sha256('SHA-256 of the DER of the root that signs attestation documents.')),
      tlsRoots: required(roots),
      endpoints: required(
        object<LocalTrust['endpoints']>(
          { kms: required(endpoint('kms')), sts: required(endpoint('sts')), s3: required(endpoint('s3')) },
          { description: 'Where KMS, STS and S3 are.', wanted: '{ kms, sts, s3 }' },
        ),
      ),
    },
    { description: 'A local stand-in for AWS: for trying out, never for secrets.', wanted: 'a local trust' },
  );

/** A trust file. The order of roots means nothing, so it is sorted away. */
export const localTrust: Shape<LocalTrust> = localTrustWith(map(tlsRoots, sorted));

const canonicalLocalTrust: Shape<LocalTrust> = localTrustWith(
  refine(tlsRoots, (roots) =>
    sorted(roots).every((root, index) => root === roots[index])
      ? undefined
      : { code: 'policy/not-canonical', message: 'the roots are not sorted' },
  ),
);

const trustIn = (local: Shape<LocalTrust>): Shape<Trust> =>
  scalarOr<Trust, Trust>(
    choice('AWS itself.', '`aws` or a local trust', ['aws']),
    local,
    'Where trust ends outside of the parties. Default: aws.',
  );

/** As the parties write it. */
export const trust: Shape<Trust> = trustIn(localTrust);

/** As the image carries it. */
export const canonicalTrust: Shape<Trust> = trustIn(canonicalLocalTrust);
