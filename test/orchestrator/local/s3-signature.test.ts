/**
 * Who signs a request of S3, and how its body is bound to that: AWS's published examples ("Signature calculations: examples"
 * of the S3 API reference), then what the SDK and hand-made requests send.
 */
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Sha256 } from '@aws-crypto/sha256-js';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { SignatureV4 } from '@smithy/signature-v4';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, test } from 'vitest';
import { CHECKSUMS } from '../../../orchestrator/local/s3/checksums.ts';
import { openPayload } from '../../../orchestrator/local/s3/payload.ts';
import { readClaim } from '../../../orchestrator/local/signature-claim.ts';
import type { SignedRequest } from '../../../orchestrator/local/signed-request.ts';
import { headerMap } from '../../../orchestrator/local/signed-request.ts';
import { verifySignature } from '../../../orchestrator/local/sigv4.ts';
import type { Credentials } from './fixture.ts';
import { REGION, localAws, outcome } from './fixture.ts';

const NOW = { ahead: 0 };
const fixture = localAws(() => Date.now() + NOW.ahead);
const Bucket = 'signed-things';

beforeAll(async () => {
  const s3 = fixture.s3('alice');
  await s3.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration: { LocationConstraint: REGION } }));
});

describe('the examples of the S3 API reference', () => {
  const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
  const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  const now = Date.UTC(2013, 4, 24);
  const example = (method: string, target: string, signed: string, signature: string, more: readonly string[]) => ({
    method,
    target,
    rawHeaders: [
      'Host',
      'examplebucket.s3.amazonaws.com',
      'x-amz-date',
      '20130524T000000Z',
      'Authorization',
      `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signed},Signature=${signature}`,
      ...more,
    ],
    body: new Uint8Array(),
  });
  const check = (sent: SignedRequest): Buffer => {
    const payload = headerMap(sent.rawHeaders).get('x-amz-content-sha256') ?? '';
    const claim = readClaim(sent, 's3');
    return verifySignature(sent, claim, { service: 's3', secret: SECRET, regions: ['us-east-1'], now, payload });
  };

  test.each<[string, SignedRequest]>([
    [
      'GET Object',
      example(
        'GET',
        '/test.txt',
        'host;range;x-amz-content-sha256;x-amz-date',
        'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
        ['Range', 'bytes=0-9', 'x-amz-content-sha256', EMPTY],
      ),
    ],
    [
      'PUT Object, whose key must be encoded',
      example(
        'PUT',
        '/test$file.text',
        'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
        '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
        [
          'Date',
          'Fri, 24 May 2013 00:00:00 GMT',
          'x-amz-storage-class',
          'REDUCED_REDUNDANCY',
          'x-amz-content-sha256',
          '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
        ],
      ),
    ],
    [
      'GET Bucket Lifecycle, with a query without value',
      example(
        'GET',
        '/?lifecycle',
        'host;x-amz-content-sha256;x-amz-date',
        'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
        ['x-amz-content-sha256', EMPTY],
      ),
    ],
    [
      'List Objects',
      example(
        'GET',
        '/?max-keys=2&prefix=J',
        'host;x-amz-content-sha256;x-amz-date',
        '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
        ['x-amz-content-sha256', EMPTY],
      ),
    ],
  ])('%s', (_, sent) => {
    expect(check(sent)).toHaveLength(32);
    const changed = { ...sent, target: `${sent.target}x` };
    expect(() => check(changed)).toThrow(expect.objectContaining({ code: 'SignatureDoesNotMatch', status: 403 }));
  });

  const SEED = '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9';
  const CHUNKS = [
    [65_536, 'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648'],
    [1024, '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497'],
    [0, 'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9'],
  ] as const;
  const streaming = example(
    'PUT',
    '/examplebucket/chunkObject.txt',
    'content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class',
    SEED,
    [
      'Host',
      's3.amazonaws.com',
      'x-amz-storage-class',
      'REDUCED_REDUNDANCY',
      'Content-Encoding',
      'aws-chunked',
      'x-amz-decoded-content-length',
      '66560',
      'Content-Length',
      '66824',
      'x-amz-content-sha256',
      'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    ],
  );
  const sent = { ...streaming, rawHeaders: streaming.rawHeaders.slice(2) };
  const body = (change: (text: string) => string = (text) => text): Uint8Array => {
    const chunks = CHUNKS.map(
      ([length, signature]) => `${length.toString(16)};chunk-signature=${signature}\r\n${'a'.repeat(length)}\r\n`,
    );
    return new TextEncoder().encode(change(chunks.join('')));
  };
  const open = (raw: Uint8Array): Uint8Array => {
    const headers = headerMap(sent.rawHeaders);
    const said = headers.get('x-amz-content-sha256') ?? '';
    return openPayload(said, raw, headers, { claim: readClaim(sent, 's3'), key: check(sent) }).body;
  };

  test('PUT Object in signed chunks', () => {
    expect(open(body())).toEqual(Buffer.alloc(66_560, 'a'));
  });

  test.each<[string, (text: string) => string, string]>([
    ['another byte', (text) => text.replace('aaaa', 'aaba'), 'SignatureDoesNotMatch'],
    ['another signature', (text) => text.replace('b6c6', 'b6c7'), 'SignatureDoesNotMatch'],
    ['no signature', (text) => text.replace(/;chunk-signature=0055\w+/, ''), 'SignatureDoesNotMatch'],
    ['no end', (text) => text.slice(0, text.lastIndexOf('0;chunk')), 'IncompleteBody'],
    ['a longer chunk than there is', (text) => text.replace('400;', '40000;'), 'IncompleteBody'],
    ['no chunks', () => 'aaaa', 'IncompleteBody'],
    ['nothing', () => '', 'IncompleteBody'],
  ])('%s in its place is refused', (_, change, code) => {
    expect(() => open(body(change))).toThrow(expect.objectContaining({ code }));
  });
});

describe('checksums', () => {
  // The check values of the CRC catalogue (reveng), and FIPS 180's of "abc".
  test.each([
    ['CRC32', '123456789', 'cbf43926'],
    ['CRC32C', '123456789', 'e3069283'],
    ['CRC64NVME', '123456789', 'ae8b14860a799888'],
    ['SHA1', 'abc', 'a9993e364706816aba3e25717850c26c9cd0d89d'],
    ['SHA256', 'abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ])('%s', (name, text, wanted) => {
    expect(CHECKSUMS[name]?.(new TextEncoder().encode(text)).toString('hex')).toBe(wanted);
  });
});

const hosted = (path: string, region = REGION): S3Client =>
  new S3Client({
    region,
    maxAttempts: 1,
    credentials: credentials('alice'),
    endpoint: `https://${path}:${new URL(fixture.aws.url).port}`,
    requestHandler: new NodeHttpHandler({
      httpsAgent: new Agent({
        ca: fixture.aws.caPem,
        // The names of the local AWS are resolved here alone.
        lookup: (_, __, found) => found(null, [{ address: '127.0.0.1', family: 4 }]),
      }),
    }),
  });

const credentials = (profile: string) => async (): Promise<Credentials> => {
  const file = await readFile(fixture.env['AWS_SHARED_CREDENTIALS_FILE'] ?? '', 'utf8');
  const section = file.split(/^\[/m).find((part) => part.startsWith(`${profile}]`)) ?? '';
  const value = (name: string): string => new RegExp(`^${name} = (.*)$`, 'm').exec(section)?.[1] ?? '';
  return { accessKeyId: value('aws_access_key_id'), secretAccessKey: value('aws_secret_access_key') };
};

describe('what the SDK sends', () => {
  test('a stream, in chunks, with its checksum behind it', async () => {
    const s3 = fixture.s3('alice');
    const bytes = Buffer.alloc(300_000, 'stream');
    const put = new PutObjectCommand({
      Bucket,
      Key: 'streamed',
      Body: Readable.from([bytes]),
      ContentLength: bytes.length,
    });
    const { ChecksumCRC32 } = await s3.send(put);
    expect(ChecksumCRC32).toBe(CHECKSUMS['CRC32']?.(bytes).toString('base64'));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'streamed' }));
    expect(
      createHash('sha256')
        .update((await got.Body?.transformToByteArray()) ?? '')
        .digest('hex'),
    ).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  test('keys of every kind of character', async () => {
    const s3 = fixture.s3('alice');
    for (const Key of ['a b+c', 'ä/ö/%2F', "!'()*~$&@=;:,", '../x', 'a//b', 'percent%', '日本/🙂']) {
      await s3.send(new PutObjectCommand({ Bucket, Key, Body: Key }));
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
      expect(await Body?.transformToString(), Key).toBe(Key);
    }
  });

  test('with the bucket in the name of the host, or in the path', async () => {
    const s3 = hosted(`s3.${REGION}.accord.test`);
    await s3.send(new PutObjectCommand({ Bucket, Key: 'by/host', Body: 'x' }));
    const { Body } = await fixture.s3('alice').send(new GetObjectCommand({ Bucket, Key: 'by/host' }));
    expect(await Body?.transformToString()).toBe('x');
  });

  test('to the endpoint of another Region', async () => {
    const s3 = hosted('s3.us-west-2.accord.test', 'us-west-2');
    expect(await outcome(s3.send(new GetObjectCommand({ Bucket, Key: 'x' })))).toMatchObject({
      name: 'PermanentRedirect',
    });
    const mixed = hosted('s3.us-west-2.accord.test');
    expect(await outcome(mixed.send(new GetObjectCommand({ Bucket, Key: 'x' })))).toMatchObject({
      name: 'AuthorizationHeaderMalformed',
      message: `The authorization header is malformed; the region '${REGION}' is wrong; expecting 'us-west-2'`,
    });
    const anywhere = fixture.s3('alice', { region: 'us-east-1' });
    expect(await outcome(anywhere.send(new GetObjectCommand({ Bucket, Key: 'x' })))).toMatchObject({
      name: 'AuthorizationHeaderMalformed',
      message: `The authorization header is malformed; the region 'us-east-1' is wrong; expecting '${REGION}'`,
    });
  });

  test('with a clock that is off, a wrong secret, an unknown key', async () => {
    const get = new GetObjectCommand({ Bucket, Key: 'x' });
    const late = fixture.s3('alice', { systemClockOffset: -16 * 60_000 });
    expect(await outcome(late.send(get))).toMatchObject({ name: 'RequestTimeTooSkewed' });
    const known = await credentials('alice')();
    const wrong = fixture.s3({ ...known, secretAccessKey: 'wrong' });
    expect(await outcome(wrong.send(get))).toMatchObject({ name: 'SignatureDoesNotMatch' });
    const unknown = fixture.s3({ ...known, accessKeyId: 'AKIAUNKNOWNUNKNOWN00' });
    expect(await outcome(unknown.send(get))).toMatchObject({ name: 'InvalidAccessKeyId' });
    const token = fixture.s3({ ...known, sessionToken: 'none' });
    expect(await outcome(token.send(get))).toMatchObject({ name: 'InvalidToken' });
  });
});

interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent in place of the body that was signed. */
  readonly body?: string;
  readonly unsigned?: Readonly<Record<string, string>>;
}

/** A PutObject signed by the library and changed by hand; `status code`. */
async function put({ headers = {}, body = 'hello', unsigned = {} }: Sent): Promise<string> {
  const host = new URL(fixture.aws.url).host;
  const path = `/${Bucket}/by-hand`;
  const signer = new SignatureV4({
    credentials: await credentials('alice')(),
    region: REGION,
    service: 's3',
    sha256: Sha256,
    uriEscapePath: false,
  });
  const signed = await signer.sign({
    method: 'PUT',
    protocol: 'https:',
    hostname: host,
    path,
    query: {},
    headers: { host, ...headers },
    body: 'hello',
  });
  return await new Promise((resolve, reject) => {
    const { port } = new URL(fixture.aws.url);
    const options = { host: '127.0.0.1', port, method: 'PUT', path, ca: fixture.aws.caPem, agent: false };
    const sent = request({ ...options, headers: { ...signed.headers, ...unsigned } });
    sent.on('error', reject);
    sent.on('response', (response) => {
      let text = '';
      response.on('data', (data: Buffer) => (text += data.toString()));
      response.on('end', () => resolve(`${response.statusCode} ${/<Code>(\w+)/.exec(text)?.[1] ?? ''}`.trim()));
    });
    sent.end(body);
  });
}

const CRC_OF_HELLO = 'NhCmhg==';
const trailer = (value: string, length = '5'): Sent => ({
  headers: {
    'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    'x-amz-decoded-content-length': length,
    'x-amz-trailer': 'x-amz-checksum-crc32',
    'content-encoding': 'aws-chunked',
  },
  body: `5\r\nhello\r\n0\r\nx-amz-checksum-crc32:${value}\r\n\r\n`,
});

describe('by hand', () => {
  test.each<[string, Sent, string]>([
    ['as signed', {}, '200'],
    ['another body', { body: 'hallo' }, '400 XAmzContentSHA256Mismatch'],
    [
      'any body, where the payload is unsigned',
      { headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }, body: 'hallo' },
      '200',
    ],
    ['a header that was not signed', { unsigned: { 'x-amz-meta-added': 'x' } }, '403 AccessDenied'],
    ['a wrong checksum', { headers: { 'x-amz-checksum-crc32': 'AAAAAA==' } }, '400 BadDigest'],
    ['the right checksum', { headers: { 'x-amz-checksum-crc32': CRC_OF_HELLO } }, '200'],
    ['a checksum that is none', { headers: { 'x-amz-checksum-crc32': 'x' } }, '400 InvalidRequest'],
    ['a checksum that nobody knows', { headers: { 'x-amz-checksum-md4': 'AAAA' } }, '400 InvalidRequest'],
    ['a wrong MD5', { headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' } }, '400 BadDigest'],
    ['an MD5 that is none', { headers: { 'content-md5': 'x' } }, '400 InvalidDigest'],
    ['chunks with a trailer', trailer(CRC_OF_HELLO), '200'],
    ['chunks with a wrong trailer', trailer('AAAAAA=='), '400 BadDigest'],
    ['chunks of another length', trailer(CRC_OF_HELLO, '6'), '400 IncompleteBody'],
    [
      'chunks without the trailer that was announced',
      { ...trailer(''), body: '5\r\nhello\r\n0\r\n\r\n' },
      '400 InvalidRequest',
    ],
    ['a header that is not honoured here', { headers: { 'x-amz-tagging': 'a=b' } }, '501 NotImplemented'],
    ['no digest of the body', { unsigned: { 'x-amz-content-sha256': '' } }, '403 SignatureDoesNotMatch'],
  ])('%s', async (_, sent, wanted) => {
    expect(await put(sent)).toBe(wanted);
  });
});
