/** `accord contribute`: a model, to the enclave alone. */
import { FILE_BYTES, MANIFEST_BYTES } from '../../enclave/functions/model-package.ts';
import { contributeModel, prepareModel } from '../contribute/contribute.ts';
import { createKms } from '../kms/client.ts';
import { kmsDataKeys } from '../kms/data-keys.ts';
import { Refused } from '../session/refusal.ts';
import { PARTY_HELP, PARTY_OPTIONS, demand, readArguments } from './arguments.ts';
import { readBytes, readText } from './files.ts';
import { faultInFiles } from './model-files.ts';
import { functionOf, partyContext, startSession, systemRandom, tellingRefusals } from './party.ts';
import { stepProgress } from './progress.ts';
import type { Verb } from './verb.ts';

const HELP = `usage: accord contribute FUNCTION --model FILE --manifest FILE.json [options]

Hands a model over: packs it with its manifest, encrypts both under a data key of your KMS key, stores the ciphertext
with the orchestrator, verifies the enclave, and tells it in your own session which bytes to take. The same again is
harmless; another model replaces the one before.

  --model FILE     the ONNX file; of a decision tree, ONNX or JSON
  --manifest FILE  labels, pre- and post-processing, as JSON
  --test-data      the model is test data, for an enclave in debug mode, whose host can read it; no other enclave takes it,
                   and no key whose policy pins an image gives a data key for it: use a key of its own for trials
${PARTY_HELP}
  --json           {"function", "modelSha256", "envelopeSha256", "envelopeBytes"}, or {"refused", "detail"}

Exit codes: 0 done, 2 called wrongly, 10 refused (also a model that is none), 30 malformed manifest or tree, 40 orchestrator, enclave or KMS not
reached (try again).
`;

const HERE = { by: 'here', price: 'nothing' } as const;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const options = {
      ...PARTY_OPTIONS,
      model: { type: 'string' },
      manifest: { type: 'string' },
      'test-data': { type: 'boolean', default: false },
    } as const;
    const { values, positionals } = readArguments('contribute', argv, options, ['FUNCTION']);
    const functionName = positionals[0] ?? '';
    const modelFile = demand('contribute', '--model', values.model);
    const manifestFile = demand('contribute', '--manifest', values.manifest);
    const { 'test-data': testData } = values;
    return tellingRefusals(values.json, io, async () => {
      const context = await partyContext(values, io);
      const policy = functionOf(context, functionName, 'nothing');
      const { home, coordinator, aws } = context;
      if (policy.uses === 'counter') {
        throw new Refused({ refused: 'not-permitted', detail: `${functionName} computes without a model` }, HERE);
      }
      if (policy.model.from !== home.config.party) {
        throw new Refused({ refused: 'not-permitted', detail: `the model is ${policy.model.from}'s to give` }, HERE);
      }
      const [manifest, onnx] = await Promise.all([
        readText(io, manifestFile, MANIFEST_BYTES),
        readBytes(io, modelFile, FILE_BYTES),
      ]);
      const prepared = inFiles(manifestFile, modelFile, () => prepareModel(manifest, onnx, policy));
      const kms = createKms(aws);
      const progress = stepProgress(io);
      try {
        const contribution = await contributeModel({
          home,
          functionName,
          ...prepared,
          coordinator,
          dataKeys: kmsDataKeys(kms),
          testData,
          openSession: () => startSession(context, io, progress, testData ? 'demanded' : 'refused'),
          random: systemRandom,
          signal: io.signal,
          onProgress: progress.update,
        });
        progress.end();
        io.out(values.json ? `${JSON.stringify(contribution)}\n` : `${contribution.modelSha256}\n`);
        if (!values.json) io.err(told(functionName));
        return 0;
      } finally {
        progress.end();
        kms.destroy();
      }
    });
  },
};

function inFiles<T>(manifest: string, model: string, prepare: () => T): T {
  try {
    return prepare();
  } catch (cause) {
    throw faultInFiles(cause, { manifest, model });
  }
}

function told(functionName: string): string {
  return (
    `the enclave took the model for ${functionName}; above is its SHA-256 (what the orchestrator holds is encrypted, and has another)\n` +
    `Next: whoever may call it runs \`accord call ${functionName} --input FILE\`; \`accord quota\` says how often it was called\n`
  );
}
