/**
 * `build/inputs.lock.json`: everything from outside that an image is made of, by digest. Written by `renew.mjs`, read here.
 * The packages of npm are in the lock file that `npmLock` names.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../policies/failure.ts';
import { describeError } from '../disk.ts';

export type InputsCode =
  | 'inputs/lock'
  | 'inputs/gone'
  | 'inputs/unreachable'
  | 'inputs/wrong-bytes'
  | 'inputs/archive'
  | 'inputs/tool-missing'
  | 'inputs/sandbox'
  | 'inputs/command';

export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** Below a Debian mirror: `pool/main/…`. */
  readonly path: string;
  readonly bytes: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

export interface LockedNode {
  /** A package of npm that holds `bin/node`. */
  readonly package: string;
  readonly version: string;
  /** Of the package's tarball: `sha512-` and base64. */
  readonly integrity: string;
  readonly program: { readonly bytes: number; readonly sha256: string };
}

export interface InputsLock {
  readonly apiVersion: 'accord/v1';
  readonly debian: {
    readonly suite: string;
    /** When snapshot.debian.org had all of these: `20261030T140801Z`. */
    readonly snapshot: string;
    /** What the image's Node runs on, and what its jails are made with. */
    readonly base: readonly LockedPackage[];
    /** What compiles the kernel and the init. */
    readonly toolchain: readonly LockedPackage[];
    readonly kernelSource: LockedPackage;
  };
  readonly node: LockedNode;
  readonly qemu: { readonly source: readonly LockedPackage[]; readonly vhostDeviceVsock: LockedPackage };
  readonly npmLock: string;
}

const LOCK_FILE = join(import.meta.dirname, '..', 'inputs.lock.json');

/** The lock beside this code. Throws `inputs/lock` where it is absent or not of this form: nothing in it is guessed. */
export function readInputsLock(file: string = LOCK_FILE): InputsLock {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw lockFailure(file, describeError(error));
  }
  const lock = new Reader(parsed, '', file);
  lock.keys('apiVersion', 'debian', 'node', 'qemu', 'npmLock');
  lock.at('apiVersion').text(/^accord\/v1$/);
  const debian = lock.at('debian').keys('suite', 'snapshot', 'base', 'toolchain', 'kernelSource');
  const node = lock.at('node').keys('package', 'version', 'integrity', 'program');
  const program = node.at('program').keys('bytes', 'sha256');
  const qemu = lock.at('qemu').keys('source', 'vhostDeviceVsock');
  return {
    apiVersion: 'accord/v1',
    debian: {
      suite: debian.at('suite').text(/^[a-z]+$/),
      snapshot: debian.at('snapshot').text(/^\d{8}T\d{6}Z$/),
      base: debian.at('base').list(readPackage),
      toolchain: debian.at('toolchain').list(readPackage),
      kernelSource: readPackage(debian.at('kernelSource')),
    },
    node: {
      package: node.at('package').text(/^[a-z0-9-]+$/),
      version: node.at('version').text(/^\d+\.\d+\.\d+$/),
      integrity: node.at('integrity').text(/^sha512-[A-Za-z0-9+/]{86}==$/),
      program: { bytes: program.at('bytes').length(), sha256: program.at('sha256').text(/^[0-9a-f]{64}$/) },
    },
    qemu: {
      source: qemu.at('source').list(readPackage),
      vhostDeviceVsock: readPackage(qemu.at('vhostDeviceVsock')),
    },
    npmLock: lock.at('npmLock').text(/^[a-z.-]+$/),
  };
}

function readPackage(found: Reader): LockedPackage {
  found.keys('name', 'version', 'path', 'bytes', 'sha256');
  return {
    name: found.at('name').text(/^[A-Za-z0-9][A-Za-z0-9.+~_-]*$/),
    version: found.at('version').text(/^[A-Za-z0-9.+~:-]+$/),
    path: found.at('path').text(/^pool\/main(\/[A-Za-z0-9][A-Za-z0-9.+~_-]*)+$/),
    bytes: found.at('bytes').length(),
    sha256: found.at('sha256').text(/^[0-9a-f]{64}$/),
  };
}

/** A value in the lock, with the path that leads to it. */
class Reader {
  readonly value: unknown;
  readonly where: string;
  readonly file: string;

  constructor(value: unknown, where: string, file: string) {
    this.value = value;
    this.where = where;
    this.file = file;
  }

  /** An object with these keys and no other. */
  keys(...names: readonly string[]): this {
    const found = this.value;
    if (typeof found !== 'object' || found === null || Array.isArray(found)) return this.fail('is not an object');
    const wrong = [
      ...names.filter((name) => !Object.hasOwn(found, name)),
      ...Object.keys(found).filter((name) => !names.includes(name)),
    ];
    return wrong.length === 0 ? this : this.fail(`lacks, or must not have, ${wrong.join(', ')}`);
  }

  at(name: string): Reader {
    const found: unknown =
      typeof this.value === 'object' && this.value !== null ? Reflect.get(this.value, name) : undefined;
    return new Reader(found, this.where === '' ? name : `${this.where}.${name}`, this.file);
  }

  list<T>(read: (one: Reader) => T): readonly T[] {
    const found: unknown = this.value;
    if (!Array.isArray(found)) return this.fail('is not a list');
    return found.map((one: unknown, index) => read(new Reader(one, `${this.where}[${index}]`, this.file)));
  }

  text(form: RegExp): string {
    return typeof this.value === 'string' && form.test(this.value) ? this.value : this.fail(`does not match ${form}`);
  }

  length(): number {
    const found = this.value;
    return typeof found === 'number' && Number.isSafeInteger(found) && found > 0
      ? found
      : this.fail('is not a positive whole number');
  }

  fail(what: string): never {
    throw lockFailure(this.file, `${this.where || 'it'} ${what}`);
  }
}

function lockFailure(file: string, what: string): Failure<InputsCode> {
  return new Failure('malformed', 'inputs/lock', `the list of inputs cannot be used: ${what}`, {
    where: file,
    hint: 'take the file as it is in the repository, or renew it with `node build/inputs/renew.mjs`',
  });
}
