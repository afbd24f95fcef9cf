/** What a party does not take for the whole of an anchor. */
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { readAnchor } from '../../../parties/anchors/read.ts';
import { parsePolicyDigest } from '../../../policies/digest.ts';
import { realTimers } from '../../enclave/real-timers.ts';

test('a listing without end cannot be read: part of it is not counted as all', async () => {
  let pages = 0;
  const server = createServer((_, reply) => {
    pages += 1;
    reply.setHeader('content-type', 'application/xml');
    reply.end(
      `<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>${pages}</NextKeyMarker></ListVersionsResult>`,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const store = { owner: 'alice', s3: { bucket: 'alice-accord-anchor', prefix: 'accord/', region: 'eu-west-1' } };
    const read = await readAnchor(store, {
      aws: {
        region: 'eu-west-1',
        credentials: { accessKeyId: 'AKIDALICE', secretAccessKey: 'secret' },
        env: { AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}` },
      },
      policyDigest: parsePolicyDigest('ab'.repeat(48)),
      until: '2027-06-30',
      account: '111122223333',
      party: 'alice',
      timers: realTimers,
      random: (length) => new Uint8Array(length),
      signal: new AbortController().signal,
    });
    expect(read).toEqual({
      owner: 'alice',
      place: 's3://alice-accord-anchor/accord/',
      unreadable: expect.stringContaining('more stands under'),
    });
  } finally {
    server.close();
  }
  expect(pages).toBe(200);
});
