/** What the host lends its enclaves of its own role, from the SDK's chain of this process. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openRoleCredentials } from '../../orchestrator/role-credentials.ts';

const NOWHERE = { AWS_CONFIG_FILE: '/nonexistent', AWS_SHARED_CREDENTIALS_FILE: '/nonexistent' };
const SETTINGS = { region: 'eu-west-1', env: { HOME: '/nonexistent', ...NOWHERE } };

afterEach(() => vi.unstubAllEnvs());

/** As an instance or a shell would have them. */
function surroundings(credentials: Readonly<Record<string, string>>): void {
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  vi.stubEnv('AWS_PROFILE', undefined);
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_CREDENTIAL_EXPIRATION']) {
    vi.stubEnv(name, credentials[name]);
  }
}

describe("the host's role", () => {
  const role = { AWS_ACCESS_KEY_ID: 'ASIA1', AWS_SECRET_ACCESS_KEY: 's3cret', AWS_SESSION_TOKEN: 'token' };

  it('is lent with the time at which it expires', async () => {
    const expires = new Date(Date.now() + 3_600_000);
    surroundings({ ...role, AWS_CREDENTIAL_EXPIRATION: expires.toISOString() });
    const find = await openRoleCredentials(SETTINGS, () => {});
    expect(await find()).toEqual({
      accessKeyId: 'ASIA1',
      secretAccessKey: 's3cret',
      sessionToken: 'token',
      expiresAt: expires.getTime(),
    });
  });

  it('is refused at the start where it is a user, whose keys do not expire', async () => {
    const { AWS_SESSION_TOKEN: _, ...user } = role;
    surroundings(user);
    await expect(openRoleCredentials(SETTINGS, () => {})).rejects.toMatchObject({
      code: 'orchestrator/long-lived-credentials',
    });
  });

  it('is asked for in vain where there is none, and that is told at the start', async () => {
    surroundings({});
    await expect(openRoleCredentials(SETTINGS, () => {})).rejects.toMatchObject({
      code: expect.stringMatching(/^(aws\/credentials|orchestrator\/no-role)$/),
    });
  });
});
