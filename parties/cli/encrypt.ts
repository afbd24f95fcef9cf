/** `accord encrypt`: a file under the party's own KMS key, for one purpose in one collaboration. */
import { stat } from 'node:fs/promises';
import { inputContext, modelContext } from '../../enclave/protocol/context.ts';
import { Failure } from '../../policies/failure.ts';
import type { FileCode } from '../files.ts';
import { createKms } from '../kms/client.ts';
import { kmsDataKeys } from '../kms/data-keys.ts';
import { encryptFile } from '../kms/envelope.ts';
import { PARTY_HELP, PARTY_OPTIONS, demand, readArguments, usage } from './arguments.ts';
import { contentOf, pathOf, sizeOf } from './files.ts';
import { demandNew, writeNew } from './new-file.ts';
import { functionOf, partyContext, systemRandom } from './party.ts';
import { stepProgress } from './progress.ts';
import type { Verb } from './verb.ts';

const HELP = `usage: accord encrypt FILE -o FILE.enc --purpose input|model --function NAME [options]

Encrypts a file of any size under a data key of your own KMS key. KMS binds the key to the policy, to you, to the purpose
and to the function: nobody but an enclave that your key's policy names can open it, and only for this.

  -o FILE          where to (also --output); an existing file is kept unless --force, FILE itself always
  --purpose WHAT   input: something a function is called with; model: a packed model (\`accord contribute\` packs,
                   encrypts and hands over in one step)
  --function NAME  the function of the policy it is for
  --force          replace an existing file
${PARTY_HELP}
  --json           the outcome as JSON

Exit codes: 0 done, 2 called wrongly, 10 KMS said no, 40 disk or KMS not reached.
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
    const source = pathOf(io, positionals[0] ?? '');
    const target = pathOf(io, demand('encrypt', '-o FILE', values.output));
    const purpose = demand('encrypt', '--purpose', values.purpose);
    if (purpose !== 'input' && purpose !== 'model') {
      throw usage('encrypt', `--purpose takes input or model, not "${purpose}"`);
    }
    const name = demand('encrypt', '--function', values.function);
    const context = await partyContext(values, io);
    functionOf(context, name, 'nothing');
    const { home, aws } = context;
    const { keyArn, party } = home.config;
    const bound = { policyDigest: home.pins.policyDigest, party, function: name };
    const kms = createKms(aws);
    const progress = stepProgress(io);
    try {
      const plaintextBytes = await sizeOf(io, source);
      await demandOther(source, target);
      await demandNew(target, values.force);
      progress.update('asking KMS for a data key');
      const encrypted = await encryptFile({
        dataKeys: kmsDataKeys(kms),
        keyArn,
        context: purpose === 'model' ? modelContext(bound) : inputContext(bound),
        plaintext: contentOf(io, source),
        ...(plaintextBytes === undefined ? {} : { plaintextBytes }),
        random: systemRandom,
        signal: io.signal,
      });
      const written = await writeNew(target, encrypted.content, values.force, (done) =>
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

/** Only an enclave opens an envelope: whoever lost the plaintext to it would have neither. */
async function demandOther(source: string, target: string): Promise<void> {
  const [from, to] = await Promise.all(
    [source, target].map((path) => stat(path, { bigint: true }).catch(() => undefined)),
  );
  if (from === undefined || to === undefined || from.dev !== to.dev || from.ino !== to.ino) return;
  throw new Failure<FileCode>('usage', 'file/itself', `${target} is the file that is to be encrypted`, {
    where: target,
    hint: 'name another file with -o: once it was replaced, nobody but the enclave could read it',
  });
}
