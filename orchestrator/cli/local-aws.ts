/** `accord local-aws`: AWS in miniature on this machine, until Ctrl-C. */
import { resolve } from 'node:path';
import type { Verb } from '../../parties/cli/verb.ts';
import { ENCLAVE_ROLE, HOME_REGION, WELL_KNOWN, keyArn } from '../local/accounts.ts';
import type { LocalAws } from '../local/aws.ts';
import { startLocalAws } from '../local/aws.ts';
import { LOG_FILE } from '../local/request-log.ts';
import { readArguments, readNumber, usage } from '../../parties/cli/arguments.ts';
import { stopped, timeToStop, UNTIL_EOF_HELP } from './service.ts';

const DEFAULT_PORT = 7401;

const HELP = `usage: accord local-aws --data DIR [--port N] [--until-eof] [--json]

Serves KMS, STS, S3 and IAM's users on this machine, for trying Accord out: an account, a key and an enclave role for each of
alice, bob and charlie, and an account for the host that owns nothing. Prints the variables with which the stock \`aws\` command line and
the SDKs find it; runs until Ctrl-C. Never for secrets: all keys lie in DIR.

  --data DIR  everything it remembers: keys, policies, grants, its own TLS root and the root of its attestation documents.
              A restart on the same folder changes none of them, so measurements that pin the roots stay valid
  --port N    the port on 127.0.0.1, 0 for a free one (default ${DEFAULT_PORT})
  --until-eof ${UNTIL_EOF_HELP}
  --json      one line of JSON instead of the exports

Written into DIR: config and credentials (profiles alice, bob, charlie, host), trust.json (for \`--trust\`), tls/root.pem,
${LOG_FILE} (every request and its outcome, no secrets).

An \`aws\` older than 2.13 does not read AWS_ENDPOINT_URL: add --endpoint-url "$AWS_ENDPOINT_URL".

Exit codes: 130 stopped by Ctrl-C, 2 usage, 40 port or folder in use, disk.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { values } = readArguments('local-aws', argv, {
      data: { type: 'string' },
      port: { type: 'string' },
      'until-eof': { type: 'boolean' },
      json: { type: 'boolean' },
    });
    if (values.data === undefined) throw usage('local-aws', '--data DIR is missing');
    const port = values.port === undefined ? DEFAULT_PORT : readNumber('local-aws', 'port', values.port, 65_535);
    const aws = await startLocalAws({ dataDir: resolve(io.cwd, values.data), port });
    try {
      io.out(values.json === true ? `${JSON.stringify(description(aws))}\n` : exports(aws));
      io.err(`AWS in miniature at ${aws.url}; Ctrl-C stops it\n`);
      await timeToStop(io, values['until-eof'] === true);
    } finally {
      await aws.close();
    }
    return stopped(io);
  },
};

function exports(aws: LocalAws): string {
  const variables = Object.entries(aws.environment()).map(([name, value]) => `export ${name}=${quote(value)}\n`);
  return variables.join('');
}

/** For a POSIX shell. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function description(aws: LocalAws): Readonly<Record<string, unknown>> {
  const parties = Object.entries(WELL_KNOWN).map(([profile, { account, keyId }]) => ({
    profile,
    account,
    ...(keyId === undefined
      ? {}
      : {
          kmsKeyArn: keyArn(HOME_REGION, account, keyId),
          enclaveRoleArn: `arn:aws:iam::${account}:role/${ENCLAVE_ROLE}`,
        }),
  }));
  return {
    url: aws.url,
    pid: process.pid,
    environment: aws.environment(),
    trust: aws.trustFile,
    region: HOME_REGION,
    parties,
  };
}
