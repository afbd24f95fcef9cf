/**
 * `npm run supply`: no secret is in the repository, and each package of npm is the one that its registry signed.
 *
 * Exit codes: 0 as it should be (a check that cannot be made says why), 1 not.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../../build/ready.mjs';

const say = (text) => process.stdout.write(`${text}\n`);
const run = (program, args) => spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });

/** What cannot hold a secret in words. */
const PICTURES_AND_MODELS = /\.(onnx|jpg|jpeg|png|webp|wasm|bin)$/;
/** Of `npm audit signatures` without a way to the registry's keys: nothing was checked then. */
const OFFLINE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH/;

function secrets() {
  const listed = run('git', ['ls-files', '-z']);
  if (listed.status !== 0) return fail('secrets: not a checkout of git, so it is not known what is in the repository');
  const files = listed.stdout.split('\0').filter((file) => file !== '' && !PICTURES_AND_MODELS.test(file));
  const found = run(join('node_modules', '.bin', 'secretlint'), ['--maskSecrets', '--', ...files]);
  if (found.status !== 0) return fail(`secrets: ${found.stdout}${found.stderr}`);
  say(`secrets: none in ${files.length} files`);
  return true;
}

function signatures() {
  // Whoever cannot be reached is not waited for a minute.
  const soon = ['--fetch-retries=1', '--fetch-retry-mintimeout=500', '--fetch-retry-maxtimeout=2000'];
  const audit = run('npm', ['audit', 'signatures', '--loglevel=error', ...soon]);
  const words = `${audit.stdout}${audit.stderr}`.trim();
  if (audit.status === 0) {
    say(
      `signatures: ${words
        .split('\n')
        .filter((line) => /signature|attestation/.test(line))
        .join('; ')}`,
    );
    return true;
  }
  if (OFFLINE.test(words)) {
    say('signatures: NOT CHECKED: the keys that packages are signed with cannot be reached from here');
    return true;
  }
  return fail(`signatures: ${words}`);
}

function fail(text) {
  say(text);
  return false;
}

const checks = [secrets(), signatures()];
process.exitCode = checks.every(Boolean) ? 0 : 1;
