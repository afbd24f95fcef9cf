/** The scan for secrets finds one: a scan that cannot fail shows nothing. */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accord-secrets-'));
  await copyFile(join(ROOT, '.secretlintrc.json'), join(folder, '.secretlintrc.json'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Exit code of the scan of a file with this text. */
async function scan(text: string): Promise<number | undefined> {
  await writeFile(join(folder, 'settings.txt'), text);
  const program = join(ROOT, 'node_modules', '.bin', 'secretlint');
  return new Promise((resolve) => {
    const child = execFile(program, ['--maskSecrets', 'settings.txt'], { cwd: folder }, () =>
      resolve(child.exitCode ?? undefined),
    );
  });
}

// Put together here, so that the scan of this repository does not find them.
const SECRETS = {
  'a secret access key': ['aws_secret_access_key = "wJalrXUtnFEMI', '/K7MDENG/', 'bPxRfiCYzzzzzzKEYY"'],
  'a token of GitHub': ['token = gh', 'p_Zk3fWq8xVb1nRt6yUm2p', 'Ls9dHc4jAe7gKo0i'],
};

test.each(Object.entries(SECRETS))('%s is found', async (_, parts) => {
  expect(await scan(parts.join(''))).toBe(1);
});

test('a text without one is not taken for one', async () => {
  expect(await scan('region = eu-west-1\n')).toBe(0);
});
