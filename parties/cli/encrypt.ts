/** `accord encrypt`: a file under the party's own KMS key, for one purpose in one collaboration. */
import { createReadStream } from 'node:fs';
import { link, open, rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { inputContext, modelContext } from '../../enclave/protocol/context.ts';
import { errorCode } from '../../build/disk.ts';
import { Failure } from '../../policies/failure.ts';
import { fileFailure } from '../files.ts';
import type { FileCode } from '../files.ts';
import { createKms } from '../kms/client.ts';
import { kmsDataKeys } from '../kms/data-keys.ts';
import { encryptFile } from '../kms/envelope.ts';
import { PARTY_HELP, PARTY_OPTIONS, demand, readArguments, usage } from './arguments.ts';
import { sizeOf } from './files.ts';
import { functionOf, partyContext, systemRandom } from './party.ts';
import { stepProgress } from './progress.ts';
import type { Verb } from './verb.ts';

const HELP = `usage: accord encrypt FILE -o FILE.enc --purpose input|model --function NAME [options]

Encrypts a file of any size under a data key of your own KMS key. KMS binds the key to the policy, to you, to the purpose
and to the function: nobody but an enclave that your key's policy names can open it, and only for this.

  -o FILE          where to (also --output); an existing file is kept unless --force
  --purpose WHAT   input: something a function is called with; model: a packed model (\`accord contribute\` packs,
                   encrypts and hands over in one step)
  --function NAME  the function of the policy it is for
  --force          replace an existing file
${PARTY_HELP}
  --json           the outcome as JSON

Exit codes: 0 done, 10 KMS said no, 40 disk or KMS not reached.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { values, positionals } = readArguments(
      'encrypt',
      argv,
      {
        ...PARTY_OPTIONS,
        output: { type: 'string', short: 'o' },
        purpose: { type: 'string' },
        function: { type: 'string' },
        force: { type: 'boolean', default: false },
      },
      ['FILE'],
    );
    const source = resolve(io.cwd, positionals[0] ?? '');
    const target = resolve(io.cwd, demand('encrypt', '-o FILE', values.output));
    const purpose = demand('encrypt', '--purpose', values.purpose);
    if (purpose !== 'input' && purpose !== 'model') {
      throw usage('encrypt', `--purpose takes input or model, not "${purpose}"`);
    }
    const name = demand('encrypt', '--function', values.function);
    const context = await partyContext(values, io);
    functionOf(context, name);
    const { home, aws } = context;
    const { keyArn, party } = home.config;
    const bound = { policyDigest: home.pins.policyDigest, party, function: name };
    const kms = createKms(aws);
    const progress = stepProgress(io);
    try {
      const plaintextBytes = await sizeOf(io, source);
      progress.update('asking KMS for a data key');
      const encrypted = await encryptFile({
        dataKeys: kmsDataKeys(kms),
        keyArn,
        context: purpose === 'model' ? modelContext(bound) : inputContext(bound),
        plaintext: contentOf(source, io.signal),
        plaintextBytes,
        random: systemRandom,
        signal: io.signal,
      });
      const written = await writeWhole(target, encrypted.content, values.force, (done) =>
        progress.update('encrypting', done, encrypted.bytes ?? done),
      );
      progress.end();
      const { context: encryptionContext } = encrypted.header;
      const outcome = { file: target, bytes: written, keyArn, encryptionContext };
      io.out(values.json ? `${JSON.stringify(outcome)}\n` : `${target}\n`);
      return 0;
    } finally {
      progress.end();
      kms.destroy();
    }
  },
};

async function* contentOf(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const stream: AsyncIterable<Uint8Array> = createReadStream(path, { signal, highWaterMark: 262_144 });
  try {
    yield* stream;
  } catch (cause) {
    signal.throwIfAborted();
    throw fileFailure(cause, path, 'read');
  }
}

function targetFailure(cause: unknown, path: string): unknown {
  if (errorCode(cause) !== 'EEXIST') return fileFailure(cause, path, 'written');
  return new Failure<FileCode>('usage', 'file/exists', `${path} exists already`, {
    hint: 'name another file with -o, or replace this one with --force',
    cause,
  });
}

/** The whole file or none: what is there under its name was written to the end. */
async function writeWhole(
  path: string,
  content: AsyncIterable<Uint8Array>,
  force: boolean,
  onProgress: (done: number) => void,
): Promise<number> {
  const temporary = `${path}.${process.pid}.new`;
  let written = 0;
  try {
    const file = await open(temporary, 'wx', 0o644).catch((cause: unknown) => {
      throw fileFailure(cause, temporary, 'written');
    });
    try {
      for await (const piece of content) {
        await file.writeFile(piece).catch((cause: unknown) => {
          throw fileFailure(cause, path, 'written');
        });
        onProgress((written += piece.length));
      }
      await file.sync();
    } finally {
      await file.close();
    }
    // A hard link fails where the name is taken: no check that somebody could slip in after.
    await (force ? rename(temporary, path) : link(temporary, path)).catch((cause: unknown) => {
      throw targetFailure(cause, path);
    });
    return written;
  } finally {
    await rm(temporary, { force: true });
  }
}
