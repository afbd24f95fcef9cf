/**
 * Makes a checkout ready to run: installs what is missing and compiles what changed, under a lock, so that two commands
 * started at once wait for each other instead of stepping on each other. Plain JavaScript, because it runs before
 * anything is installed. It never needs root and never calls a system package manager.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(root, '.cache');
const dist = join(root, 'dist');
const ROOMS = ['policies', 'enclave', 'build', 'parties', 'orchestrator', 'test'];
/** What the compiler does not carry over and the compiled code reads at run time. */
const ASSETS = /(\.(json|html|css|svg|sql|yaml|onnx|jpg|png|mjs|js|d\.ts|c|h|config)|Dockerfile)$/;

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const INTERRUPTED = 130;
/** How long what is interrupted may take to end by itself. */
const PATIENCE_MS = 5_000;
const ECHO_MS = 500;
/** Leaders of the groups that run now. */
const running = new Set();

class NotReady extends Error {
  constructor(message, exitCode) {
    super(message);
    this.exitCode = exitCode;
  }
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 20)) {
    throw new NotReady(`Accord needs Node 20.20 or later; this is ${process.version}. Install a newer Node.`, 40);
  }
}

const alive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** Two turns of the event loop: one from its middle need not look at signals. */
const turns = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

/** Takes the lock by linking a file that already names us: it exists with its content, or not at all. */
async function takeLock(say, stop) {
  mkdirSync(cache, { recursive: true });
  const lock = join(cache, 'ready.lock');
  const mine = join(cache, `ready.${process.pid}`);
  writeFileSync(mine, String(process.pid));
  const release = () => rmSync(lock, { force: true });
  let told = false;
  try {
    for (;;) {
      stop.throwIfAborted();
      try {
        linkSync(mine, lock);
        return release;
      } catch (error) {
        if (error.code !== 'EEXIST') throw error;
      }
      const holder = existsSync(lock) ? Number(readFileSync(lock, 'utf8')) : 0;
      if (holder !== 0 && !alive(holder)) {
        rmSync(lock, { force: true }); // its holder was killed: nothing guards it any more
        continue;
      }
      if (!told) say(`another command (pid ${holder}) is installing or compiling; waiting for it`);
      told = true;
      await pause(200);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/**
 * Runs it to its end. Interrupted, it is over only when neither the child nor anything that it started is left: a group of
 * its own, since npm and the compiler have children that no signal to them alone reaches.
 */
async function run(command, args, stop) {
  stop.throwIfAborted();
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  if (child.pid !== undefined) running.add(child.pid);
  let end;
  const ended = new Promise((_, reject) => {
    end = () => endGroup(child.pid, stop.reason.signal).then(() => reject(stop.reason));
    stop.addEventListener('abort', end, { once: true });
  });
  try {
    await Promise.race([outcomeOf(child, [command, ...args].join(' ')), ended]);
  } finally {
    stop.removeEventListener('abort', end);
    if (stop.aborted) await ended;
    running.delete(child.pid);
  }
}

function outcomeOf(child, line) {
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    child.on('error', (error) => reject(new NotReady(`${child.spawnfile} cannot be started: ${error.message}`, 40)));
    child.on('close', (code, signal) => {
      const how = signal ?? `exit ${code}`;
      if (code === 0) resolve();
      else reject(new NotReady(`${line} failed (${how}):\n${output}`, code ? 40 : INTERRUPTED));
    });
  });
}

/** Passes the signal on, and ends what does not end by it. */
async function endGroup(leader, signal) {
  for (const last of [signal, 'SIGKILL']) {
    signalGroup(leader, last);
    for (let waited = 0; waited < PATIENCE_MS && signalGroup(leader, 0); waited += 50) await pause(50);
  }
}

/** False where none of the group is left. */
function signalGroup(leader, signal) {
  try {
    return process.kill(-leader, signal);
  } catch {
    return false;
  }
}

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');
const stampIs = (name, key) => existsSync(join(cache, name)) && readFileSync(join(cache, name), 'utf8') === key;

function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

async function install(say, stop) {
  const key = sha256(readFileSync(join(root, 'package-lock.json')), process.version, process.platform, process.arch);
  if (stampIs('installed', key) && existsSync(join(root, 'node_modules'))) return;
  say('installing packages (npm ci; once, about 400 MB) …');
  rmSync(join(cache, 'installed'), { force: true }); // until all is there again
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], stop);
  writeFileSync(join(cache, 'installed'), key);
}

/** Compiles beside `dist` and swaps it in whole: no reader sees half of it, and nothing of deleted sources stays. */
async function compile(say, stop) {
  const made = ['build/validators.mjs', 'build/tree-kernel.mjs'].map((maker) => run(process.execPath, [maker], stop));
  await Promise.allSettled(made); // the lock is held until both have ended
  await Promise.all(made);
  const hash = createHash('sha256').update(process.version);
  for (const room of ROOMS) {
    for (const path of files(join(root, room)))
      hash.update(relative(root, path)).update('\0').update(readFileSync(path));
  }
  for (const name of ['package-lock.json', 'tsconfig.json']) hash.update(readFileSync(join(root, name)));
  const key = hash.digest('hex');
  if (stampIs('compiled', key) && existsSync(dist)) return;
  say('compiling …');
  const next = join(cache, 'dist');
  rmSync(next, { recursive: true, force: true });
  await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json', '--outDir', next], stop);
  for (const room of ROOMS) {
    for (const path of files(join(root, room))) {
      const target = join(next, relative(root, path));
      if (ASSETS.test(path) && !existsSync(target)) {
        mkdirSync(dirname(target), { recursive: true });
        cpSync(path, target);
      }
    }
  }
  const bin = join(next, 'orchestrator', 'cli', 'bin.js');
  if (existsSync(bin)) chmodSync(bin, 0o755);
  const old = join(cache, 'dist.old');
  rmSync(old, { recursive: true, force: true });
  if (existsSync(dist) && statSync(dist).isDirectory()) renameSync(dist, old);
  renameSync(next, dist);
  rmSync(old, { recursive: true, force: true });
  writeFileSync(join(cache, 'compiled'), key);
}

/**
 * Installs and compiles what is missing. Prints progress to stderr; ends the process with a plain sentence on failure.
 * Interrupted, it ends what it started before itself.
 */
export async function ready() {
  const say = (text) => process.stderr.write(`accord: ${text}\n`);
  const stopping = new AbortController();
  const stop = stopping.signal;
  let since = 0;
  const interrupt = (signal) => {
    if (!stop.aborted) since = performance.now();
    // The second Ctrl-C does not wait; one can arrive twice, from the terminal and from npm.
    else if (performance.now() - since > ECHO_MS) {
      for (const leader of running) signalGroup(leader, 'SIGKILL');
      process.exit(INTERRUPTED);
    }
    stopping.abort(Object.assign(new NotReady('interrupted', INTERRUPTED), { signal }));
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, interrupt);
  let release = () => {};
  try {
    checkNode();
    release = await takeLock(say, stop);
    process.on('exit', release);
    await install(say, stop);
    await compile(say, stop);
    await turns(); // a signal that came while files were read and copied is only told now
    stop.throwIfAborted();
  } catch (error) {
    say(error instanceof NotReady ? error.message : `cannot get ready: ${error.message}`);
    process.exit(error instanceof NotReady ? error.exitCode : 40);
  } finally {
    for (const signal of ENDING_SIGNALS) process.removeListener(signal, interrupt);
    release();
    process.removeListener('exit', release);
  }
}

/** Runs a compiled program as this process's child, with its signals and its exit code. */
export function hand(program, args, env = process.env) {
  // Which AWS SDK this Node runs is locked; what a later one will want is no news for whoever tests or measures.
  const quiet = { ...env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' };
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, ...args], { cwd: process.cwd(), stdio: 'inherit', env: quiet });
    const pass = (signal) => child.kill(signal);
    // We outlive the child, to report its exit code. A terminal sends Ctrl-C to it too, but whoever signals us alone does not.
    for (const signal of ENDING_SIGNALS) process.on(signal, pass);
    child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? INTERRUPTED : 1)));
  });
}

// `npm run compile`
if (process.argv[1] === fileURLToPath(import.meta.url)) await ready();
