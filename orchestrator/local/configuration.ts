/** What clients are told: the files of an AWS configuration, the trust file for policies, and where the server is. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { toHex } from '../../enclave/encoding/hex.ts';
import type { LocalTrust } from '../../policies/model.ts';
import { HOME_REGION } from './accounts.ts';
import { writeAtomically } from './files.ts';
import { ENDPOINTS } from './regions.ts';
import type { State } from './state.ts';
import type { ServerTls } from './tls.ts';

export interface Place {
  readonly dataDir: string;
  readonly url: string;
  readonly tls: ServerTls;
  /** SHA-256 (hex) of the root that signs attestation documents, and where its DER is. */
  readonly attestationRootSha256: string;
  readonly attestationRootPath: string;
  readonly nsmDir: string;
}

export function configurationPaths(dataDir: string): {
  readonly config: string;
  readonly credentials: string;
  readonly trust: string;
  readonly description: string;
} {
  return {
    config: join(dataDir, 'config'),
    credentials: join(dataDir, 'credentials'),
    trust: join(dataDir, 'trust.json'),
    description: join(dataDir, 'local-aws.json'),
  };
}

/** The variables with which the stock `aws` command line and the SDKs find this server and trust it. */
export function clientEnvironment({ dataDir, url, tls }: Place): Readonly<Record<string, string>> {
  const paths = configurationPaths(dataDir);
  return {
    AWS_CONFIG_FILE: paths.config,
    AWS_SHARED_CREDENTIALS_FILE: paths.credentials,
    AWS_ENDPOINT_URL: url,
    AWS_CA_BUNDLE: tls.rootPemPath,
    NODE_EXTRA_CA_CERTS: tls.rootPemPath,
  };
}

/** Whom a policy for this local AWS trusts: `--trust FILE` composes it in. Stays the same over restarts. */
export function trustOf({ tls, attestationRootSha256 }: Place): LocalTrust {
  return {
    attestationRoot: attestationRootSha256,
    tlsRoots: [toHex(createHash('sha256').update(tls.rootDer).digest())],
    endpoints: ENDPOINTS,
  };
}

export async function writeConfiguration(place: Place, state: State): Promise<void> {
  const paths = configurationPaths(place.dataDir);
  const users = state.accounts.flatMap(({ users }) => users.filter(({ profile }) => profile));
  const profiles = users.map(({ name }) => `[profile ${name}]\nregion = ${HOME_REGION}\noutput = json\n`);
  const secrets = users.flatMap(({ name, accessKeys: [first] }) =>
    first === undefined
      ? []
      : [`[${name}]\naws_access_key_id = ${first.id}\naws_secret_access_key = ${first.secret}\n`],
  );
  const description = {
    url: place.url,
    pid: process.pid,
    tlsRootPemPath: place.tls.rootPemPath,
    tlsRootDerPath: place.tls.rootDerPath,
    attestationRootPath: place.attestationRootPath,
    nsmDir: place.nsmDir,
  };
  await writeAtomically(paths.config, profiles.join('\n'));
  await writeAtomically(paths.credentials, secrets.join('\n'), 0o600);
  await writeAtomically(paths.trust, `${JSON.stringify(trustOf(place), null, 2)}\n`);
  await writeAtomically(paths.description, `${JSON.stringify(description, null, 2)}\n`);
}
