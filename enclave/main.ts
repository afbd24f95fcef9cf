/**
 * The composition root, and the only file of the enclave that touches the world: time, randomness, environment, sockets,
 * processes. It stands in the image as one bundled file, beside it the jails and the transport line.
 */
import { fstatSync, readFileSync } from 'node:fs';
import * as files from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { rootCertificates } from 'node:tls';
import { EXIT_CODES, Failure } from '../policies/failure.ts';
import { createNsm } from './attest/device.ts';
import { openAnchor } from './claims/open-anchor.ts';
import { sha256 } from './crypto/digest.ts';
import type { Timers } from './deadline.ts';
import { hasGroupForJails } from './jail/cgroups.ts';
import { demandConfinement } from './jail/confinement.ts';
import { startComputer } from './jail/gate-side.ts';
import { createNursery } from './jail/nursery.ts';
import { createSchedule } from './pipeline/schedule.ts';
import { openPrison } from './jail/prison.ts';
import { connectAws } from './kms/connect.ts';
import type { RecipientKey } from './kms/recipient.ts';
import type { LifeLine } from './life.ts';
import type { Serving, World } from './service.ts';
import { boot, key, serve } from './service.ts';
import { refuseDebugger } from './no-debugger.ts';
import { openTransport } from './transport.ts';

export type MainCode = 'policy/absent';

const STOP_MS = 5_000;

const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
const report = (line: LifeLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const timers: Timers = (milliseconds, run) => {
  const timer = setTimeout(run, milliseconds);
  return () => clearTimeout(timer);
};

/** Node's timers count whole milliseconds, from the beginning of a turn of its event loop. */
const TIMERS_COARSE_MS = 2;
const monotonic = (): number => performance.now();
/** Nobody ever changes or wakes it: to wait for that is to sleep. */
const nobody = new Int32Array(new SharedArrayBuffer(4));
const nap = (milliseconds: number): void => void Atomics.wait(nobody, 0, 0, milliseconds);

/**
 * RSA-3072: KMS takes 2048, 3072 and 4096; this is as strong as the rest. It is the one key whose randomness is not
 * mixed by `mixRandom`: WebCrypto takes it from OpenSSL, which is seeded by the kernel when Node starts. There the NSM
 * has its part too: the init mixes bytes of it into the kernel's, and starts nothing where it cannot.
 */
async function makeRecipientKey(): Promise<RecipientKey> {
  const algorithm = { name: 'RSA-OAEP', hash: 'SHA-256', modulusLength: 3072, publicExponent: Uint8Array.of(1, 0, 1) };
  const { privateKey, publicKey } = await crypto.subtle.generateKey(algorithm, false, ['decrypt', 'encrypt']);
  const spki = new Uint8Array(await crypto.subtle.exportKey('spki', publicKey));
  return { privateKey, spki, id: await sha256(spki) };
}

/** On the local host the enclave is a child process: it ends with whoever holds the other end of its input. */
function endWithHost(): void {
  const input = fstatSync(0);
  if (!input.isFIFO() && !input.isSocket()) return;
  process.stdin.once('end', () => end('the host is gone', EXIT_CODES.environment));
  process.stdin.resume();
}

async function openWorld(): Promise<World> {
  const line = readFileSync(beside('./transport'), 'latin1');
  // Relative to the unpacked image on the local host, whose sockets must have short names.
  const { nsm, vsock } = await openTransport(line, 'run', timers);
  if (line === 'local\n') endWithHost();
  const paths = {
    node: process.execPath,
    decode: beside('./jail/decode.mjs'),
    compute: beside('./jail/compute.mjs'),
    record: beside('./jail/record.mjs'),
    tree: beside('./jail/tree.mjs'),
  };
  const open = openPrison({ node: paths.node, entry: paths.decode, cwd: beside('./jail'), env: {} }, timers);
  const schedule = createSchedule({ now: monotonic, timers, coarseMs: TIMERS_COARSE_MS, immediate: setImmediate, nap });
  const nursery = createNursery(availableParallelism(), schedule);
  return {
    nsm: createNsm(nsm),
    vsock,
    random,
    monotonic,
    timers,
    schedule,
    makeRecipientKey,
    connectAws: async ({ policy, launch, host, now }) => {
      const { kms, settings: aws } = await connectAws({
        trust: policy.trust,
        offeredRoots: launch.roots,
        carriedRoots: rootCertificates,
        dial: (name, port, signal) => host.dial(name, port, signal),
        now,
        wallClock: () => Date.now(),
        timers,
      });
      return { kms, openAnchor: (place) => openAnchor({ ...place, aws, timers, until: policy.until, files, random }) };
    },
    startComputer: async (options) =>
      startComputer({ ...options, paths: { ...paths, prison: await open }, timers, nursery }),
    confinement: async () => {
      const { confinement } = await open;
      return line === 'local\n' ? confinement : demandConfinement(confinement, hasGroupForJails());
    },
    report,
    end: fail,
  };
}

let serving: Serving | undefined;
let ending = false;

/** Once: the first reason to end is the one that counts. */
function end(reason: string, code: number): void {
  if (ending) return;
  ending = true;
  const leave = (): void => {
    report({ accord: 'stopped', reason, code });
    process.exit(code);
  };
  // Whatever does not stop by then dies with this process.
  setTimeout(leave, STOP_MS).unref();
  void (serving?.stop() ?? Promise.resolve()).catch(() => {}).then(leave);
}

/** Codes and messages of our own failures are written for the host; of anything else it learns the kind alone. */
function fail(error: unknown): void {
  if (error instanceof Failure) end(`${error.code}: ${error.message}`, EXIT_CODES[error.kind]);
  else end(`internal error: ${error instanceof Error ? error.name : typeof error}`, 1);
}

refuseDebugger();
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
process.on('SIGTERM', () => end('terminated', 0));
process.on('SIGINT', () => end('interrupted', 0));
// Warnings of libraries go nowhere: what is said aloud is said in `life.ts`.
process.removeAllListeners('warning');
process.on('warning', () => {});

try {
  const policyText = process.env['ACCORD_POLICY'];
  if (policyText === undefined)
    throw new Failure<MainCode>('malformed', 'policy/absent', 'the image carries no policy');
  serving = await serve(await key(await boot(await openWorld(), policyText)));
} catch (error) {
  fail(error);
}
