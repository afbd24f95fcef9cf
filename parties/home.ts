/**
 * Who I am and what I pinned: one private folder a party.
 *
 *     HOME/config.json   who I am, where the orchestrator is, which key is mine
 *     HOME/pins.json     what an enclave must prove: PCR0-2, policy digest, root
 *     HOME/policy.json   the canonical policy of that digest, byte for byte
 *     HOME/calls/        one file a call, written before its first byte is sent (see calls.ts)
 *     HOME/outbox/       envelopes on their way
 *
 * The orchestrator is asked for the policy and never believed: its bytes must have the pinned digest.
 */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Pcrs } from '../build/measure/pcr.ts';
import { parseCanonicalPolicy } from '../policies/canonical.ts';
import { policyDigest as digestOf, parsePolicyDigest } from '../policies/digest.ts';
import { Failure } from '../policies/failure.ts';
import type { CanonicalPolicy, PolicyDigest } from '../policies/model.ts';
import { NAME } from '../policies/name.ts';
import { awsRoot, localRoot } from './attestation/verify.ts';
import type { Root } from './attestation/verify.ts';
import { jsonFields, parseJson } from './json-fields.ts';
import { demandPrivate, makePrivateFolder, readPrivateFile, writePrivateFile } from './private-files.ts';
import type { PrivateFileCode } from './private-files.ts';

export type HomeCode =
  | PrivateFileCode
  | 'home/absent' // no such home, or none to be found
  | 'home/ambiguous' // several homes, and none was named
  | 'home/other-party' // the home that was named is not that of the party that was named
  | 'home/malformed'
  | 'home/policy-mismatch' // the policy file is not the pinned one
  | 'home/already-pinned' // another collaboration or image is pinned here
  | 'home/set-up-otherwise'; // the same pins with another key, profile, role or orchestrator

export interface HomeConfig {
  readonly party: string;
  /** URL of the orchestrator. */
  readonly orchestrator: string;
  /** Id of the collaboration there. */
  readonly collaboration: string;
  readonly keyArn: string;
  /** AWS profile; else the SDK's credential chain. */
  readonly profile?: string;
  readonly enclaveRoleArn: string;
}

export interface Pins {
  readonly policyDigest: PolicyDigest;
  readonly pcrs: Pcrs;
  readonly root: Root;
}

export interface Home {
  readonly path: string;
  readonly config: HomeConfig;
  readonly pins: Pins;
  readonly policy: CanonicalPolicy;
}

/** 48 bytes in lower-case hex: SHA-384. */
export const HEX_384: RegExp = /^[0-9a-f]{96}$/;
const MALFORMED: HomeCode = 'home/malformed';

export interface HomeChoice {
  /** `--home DIR`. */
  readonly home?: string | undefined;
  /** `--party NAME`: whose home, where several stand side by side; of a home that is named otherwise, whose it must be. */
  readonly party?: string | undefined;
}

/** The folder to use: `--home`, else `ACCORD_HOME`, else `./.accord/<party>`, which need not exist yet. */
export async function homePath(
  { home, party }: HomeChoice,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Promise<string> {
  const named = home ?? env['ACCORD_HOME'];
  if (named !== undefined && named !== '') return resolve(cwd, named);
  const folder = join(cwd, '.accord');
  if (party !== undefined) return join(folder, party);
  const homes = await homesIn(folder);
  const [only, second] = homes;
  if (only !== undefined && second === undefined) return join(folder, only);
  if (only === undefined) {
    throw new Failure<HomeCode>('usage', 'home/absent', `there is no home below ${folder}`, {
      where: folder,
      hint: 'make one with `accord init`, or name one with --home DIR',
    });
  }
  throw new Failure<HomeCode>('usage', 'home/ambiguous', `${folder} holds several homes: ${homes.join(', ')}`, {
    where: folder,
    hint: 'say who you are with --party NAME or --home DIR',
  });
}

async function homesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    entries
      .filter((entry) => entry.isDirectory())
      .map(async ({ name }) => ((await isHome(join(folder, name))) ? [name] : [])),
  );
  return found.flat().sort();
}

async function isHome(path: string): Promise<boolean> {
  const names: readonly string[] = await readdir(path).catch(() => []);
  return names.includes('config.json');
}

/** Opens the home that `homePath` names. Throws `Failure<HomeCode>`: `home/other-party` where it is not that of `--party`. */
export async function openChosenHome(
  choice: HomeChoice,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Promise<Home> {
  const home = await openHome(await homePath(choice, env, cwd));
  if (choice.party !== undefined) demandParty(home.path, home.config, choice.party);
  return home;
}

/** Whoever names a party and means another would act, and pay, for the wrong one. */
function demandParty(path: string, { party: owner }: HomeConfig, named: string): void {
  if (owner === named) return;
  throw new Failure<HomeCode>('usage', 'home/other-party', `${path} is the home of ${owner}, not of ${named}`, {
    where: path,
    hint: `name the home of ${named} with --home DIR or ACCORD_HOME, or say --party ${owner}; nothing was done`,
  });
}

/** Reads and checks a home. Throws `Failure<HomeCode>`. */
export async function openHome(path: string): Promise<Home> {
  if (!(await isHome(path))) {
    throw new Failure<HomeCode>('usage', 'home/absent', `${path} is not a home`, {
      where: path,
      hint: 'make it with `accord init`, or name another with --home DIR',
    });
  }
  await demandPrivate(path);
  const config = readConfig(await readJson(path, 'config.json', CONFIG_HINT));
  const pins = readPins(await readJson(path, 'pins.json', PINS_HINT));
  const text = new TextDecoder().decode(await readFile(path, 'policy.json'));
  if ((await digestOf(text)) !== pins.policyDigest) {
    throw new Failure<HomeCode>('refused', 'home/policy-mismatch', 'policy.json is not the policy that was pinned', {
      where: join(path, 'policy.json'),
      hint: 'find out who changed it, then make the home anew with `accord init --repin`',
    });
  }
  return { path, config, pins, policy: parseCanonicalPolicy(text) };
}

export interface NewHome {
  readonly config: HomeConfig;
  readonly pins: Pins;
  /** The canonical policy's text; its digest is in the pins. */
  readonly policyText: string;
}

/**
 * Writes a home; the same again changes nothing. Other pins or settings than those in place are refused unless `repin` says
 * that the owner means it: a changed measurement is exactly what pins are there to catch. The home of another party is
 * refused in either case.
 */
export async function writeHome(
  path: string,
  home: NewHome,
  repin: boolean,
): Promise<'made' | 'unchanged' | 'changed'> {
  await makePrivateFolder(path);
  const existed = await isHome(path);
  const before = existed && !repin ? await openHome(path) : undefined;
  const owner = existed && repin ? await readableConfig(path) : before?.config;
  if (owner !== undefined) demandParty(path, owner, home.config.party);
  if (before !== undefined && !samePins(before, home)) {
    throw new Failure<HomeCode>('refused', 'home/already-pinned', `${path} pins another image or collaboration`, {
      where: path,
      hint: 'if you reproduced the new image and agree with its policy, add --repin; or use another --home',
    });
  }
  if (before !== undefined) {
    demandSameSettings(path, before.config, home.config);
    return 'unchanged';
  }
  await writePrivateFile(join(path, 'policy.json'), home.policyText);
  await writePrivateFile(join(path, 'pins.json'), `${JSON.stringify({ v: 1, ...home.pins }, undefined, 2)}\n`);
  // Last: a folder with a configuration is a whole home.
  await writePrivateFile(join(path, 'config.json'), `${JSON.stringify({ v: 1, ...home.config }, undefined, 2)}\n`);
  return existed ? 'changed' : 'made';
}

/** Undefined where it cannot be read: to pin anew is how that is mended. */
async function readableConfig(path: string): Promise<HomeConfig | undefined> {
  try {
    return readConfig(await readJson(path, 'config.json', CONFIG_HINT));
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

function demandSameSettings(path: string, before: HomeConfig, after: HomeConfig): void {
  const names = ['orchestrator', 'keyArn', 'profile', 'enclaveRoleArn'] as const;
  const other = names.filter((name) => before[name] !== after[name]);
  if (other.length === 0) return;
  const changes = other.map((name) => `${name} is ${before[name] ?? 'not set'}, not ${after[name] ?? 'left out'}`);
  throw new Failure<HomeCode>(
    'refused',
    'home/set-up-otherwise',
    `${path} is set up otherwise: ${changes.join('; ')}`,
    {
      hint: 'nothing was changed; if you mean it, add --repin',
    },
  );
}

function samePins({ pins, config }: Home, { pins: next, config: nextConfig }: NewHome): boolean {
  return (
    pins.policyDigest === next.policyDigest &&
    pins.pcrs.PCR0 === next.pcrs.PCR0 &&
    pins.pcrs.PCR1 === next.pcrs.PCR1 &&
    pins.pcrs.PCR2 === next.pcrs.PCR2 &&
    pins.root.sha256 === next.root.sha256 &&
    config.collaboration === nextConfig.collaboration
  );
}

async function readFile(path: string, name: string): Promise<Uint8Array> {
  const bytes = await readPrivateFile(join(path, name));
  if (bytes !== undefined) return bytes;
  throw new Failure<HomeCode>('malformed', 'home/malformed', `${join(path, name)} is missing`, {
    where: join(path, name),
    hint: 'make the home anew with `accord init --repin`',
  });
}

const CONFIG_HINT =
  'it says who you are, where the orchestrator is and which key is yours: make the home anew with `accord init … --repin`; calls/ stays';
const PINS_HINT =
  'it says what an enclave must prove: pin it anew, from your own measurements, with `accord init … --repin`; calls/ stays';

async function readJson(path: string, name: string, hint: string): Promise<ReturnType<typeof jsonFields>> {
  const where = join(path, name);
  const value = parseJson(new TextDecoder().decode(await readFile(path, name)), MALFORMED, where, hint);
  return jsonFields(value, MALFORMED, where, hint);
}

function readConfig(fields: ReturnType<typeof jsonFields>): HomeConfig {
  const profile = fields.optionalText('profile');
  return {
    party: fields.text('party', NAME),
    orchestrator: fields.text('orchestrator'),
    collaboration: fields.text('collaboration'),
    keyArn: fields.text('keyArn'),
    ...(profile === undefined ? {} : { profile }),
    enclaveRoleArn: fields.text('enclaveRoleArn'),
  };
}

function readPins(fields: ReturnType<typeof jsonFields>): Pins {
  const pcrs = fields.fields('pcrs');
  const root = fields.fields('root');
  return {
    policyDigest: parsePolicyDigest(fields.text('policyDigest', HEX_384)),
    pcrs: {
      PCR0: pcrs.text('PCR0', HEX_384),
      PCR1: pcrs.text('PCR1', HEX_384),
      PCR2: pcrs.text('PCR2', HEX_384),
    },
    root: root.text('kind', /^(aws|local)$/) === 'aws' ? awsRoot : localRoot(root.text('sha256', /^[0-9a-f]{64}$/)),
  };
}
