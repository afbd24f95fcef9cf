#!/usr/bin/env node
/**
 * Checks the two models with spin, exhaustively within the bounds below, and then each again with one rule taken out,
 * which must fail: a model that cannot fail says nothing. Installs Debian's spin and a C compiler where they are missing
 * and this is root.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const THREE = ['ANCHORS=3', 'QUORUM=2'];
const LONGER = ['RECORDS=5', 'VERSIONS=4'];

/** What is checked: model, -D definitions, whether every property must hold, and what it shows. */
const CHECKS = [
  ['tickets', ['TICKETS=2', 'REQUESTS=3', 'ASKS=3'], true, 'two anchors, both needed'],
  ['tickets', ['TICKETS=2', 'COLLUDING=1', 'ASKS=3'], true, '… the owner of the first colludes'],
  ['tickets', ['TICKETS=2', 'COLLUDING=2', 'ASKS=3'], true, '… the owner of the second colludes'],
  ['tickets', ['ANCHORS=3', 'COLLUDING=3', 'ASKS=3'], true, 'three anchors, all needed, two owners collude'],
  ['tickets', [...THREE, 'TICKETS=2', 'ASKS=3', 'FAULTS=1'], true, 'three anchors, two needed'],
  ['tickets', [...THREE, 'REQUESTS=3', 'ASKS=3', 'FAULTS=1'], true, '… three requests for one ticket'],
  ['tickets', ['CLOSING', 'ASKS=3'], true, 'a successor closes the collaboration'],
  ['tickets', [...THREE, 'CLOSING', 'ASKS=2', 'FAULTS=1'], true, '… with three anchors, two needed'],
  ['tickets', ['NO_CONDITIONAL_WRITE', 'ASKS=3'], false, 'without: entries cannot be overwritten'],
  ['tickets', ['RELEASE_BEFORE_QUORUM', 'COLLUDING=1', 'ASKS=3'], false, 'without: no answer before the quorum'],
  ['tickets', ['ONE_SHORT_OF_QUORUM', 'COLLUDING=1', 'ASKS=3'], false, 'without: all of two anchors'],
  ['tickets', [...THREE, 'ONE_SHORT_OF_QUORUM', 'ASKS=3'], false, 'without: more than half of three'],
  [
    'tickets',
    [...THREE, 'TICKETS=2', 'NEXT_BEFORE_CERTAIN', 'ASKS=3'],
    false,
    'without: the next only when this is lost',
  ],
  [
    'tickets',
    ['TICKETS=2', 'NEXT_WHEN_BEATEN', 'COLLUDING=1', 'ASKS=3'],
    false,
    'without: the next only when a quorum holds others here',
  ],
  ['tickets', ['TICKETS=2', 'FRESH_ON_LOSS', 'ASKS=3'], false, 'without: a lost acknowledgement is asked for again'],
  ['tickets', ['CLOSING', 'CLOSE_WITHOUT_TICKETS', 'ASKS=3'], false, 'without: a successor takes every free ticket'],
  ['versions', LONGER, true, 'two anchors, both needed'],
  ['versions', ['COLLUDING=1', ...LONGER], true, '… the owner of the first colludes'],
  ['versions', ['COLLUDING=2', ...LONGER], true, '… the owner of the second colludes'],
  ['versions', [...THREE, 'STEPS=4'], true, 'three anchors, two needed'],
  ['versions', ['RESTORE_WITHOUT_VERSION'], false, 'without: the newest claimed version is demanded'],
  ['versions', ['RELEASE_BEFORE_QUORUM', 'COLLUDING=1'], false, 'without: no answer before the quorum'],
  ['versions', ['NO_CONDITIONAL_WRITE'], false, 'without: entries cannot be overwritten'],
  ['versions', ['HALF_CLAIMED_IGNORED'], false, 'without: a version that was begun is completed first'],
  [
    'versions',
    ['CONFLICT_PASSED_OVER', 'COLLUDING=1', ...LONGER],
    false,
    'without: a version that may have been held is not passed over',
  ],
  ['versions', ['CLAIM_BEFORE_STORE'], false, 'without: stored before it is claimed'],
];

const execute = promisify(execFile);
const HELP = `usage: npm run model [-- --json]

Checks the models of tickets and of versions with spin (minutes on two cores), and that each fails without its rules.

  --json   one line of JSON at the end instead of a line a check

Exit codes: 0 all as expected, 2 called wrongly, 10 a model holds that should fail or the other way about, 40 no spin and no way
to get it, 130 stopped by Ctrl-C.
`;

/** Ends spin, the compiler and the verifiers, whose folders then go. */
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => interrupted.abort());

const { json } = options();
const say = (text) => process.stdout.write(`${text}\n`);

try {
  demandPrograms();
  const results = await all(CHECKS);
  const wrong = results.filter(({ asExpected }) => !asExpected);
  const states = results.reduce((sum, { states: some }) => sum + some, 0);
  if (json) say(JSON.stringify({ results, states, asExpected: wrong.length === 0 }));
  else say(`${results.length} checks, ${wrong.length} not as expected; ${states.toLocaleString('en')} states explored`);
  process.exitCode = wrong.length === 0 ? 0 : 10;
} catch (error) {
  const why = error instanceof Error ? error.message : String(error);
  process.stderr.write(`model: ${interrupted.signal.aborted ? 'interrupted' : why}\n`);
  process.exitCode = interrupted.signal.aborted ? 130 : 40;
}

/** As many at once as there are processors; told in their order. */
async function all(checks) {
  const results = checks.map(() => undefined);
  let next = 0;
  let told = 0;
  const worker = async () => {
    for (let i = next++; i < checks.length && !interrupted.signal.aborted; i = next++) {
      results[i] = await check(checks[i]);
      for (; results[told] !== undefined; told += 1) tell(results[told]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

function options() {
  try {
    const { values } = parseArgs({
      options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } },
    });
    if (values.help !== true) return values;
    process.stdout.write(HELP);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`model: ${error.message}\n\n${HELP}`);
    process.exit(2);
  }
}

function tell({ model, shows, defines, states, violated, asExpected }) {
  if (json) return;
  const verdict = violated === null ? 'no violation' : `violated: ${violated}`;
  say(`${asExpected ? 'ok  ' : 'FAIL'} ${model.padEnd(8)} ${shows}`);
  say(`       ${states.toLocaleString('en')} states, ${verdict}   [${defines.join(' ')}]`);
}

async function check([model, defines, holds, shows]) {
  const folder = mkdtempSync(join(tmpdir(), 'accord-model-'));
  try {
    copyFileSync(fileURLToPath(new URL(`${model}.pml`, import.meta.url)), join(folder, 'model.pml'));
    await run('spin', [...defines.map((define) => `-D${define}`), '-a', 'model.pml'], folder);
    await run('cc', ['-O2', '-w', '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=4000', '-o', 'pan', 'pan.c'], folder);
    const output = await run('./pan', ['-m1000000'], folder);
    const violated = /assertion violated (.*) \(at depth/.exec(output)?.[1]?.trim();
    const states = Number(/(\d+) states, stored/.exec(output)?.[1] ?? 0);
    // A search that was cut short has shown nothing, but where it ended with what it was looking for.
    const whole =
      violated !== undefined || !/max search depth too small|out of memory|Search not completed/.test(output);
    const asExpected = states > 0 && whole && (violated === undefined) === holds;
    return { model, shows, defines, states, violated: violated ?? null, asExpected };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function run(command, args, cwd) {
  try {
    return (await execute(command, args, { cwd, maxBuffer: 1 << 26, signal: interrupted.signal })).stdout;
  } catch (cause) {
    throw new Error(`${command} failed: ${cause.message}\n${cause.stdout ?? ''}${cause.stderr ?? ''}`, { cause });
  }
}

function demandPrograms() {
  const missing = [
    ['spin', 'spin'],
    ['cc', 'gcc'],
  ].filter(([program]) => spawnSync('which', [program]).status !== 0);
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...packages, 'libc6-dev'];
  const isDebian = /^ID(_LIKE)?=.*debian/m.test(readFileSync('/etc/os-release', 'utf8'));
  if (process.getuid?.() !== 0 || !isDebian)
    throw new Error(`${packages.join(' and ')} must be installed: as root, apt-get ${install.join(' ')}`);
  process.stderr.write(`model: installing ${packages.join(' and ')}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('apt-get', ['update', '-qq'], { env, stdio: 'ignore' });
  execFileSync('apt-get', install, { env, stdio: 'ignore' });
}
