/** Which code a transport brings with it. */
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { openTransport } from '../../enclave/transport.ts';
import { realTimers } from './real-timers.ts';

const { cache } = createRequire(import.meta.url);
const loaded = (): readonly string[] => Object.keys(cache).filter((path) => /koffi.*\.(node|c?js)$/.test(path));

test('the calls of the C library are loaded for the devices alone: the local transport does without', async () => {
  const { nsm } = await openTransport('local\n', '/nowhere', realTimers);
  nsm.close();
  expect(loaded()).toEqual([]);
  await expect(openTransport('nitro\n', '/nowhere', realTimers)).rejects.toMatchObject({ code: 'nsm/absent' });
  expect(loaded()).toEqual(expect.arrayContaining([expect.stringMatching(/linux_x64\/koffi\.node$/)]));
});
