/** Answers of S3, where anchors stand: HTTP, the SDK's reader of XML and headers, and what the enclave makes of them. */
import { Agent } from 'node:https';
import { createS3 } from '../../../enclave/claims/s3.ts';
import type { S3Code } from '../../../enclave/claims/s3-failure.ts';
import { concat } from '../../../enclave/encoding/bytes.ts';
import { mutate } from '../mutate.ts';
import { codesOf, demand } from '../target.ts';
import type { Target } from '../target.ts';
import { httpReply, mendReply, startReplies, varyReply } from './http-replies.ts';

const KEY = 'accord/v1/keys/0';
const MAX_OBJECT_BYTES = 1_024;
const VERSIONS = `<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>${KEY}</Prefix><IsTruncated>false</IsTruncated><Version><Key>${KEY}</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest></Version><DeleteMarker><Key>${KEY}</Key><VersionId>v2</VersionId></DeleteMarker></ListVersionsResult>`; // prettier-ignore
const ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>';
const LOCK = '<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>';
const WORDS = ['<Version>', '</Version>', '<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>', '<![CDATA[', '<!DOCTYPE a [<!ENTITY b "c">]>', '&b;', '&#x110000;', '&#0;', '<!--', '<__proto__>', '<Code>SlowDown</Code>', 'x-amz-object-lock-retain-until-date: never\r\n', 'x-amz-object-lock-mode: COMPLIANCE\r\n', 'HTTP/1.1 412 Precondition Failed', 'HTTP/1.1 301 Moved', 'location: http://169.254.169.254/\r\n', 'transfer-encoding: chunked\r\n', 'content-length: 99999999999\r\n']; // prettier-ignore

/** The first byte of an input chooses what is asked. */
const OPERATIONS = ['create', 'versions', 'read', 'bucket'] as const;

export async function open(): Promise<Target> {
  const replies = await startReplies();
  const s3 = createS3({
    trust: { attestationRoot: '', tlsRoots: [], endpoints: { kms: replies.url, sts: replies.url, s3: replies.url } },
    agent: new Agent(),
    clockOffset: async () => 0,
    region: 'eu-west-1',
    bucket: 'alice-anchor',
    account: '111122223333',
    credentials: { accessKeyId: 'AKIA', secretAccessKey: 'secret' },
  });
  const xml = { 'content-type': 'application/xml' };
  const locked = { 'x-amz-version-id': 'v1', 'x-amz-object-lock-mode': 'COMPLIANCE', 'x-amz-object-lock-retain-until-date': '2027-06-30T00:00:00Z' }; // prettier-ignore
  const of = (operation: (typeof OPERATIONS)[number], reply: Uint8Array): Uint8Array =>
    concat(Uint8Array.of(OPERATIONS.indexOf(operation)), reply);
  const varied = varyReply((body, random) => mutate(body, random, { others: [body, new TextEncoder().encode(VERSIONS)], words: WORDS, maxBytes: 4_096 })); // prettier-ignore
  return {
    codes: CODES,
    refusedSeeds: ['s3/refused'],
    seeds: [
      of('create', httpReply('200 OK', '', { 'x-amz-version-id': 'v1' })),
      of('create', httpReply('412 Precondition Failed', ERROR, xml)),
      of('versions', httpReply('200 OK', VERSIONS, xml)),
      of('versions', httpReply('403 Forbidden', ERROR, xml)),
      of('read', httpReply('200 OK', 'x'.repeat(101), locked)),
      of('read', httpReply('404 Not Found', ERROR.replace('AccessDenied', 'NoSuchKey'), xml)),
      of('bucket', httpReply('200 OK', LOCK, xml)),
    ],
    vary: async (input, random) => concat(input.subarray(0, 1), await varied(input.subarray(1), random)),
    repair: (input) => concat(input.subarray(0, 1), mendReply(input.subarray(1))),
    words: WORDS,
    limitMs: 10_000,
    limitBytes: (bytes) => 32 * 1024 * 1024 + 256 * bytes,
    async run(input) {
      replies.set(input.subarray(1));
      const signal = AbortSignal.timeout(15_000);
      const operation = OPERATIONS[(input[0] ?? 0) % OPERATIONS.length] ?? 'read';
      switch (operation) {
        case 'create':
          return (await s3.create(KEY, new Uint8Array(101), Date.UTC(2027, 1, 1), signal)).outcome;
        case 'versions':
          return (await s3.versions(KEY, signal)).length === 0 ? 'no versions' : 'versions';
        case 'read': {
          const object = await s3.read(KEY, undefined, signal);
          demand((object?.bytes.length ?? 0) <= MAX_OBJECT_BYTES, 'an object larger than any entry');
          demand(!Number.isNaN(object?.lock?.retainUntil), 'a lock until no time');
          return object === undefined ? 'nothing there' : object.lock === undefined ? 'object' : 'locked object';
        }
        case 'bucket':
          await s3.bucket(signal);
          return 'bucket';
      }
    },
    close: () => replies.close(),
  };
}

const CODES = codesOf<S3Code>({
  's3/unavailable': true,
  's3/refused': true,
  's3/credential': true,
  's3/wrong-owner': true,
  's3/wrong-region': true,
  's3/clock-skew': true,
  's3/no-bucket': true,
  's3/no-lock': true,
  's3/oversize': true,
  's3/too-many-versions': true,
});
