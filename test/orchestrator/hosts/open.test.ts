/** An AWS in miniature that is missing, or that the host has no use for, is told before anything is opened. */
import { expect, it } from 'vitest';
import { openHost } from '../../../orchestrator/hosts/open.ts';
import type { OpenHostOptions } from '../../../orchestrator/hosts/open.ts';

const open = (name: OpenHostOptions['name'], localAwsFolder: string | undefined): ReturnType<typeof openHost> =>
  openHost({ name, data: '/nowhere', localAwsFolder, runFolder: undefined, cacheDir: '/nowhere', log: () => {} });

it.each(['local', 'qemu'] as const)('the %s host needs one', async (name) => {
  await expect(open(name, undefined)).rejects.toMatchObject({
    kind: 'usage',
    code: 'host/no-local-aws',
    hint: expect.stringContaining('accord local-aws'),
  });
});

it('the nitro host takes none', async () => {
  await expect(open('nitro', '/aws')).rejects.toMatchObject({
    kind: 'usage',
    code: 'host/takes-no-local-aws',
    hint: expect.stringContaining('--trust'),
  });
});
