/** The anchor in a bucket, against an S3 that others wrote. */
import { S3Client } from '@aws-sdk/client-s3';
import { Agent } from 'node:https';
import { afterAll, beforeAll, describe } from 'vitest';
import type { Moto } from '../../orchestrator/local/moto.ts';
import { motoIsAbsent, startMoto } from '../../orchestrator/local/moto.ts';
import type { S3Place } from './s3-place.ts';
import { REGION } from './s3-place.ts';
import { s3AnchorSuite } from './s3-suite.ts';

const reason = motoIsAbsent();
if (reason !== undefined) process.stderr.write(`skipped: anchors in moto's S3: ${reason}\n`);

describe.skipIf(reason !== undefined)(`moto${reason === undefined ? '' : ` (${reason})`}`, () => {
  let moto: Moto | undefined;
  let place: S3Place | undefined;
  beforeAll(async () => {
    moto = await startMoto();
    const credentials = { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'example' };
    const { url } = moto;
    place = {
      // Moto shortens any lock, and marks nothing that was never there.
      keepsLocks: false,
      marksAbsent: false,
      owner: new S3Client({ region: REGION, endpoint: url, credentials, forcePathStyle: true }),
      settings: {
        trust: { attestationRoot: '', tlsRoots: [], endpoints: { kms: url, sts: url, s3: url } },
        region: REGION,
        account: '123456789012',
        credentials,
        agent: new Agent(),
        clockOffset: () => Promise.resolve(0),
      },
    };
  });
  afterAll(() => moto?.stop());

  s3AnchorSuite('moto', () => {
    if (place === undefined) throw new Error('moto has not started');
    return place;
  });
});
