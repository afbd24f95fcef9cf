/** `accord call`: an input goes in, an answer comes out, and nobody on the way sees either. */
import { sha256 } from '../../enclave/crypto/digest.ts';
import { fromHex, toHex } from '../../enclave/encoding/hex.ts';
import type { FunctionPolicy, ModelFunctionPolicy } from '../../policies/model.ts';
import type { AttestationDocument } from '../attestation/document.ts';
import { chooseCall, outcomeOfRefusal, priceOf, settleCall } from '../calls.ts';
import type { CallRecord, Price } from '../calls.ts';
import { parseJson } from '../json-fields.ts';
import { printableJson } from '../printable.ts';
import { Refused } from '../session/refusal.ts';
import type { CallTerms } from '../session/session.ts';
import { PARTY_HELP, PARTY_OPTIONS, demand, readArguments, usage } from './arguments.ts';
import { readHead } from './files.ts';
import { inputFault } from './input-fault.ts';
import { functionOf, partyContext, readCopy, startSession, systemRandom, tellingRefusals } from './party.ts';
import type { DebugMode, PartyContext } from './party.ts';
import { stepProgress } from './progress.ts';
import type { Io, Verb } from './verb.ts';

export type CallCode = 'call/output';

const HELP = `usage: accord call FUNCTION --input FILE [--retry ID | --new] [options]

Calls a function of the collaboration. The enclave is verified first; what you send is sealed to it alone. Prints the
answer, as JSON, and nothing else on stdout.

A call spends one of your calls. It is written down before the first byte is sent, so that a call without an answer is
not lost: the same command again asks for the same answer. It is free where the call was counted. With anchors a call that
was counted stays counted; without them an enclave that was started anew remembers no call.

  --input FILE     what to send: a picture (JPEG, PNG or WebP), or of a decision tree a record (JSON); - is stdin; nothing
                   for a counter
  --retry ID       repeat this call, with the same --input (8 digits of its id are enough)
  --new            make a new call, even where the same one is still without an answer
  --copy N         speak to the enclave of that number, where the host runs several (default: any)
  --test-data      the input is test data: send it to an enclave in debug mode, whose host can read it, and to no other
${PARTY_HELP}
  --json           the answer in one line; a refusal as {"refused": CODE, "detail": TEXT}

Exit codes: 0 answered, 2 called wrongly, 10 refused, 40 no answer yet: run it again.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const options = {
      ...PARTY_OPTIONS,
      input: { type: 'string' },
      retry: { type: 'string' },
      new: { type: 'boolean', default: false },
      copy: { type: 'string' },
      'test-data': { type: 'boolean', default: false },
    } as const;
    const { values, positionals } = readArguments('call', argv, options, ['FUNCTION']);
    const functionName = positionals[0] ?? '';
    if (values.new && values.retry !== undefined) throw usage('call', '--new and --retry exclude each other');
    return tellingRefusals(values.json, io, async () => {
      const context = await partyContext({ ...values, copy: readCopy('call', values.copy) }, io);
      const policy = functionOf(context, functionName, 'call');
      demandPermitted(context, policy);
      const input = policy.uses === 'counter' ? new Uint8Array(0) : await readInput(inputOf(values), policy, io);
      const subject = { function: functionName, inputSha256: toHex(await sha256(input)), inputBytes: input.length };
      const choice = { retry: values.retry, fresh: values.new };
      const { record, repeated } = await chooseCall(context.home, subject, choice, systemRandom, new Date());
      const id = record.requestId.slice(0, 12);
      const debug = values['test-data'] ? 'demanded' : 'refused';
      const anchored = context.home.policy.anchors !== 'none';
      const output = await ask({ context, record, input, terms: policy, debug, io }, ({ moduleId }) => {
        const clear = io.interactive ? '\r\u001B[K' : '';
        const price = PRICES[priceOf(record, anchored, moduleId)];
        if (repeated) io.err(`${clear}asking again for call ${id} of ${record.madeAt}: ${price}\n`);
      });
      io.out(values.json ? `${output}\n` : `${printableJson(JSON.stringify(JSON.parse(output), undefined, 2))}\n`);
      io.err(`call ${id}; the same answer again, free${anchored ? '' : ' while this enclave runs'}: --retry ${id}\n`);
      return 0;
    });
  },
};

function inputOf({ input, retry }: { readonly input?: string; readonly retry?: string }): string {
  if (retry === undefined || input !== undefined) return demand('call', '--input', input);
  throw usage('call', '--retry takes the same --input with it: the home keeps the digest of an input, not the input');
}

const PRICES = {
  'surely-free': 'free',
  'free-if-counted': 'free, if it was counted',
  anew: 'another enclave answered it, so to this one it is a new call',
} as const satisfies Record<Price, string>;

interface Asked {
  readonly context: PartyContext;
  readonly record: CallRecord;
  readonly input: Uint8Array;
  readonly terms: CallTerms;
  readonly debug: DebugMode;
  readonly io: Io;
}

/** The output's JSON. Whatever happens, the record says whether asking again makes sense. */
async function ask(
  { context, record, input, terms, debug, io }: Asked,
  beforeCall: (enclave: AttestationDocument) => void,
): Promise<string> {
  const { home } = context;
  const progress = stepProgress(io);
  try {
    const session = await startSession(context, io, progress, debug, 'call');
    try {
      beforeCall(session.attestation.document);
      progress.update('the enclave computes');
      const answer = await session.call(record.function, fromHex(record.requestId), input, terms);
      if (answer.t === 'refused') {
        await settleCall(home, record, outcomeOfRefusal(answer.refused));
        throw new Refused(answer, { copy: context.copy });
      }
      const { output } = answer;
      parseJson(output, OUTPUT, 'the answer');
      const { document } = session.attestation;
      await settleCall(home, record, 'answered', {
        answeredAt: new Date().toISOString(),
        moduleId: document.moduleId,
        pcr0: toHex(document.pcrs.get(0) ?? new Uint8Array()), // zeros in debug mode, else the pinned one
        outputSha256: toHex(await sha256(new TextEncoder().encode(output))),
      });
      return output;
    } finally {
      await session.close();
    }
  } finally {
    progress.end();
  }
}

const OUTPUT: CallCode = 'call/output';

/** What the pinned policy says no to is not worth a session: the enclave would say the same. */
function demandPermitted({ home }: PartyContext, policy: FunctionPolicy): void {
  const { party } = home.config;
  const quota = Object.hasOwn(policy.calls, party) ? policy.calls[party] : undefined;
  if (quota === undefined) {
    throw new Refused({ refused: 'not-permitted', detail: `the policy gives ${party} no calls of it` }, { by: 'here' });
  }
}

/** At most `maxBytes`, and of the form that the function takes: everything else would be refused, and cost a call. */
async function readInput(file: string, { uses, input: terms }: ModelFunctionPolicy, io: Io): Promise<Uint8Array> {
  const { maxBytes } = terms;
  const input = await readHead(io, file, maxBytes);
  if (input.length <= maxBytes) {
    const what = inputFault(uses, input);
    if (what === undefined) return input;
    throw new Refused({ refused: 'input-invalid', detail: `${file} ${what}` }, { by: 'here' });
  }
  const detail = `${file} has more than ${maxBytes} bytes`;
  throw new Refused({ refused: 'input-too-large', detail }, { by: 'here' });
}
