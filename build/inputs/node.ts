/**
 * The Node program of the image, from the package of npm that carries it: `npm pack`, and so by the user's own configuration
 * (registry, proxy, credentials). Kept as `CACHE/inputs/SHA256-node`.
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { Failure } from '../../policies/failure.ts';
import { describeError, diskFailure, makeFolder } from '../disk.ts';
import { isVerified } from './fetch.ts';
import type { FetchOptions } from './fetch.ts';
import { readInputsLock } from './lock.ts';
import type { InputsCode, LockedNode } from './lock.ts';

const PROGRAM = 'package/bin/node';

export interface FetchNodeOptions extends FetchOptions {
  /** Default: the one in the lock. */
  readonly node?: LockedNode;
}

/** Path of the verified program. Throws `inputs/tool-missing`, `…/gone`, `…/unreachable`, `…/wrong-bytes` or `disk/…`. */
export async function fetchNode(options: FetchNodeOptions): Promise<string> {
  const node = options.node ?? readInputsLock().node;
  const folder = join(options.cacheDir, 'inputs');
  const file = join(folder, `${node.program.sha256}-node`);
  if (await isVerified(file, node.program, options.signal)) return file;
  let temporary: string | undefined;
  try {
    await makeFolder(folder, 0o700);
    temporary = await mkdtemp(join(folder, `.${process.pid}-${randomBytes(4).toString('hex')}-`));
    options.onProgress?.(`Node ${node.version}`, 0, node.program.bytes);
    const tarball = await pack(node, temporary, options.signal);
    const program = join(temporary, 'program');
    await extractProgram(tarball, program, options.signal);
    if (!(await isVerified(program, node.program, options.signal)))
      throw wrongBytes(node, 'its program is another one');
    await chmod(program, 0o755);
    await rename(program, file);
    options.onProgress?.(`Node ${node.version}`, node.program.bytes, node.program.bytes);
    return file;
  } catch (error) {
    throw diskFailure(error, file, 'keeping Node');
  } finally {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true }).catch(() => {});
  }
}

/** The package's tarball, which is what the lock says. */
async function pack(node: LockedNode, folder: string, signal: AbortSignal | undefined): Promise<string> {
  const args = ['pack', '--ignore-scripts', '--loglevel=error', `${node.package}@${node.version}`];
  const said = await npm(args, folder, signal);
  if (/\bENOSPC\b/.test(said.text)) throw Object.assign(new Error('npm found no space'), { code: 'ENOSPC' });
  const name = (await readdir(folder)).find((one) => one.endsWith('.tgz'));
  if (said.code !== 0 || name === undefined) throw notPacked(node, said.text);
  const tarball = join(folder, name);
  const hash = createHash('sha512');
  await pipeline(createReadStream(tarball), hash);
  const integrity = `sha512-${hash.digest('base64')}`;
  if (integrity !== node.integrity) throw wrongBytes(node, `its integrity is ${integrity}`);
  return tarball;
}

function npm(
  args: readonly string[],
  cwd: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly code: number | null; readonly text: string }> {
  const child = spawn('npm', args, {
    cwd,
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(signal !== undefined && { signal }),
  });
  let text = '';
  child.stderr.on('data', (data: Buffer) => (text += data.toString()));
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(signal?.aborted === true ? signal.reason : noNpm(error)));
    child.on('close', (code) => resolve({ code, text: text.trim() }));
  });
}

async function extractProgram(tarball: string, to: string, signal: AbortSignal | undefined): Promise<void> {
  const tar = extract();
  const reading = pipeline(createReadStream(tarball), createGunzip(), tar, { ...(signal !== undefined && { signal }) });
  reading.catch(() => {}); // awaited below
  for await (const entry of tar) {
    if (entry.header.name === PROGRAM) await writeFile(to, entry, { flag: 'wx', mode: 0o600 });
    else entry.resume();
  }
  await reading;
}

function wrongBytes(node: LockedNode, what: string): Failure<InputsCode> {
  return new Failure(
    'environment',
    'inputs/wrong-bytes',
    `${node.package}@${node.version} is not the package that was locked: ${what}`,
    {
      where: 'npm',
      hint: 'npm answered from a registry or a cache that has other bytes: look at `npm config get registry`, run `npm cache verify`, then the same command again; nothing of it was kept',
    },
  );
}

function notPacked(node: LockedNode, said: string): Failure<InputsCode> {
  const gone = /\b(E404|ETARGET)\b/.test(said);
  return new Failure(
    'environment',
    gone ? 'inputs/gone' : 'inputs/unreachable',
    `npm could not fetch ${node.package}@${node.version}: ${said || 'it said nothing'}`,
    {
      where: 'npm',
      hint: gone
        ? 'the registry that npm asks does not have it: look at `npm config get registry`'
        : 'check the network and the configuration of npm (`npm config list`), then run the same command again',
    },
  );
}

function noNpm(error: Error): Failure<InputsCode> {
  return new Failure('environment', 'inputs/tool-missing', `npm cannot be started: ${describeError(error)}`, {
    where: 'npm',
    hint: 'install npm, which comes with Node, and run the same command again',
    cause: error,
  });
}
