/** The digests that came with a body, held against it. */
import { createHash } from 'node:crypto';
import type { S3Call } from './call.ts';
import { CHECKSUMS } from './checksums.ts';
import { S3Error } from './errors.ts';
import type { Checksum } from './model.ts';

export function checkMd5({ headers, body }: Pick<S3Call, 'headers' | 'body'>): void {
  const given = headers.get('content-md5');
  if (given === undefined) return;
  if (!/^[A-Za-z0-9+/]{22}==$/.test(given)) {
    throw new S3Error('InvalidDigest', 'The Content-MD5 you specified was invalid.');
  }
  const computed = createHash('md5').update(body).digest('base64');
  if (computed !== given) {
    throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.', {
      details: { ExpectedDigest: given, CalculatedDigest: computed },
    });
  }
}

/** `x-amz-checksum-…` as header or trailer, if it is the body's; undefined where none came. */
export function checkedChecksum({ headers, trailers, body }: S3Call): Checksum | undefined {
  const given = [...headers, ...trailers].flatMap(([name, value]): readonly Checksum[] => {
    const algorithm = /^x-amz-checksum-([a-z0-9]+)$/.exec(name)?.[1]?.toUpperCase();
    if (algorithm === undefined || ['ALGORITHM', 'MODE', 'TYPE'].includes(algorithm)) return [];
    return [{ algorithm, value }];
  });
  if (given.length > 1) {
    throw new S3Error(
      'InvalidRequest',
      'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    );
  }
  const [checksum] = given;
  if (checksum === undefined) return undefined;
  const compute = CHECKSUMS[checksum.algorithm];
  const name = `x-amz-checksum-${checksum.algorithm.toLowerCase()}`;
  const computed = compute?.(body);
  const claimed = Buffer.from(checksum.value, 'base64');
  if (computed === undefined || claimed.length !== computed.length || claimed.toString('base64') !== checksum.value) {
    throw new S3Error('InvalidRequest', `Value for ${name} header is invalid.`);
  }
  if (computed.equals(claimed)) return checksum;
  throw new S3Error('BadDigest', `The ${checksum.algorithm} you specified did not match the calculated checksum.`);
}

export function checksumHeader(checksum: Checksum | undefined): Readonly<Record<string, string>> {
  if (checksum === undefined) return {};
  return {
    [`x-amz-checksum-${checksum.algorithm.toLowerCase()}`]: checksum.value,
    'x-amz-checksum-type': 'FULL_OBJECT',
  };
}
