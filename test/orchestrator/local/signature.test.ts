/** Who signs a request: the ways a signature can be wrong, in the words of each service. */
import { Sha256 } from '@aws-crypto/sha256-js';
import { SignatureV4 } from '@smithy/signature-v4';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, test } from 'vitest';
import { ADMIN_ROLE, ALICE_KEY, REGION, localAws } from './fixture.ts';

const NOW = { ahead: 0 };
const fixture = localAws(() => Date.now() + NOW.ahead);

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

interface Sent {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

async function credentials(profile: string): Promise<Credentials> {
  const file = await readFile(fixture.env['AWS_SHARED_CREDENTIALS_FILE'] ?? '', 'utf8');
  const section = file.split(/^\[/m).find((part) => part.startsWith(`${profile}]`)) ?? '';
  const value = (name: string): string => new RegExp(`^${name} = (.*)$`, 'm').exec(section)?.[1] ?? '';
  return { accessKeyId: value('aws_access_key_id'), secretAccessKey: value('aws_secret_access_key') };
}

async function send({ method, path, headers, body }: Sent): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const { port } = new URL(fixture.aws.url);
    const sent = request({ host: '127.0.0.1', port, method, path, headers, ca: fixture.aws.caPem, agent: false });
    sent.on('error', reject);
    sent.on('response', (response) => {
      let text = '';
      response.on('data', (data: Buffer) => (text += data.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    sent.end(body);
  });
}

interface SignOptions {
  readonly as?: Credentials;
  readonly service?: string;
  readonly region?: string;
  readonly date?: Date;
  readonly host?: string;
}

async function signed(what: 'kms' | 'sts', options: SignOptions = {}): Promise<Sent> {
  const host = options.host ?? new URL(fixture.aws.url).host;
  const message =
    what === 'kms'
      ? {
          headers: { host, 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'TrentService.DescribeKey' },
          body: JSON.stringify({ KeyId: ALICE_KEY }),
        }
      : {
          headers: { host, 'content-type': 'application/x-www-form-urlencoded' },
          body: 'Action=GetCallerIdentity&Version=2011-06-15',
        };
  const { headers } = await signer(what, options, await credentials('alice')).sign(
    { method: 'POST', protocol: 'https:', hostname: host, path: '/', query: {}, ...message },
    { signingDate: options.date ?? new Date() },
  );
  return { method: 'POST', path: '/', headers: { ...headers }, body: message.body };
}

function signer(what: string, { as, service = what, region = REGION }: SignOptions, alice: Credentials): SignatureV4 {
  return new SignatureV4({ service, region, credentials: as ?? alice, sha256: Sha256, applyChecksum: false });
}

async function presigned(options: SignOptions & { readonly expiresIn?: number } = {}): Promise<Sent> {
  const { host } = new URL(fixture.aws.url);
  const url = await signer('sts', options, await credentials('alice')).presign(
    {
      method: 'GET',
      protocol: 'https:',
      hostname: host,
      path: '/',
      query: { Action: 'GetCallerIdentity', Version: '2011-06-15' },
      headers: { host, 'x-accord-challenge': 'c2lnbmVkLCB0b28' },
    },
    {
      signingDate: options.date ?? new Date(),
      expiresIn: options.expiresIn ?? 60,
      unhoistableHeaders: new Set(['x-accord-challenge']),
    },
  );
  const query = Object.entries(url.query ?? {})
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`)
    .join('&');
  return { method: 'GET', path: `/?${query}`, headers: { ...url.headers }, body: '' };
}

const code = ({ text }: Answer): string =>
  /<Code>(.*?)<\/Code>/.exec(text)?.[1] ?? /"__type":"(.*?)"/.exec(text)?.[1] ?? text.slice(0, 60);

describe('a good signature', () => {
  test('in a header, for both services, with request ids and content types of AWS', async () => {
    const kms = await send(await signed('kms'));
    expect(kms.status).toBe(200);
    expect(kms.headers['content-type']).toBe('application/x-amz-json-1.1');
    expect(kms.headers['x-amzn-requestid']).toMatch(/^[0-9a-f-]{36}$/);
    const sts = await send(await signed('sts'));
    expect(sts.status).toBe(200);
    expect(sts.headers['content-type']).toBe('text/xml');
    expect(sts.text).toContain('<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">');
    const requestId = /<RequestId>([0-9a-f-]{36})<\/RequestId>/.exec(sts.text)?.[1];
    expect(requestId).toBeDefined();
    expect(sts.headers['x-amzn-requestid']).toBe(requestId);
  });

  test('in the query, with a further signed header', async () => {
    const answer = await send(await presigned());
    expect(answer.status).toBe(200);
    expect(answer.text).toContain(':user/alice</Arn>');
    const changed = await presigned();
    changed.headers['x-accord-challenge'] = 'another';
    expect(code(await send(changed))).toBe('SignatureDoesNotMatch');
    const old = await presigned({ date: new Date(Date.now() - 120_000), expiresIn: 60 });
    expect((await send(old)).text).toContain('Signature expired: ');
  });
});

describe('a bad one', () => {
  test.each<[string, string, string, (sent: Sent) => void]>([
    [
      'without any',
      'MissingAuthenticationTokenException',
      'MissingAuthenticationToken',
      ({ headers }) => void delete headers['authorization'],
    ],
    [
      'of another kind',
      'IncompleteSignatureException',
      'IncompleteSignature',
      ({ headers }) => void (headers['authorization'] = 'Basic YWxpY2U6'),
    ],
    [
      'without its date',
      'IncompleteSignatureException',
      'IncompleteSignature',
      ({ headers }) => void delete headers['x-amz-date'],
    ],
    ['over another body', 'InvalidSignatureException', 'SignatureDoesNotMatch', (sent) => void (sent.body += ' ')],
    ['over another path', 'InvalidSignatureException', 'SignatureDoesNotMatch', (sent) => void (sent.path = '/other')],
    ['over another method', 'InvalidSignatureException', 'SignatureDoesNotMatch', (sent) => void (sent.method = 'PUT')],
    [
      'with a header that was added',
      'InvalidSignatureException',
      'SignatureDoesNotMatch',
      ({ headers }) => void (headers['x-amz-meta'] = 'x'),
    ],
    [
      'with a flipped digit',
      'InvalidSignatureException',
      'SignatureDoesNotMatch',
      ({ headers }) => {
        headers['authorization'] = (headers['authorization'] ?? '').replace(/.$/, (digit) =>
          digit === '0' ? '1' : '0',
        );
      },
    ],
  ])('%s', async (_, kmsCode, stsCode, change) => {
    for (const [service, expected] of [
      ['kms', kmsCode],
      ['sts', stsCode],
    ] as const) {
      const sent = await signed(service);
      change(sent);
      const answer = await send(sent);
      expect(code(answer), service).toBe(expected);
      expect(answer.status, service).toBe(service === 'kms' ? 400 : 403);
    }
  });

  test('by somebody who is not known, or not with this secret', async () => {
    const alice = await credentials('alice');
    const unknown = { ...alice, accessKeyId: 'AKIAIOSFODNN7EXAMPLE' };
    expect(code(await send(await signed('kms', { as: unknown })))).toBe('UnrecognizedClientException');
    expect(code(await send(await signed('sts', { as: unknown })))).toBe('InvalidClientTokenId');
    const guessed = { ...alice, secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
    expect(code(await send(await signed('kms', { as: guessed })))).toBe('InvalidSignatureException');
    expect(code(await send(await signed('sts', { as: guessed })))).toBe('SignatureDoesNotMatch');
    expect(fixture.aws.requests().at(-1)?.principal).toBeNull();
  });

  test('for another service, Region or host', async () => {
    expect((await send(await signed('kms', { service: 'sts' }))).text).toContain("correct service: 'kms'");
    expect((await send(await signed('kms', { region: 'mars-north-1' }))).text).toContain('a valid region');
    const host = 'kms.us-east-1.accord.test';
    expect((await send(await signed('kms', { host }))).text).toContain('a valid region');
    expect((await send(await signed('kms', { host, region: 'us-east-1' }))).text).toContain('Invalid arn eu-west-1');
    expect((await send(await signed('kms', { host: `sts.${REGION}.accord.test` }))).status).toBe(400);
  });

  test('from too long ago, or from the future: five minutes for KMS, fifteen for STS', async () => {
    const minutes = (count: number): Date => new Date(Date.now() + count * 60_000);
    expect((await send(await signed('kms', { date: minutes(-6) }))).text).toMatch(/Signature expired: .* - 5 min\.\)/);
    expect((await send(await signed('kms', { date: minutes(6) }))).text).toMatch(
      /Signature not yet current: .* \+ 5 min\.\)/,
    );
    expect((await send(await signed('kms', { date: minutes(-4) }))).status).toBe(200);
    expect((await send(await signed('sts', { date: minutes(-14) }))).status).toBe(200);
    expect((await send(await signed('sts', { date: minutes(-16) }))).text).toMatch(
      /Signature expired: .* - 15 min\.\)/,
    );
  });
});

describe('session tokens', () => {
  async function sessionOf(): Promise<Credentials> {
    const parameters = new URLSearchParams({
      Action: 'AssumeRole',
      Version: '2011-06-15',
      RoleArn: ADMIN_ROLE,
      RoleSessionName: 'raw',
      DurationSeconds: '900',
    });
    const { host } = new URL(fixture.aws.url);
    const body = parameters.toString();
    const { headers } = await signer('sts', {}, await credentials('alice')).sign({
      method: 'POST',
      protocol: 'https:',
      hostname: host,
      path: '/',
      query: {},
      headers: { host, 'content-type': 'application/x-www-form-urlencoded' },
      body,
    });
    const { text } = await send({ method: 'POST', path: '/', headers: { ...headers }, body });
    const value = (name: string): string => new RegExp(`<${name}>(.*?)</${name}>`).exec(text)?.[1] ?? '';
    return {
      accessKeyId: value('AccessKeyId'),
      secretAccessKey: value('SecretAccessKey'),
      sessionToken: value('SessionToken').replaceAll('&#43;', '+'),
    };
  }

  test('belong to their key, whole and unchanged, until they expire', async () => {
    const session = await sessionOf();
    const other = await sessionOf();
    expect((await send(await signed('kms', { as: session }))).status).toBe(200);
    const swapped = { ...session, sessionToken: other.sessionToken ?? '' };
    expect(code(await send(await signed('kms', { as: swapped })))).toBe('UnrecognizedClientException');
    const { sessionToken: _, ...without } = session;
    expect(code(await send(await signed('kms', { as: without })))).toBe('UnrecognizedClientException');
    const bytes = Buffer.from(session.sessionToken ?? '', 'base64');
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    const changed = { ...session, sessionToken: bytes.toString('base64') };
    expect(code(await send(await signed('sts', { as: changed })))).toBe('InvalidClientTokenId');
    NOW.ahead = 901_000;
    try {
      const date = new Date(Date.now() + NOW.ahead);
      expect(code(await send(await signed('kms', { as: session, date })))).toBe('ExpiredTokenException');
      expect(code(await send(await signed('sts', { as: session, date })))).toBe('ExpiredToken');
    } finally {
      NOW.ahead = 0;
    }
  });
});

describe('what is no request of AWS', () => {
  test('is answered, not hung up on', async () => {
    const plain = { method: 'GET', path: '/', headers: { host: 'localhost' }, body: '' };
    expect((await send(plain)).status).toBe(403);
    const unknown = await signed('kms');
    unknown.headers['x-amz-target'] = 'DynamoDB_20120810.ListTables';
    expect((await send(unknown)).status).toBe(400);
    const tooLong = { method: 'POST', path: '/', headers: { host: 'localhost' }, body: 'x'.repeat(2_200_000) };
    const answer = await send(tooLong).catch(() => undefined);
    expect(answer?.status ?? 413).toBe(413);
    expect((await send(await signed('kms'))).status).toBe(200);
  });

  test('a body that is no JSON, and parameters of the wrong type', async () => {
    for (const body of ['', '[]', '{"KeyId":7}', '{']) {
      const { host } = new URL(fixture.aws.url);
      const { headers } = await signer('kms', {}, await credentials('alice')).sign({
        method: 'POST',
        protocol: 'https:',
        hostname: host,
        path: '/',
        query: {},
        headers: { host, 'x-amz-target': 'TrentService.DescribeKey' },
        body,
      });
      expect(code(await send({ method: 'POST', path: '/', headers: { ...headers }, body })), body).toBe(
        'SerializationException',
      );
    }
  });
});
