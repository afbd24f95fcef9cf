/** `accord quota`: what the enclave that runs now says of the functions, and of the calls that are left. */
import { jsonFields, parseJson } from '../json-fields.ts';
import type { Fields } from '../json-fields.ts';
import { printable } from '../printable.ts';
import { Refused } from '../session/refusal.ts';
import { PARTY_HELP, PARTY_OPTIONS, readArguments } from './arguments.ts';
import { partyContext, startSession, tellingRefusals } from './party.ts';
import type { DebugMode, PartyContext } from './party.ts';
import { wrap } from './render-policy.ts';
import { stepProgress } from './progress.ts';
import type { Io, Verb } from './verb.ts';

export type QuotaCode = 'quota/status';

const HELP = `usage: accord quota [options]

Asks the enclave, after verifying it, how many calls you have left of each function, and whether its model is there;
of your own models also how often others called them. Costs no call.

${PARTY_HELP}
  --allow-debug    ask an enclave in debug mode too, of which nothing proves what it is
  --json           the enclave's status as JSON

Exit codes: 0 done, 10 refused, 40 not reached (try again).
`;

const STATUS: QuotaCode = 'quota/status';

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const options = { ...PARTY_OPTIONS, 'allow-debug': { type: 'boolean', default: false } } as const;
    const { values } = readArguments('quota', argv, options);
    const debug = values['allow-debug'] ? 'allowed' : 'refused';
    return tellingRefusals(values.json, io, async () => {
      const status = await askStatus(await partyContext(values, io), debug, io);
      const fields = jsonFields(parseJson(status, STATUS, 'status'), STATUS, 'status');
      io.out(values.json ? `${status}\n` : render(fields));
      return 0;
    });
  },
};

async function askStatus(context: PartyContext, debug: DebugMode, io: Io): Promise<string> {
  const progress = stepProgress(io);
  try {
    const session = await startSession(context, io, progress, debug);
    try {
      const answer = await session.status();
      if (answer.t === 'refused') throw new Refused(answer);
      return answer.status;
    } finally {
      await session.close();
    }
  } finally {
    progress.end();
  }
}

/** One function a line, then what the numbers mean. */
function render(status: Fields): string {
  const functions = status.fields('functions');
  const names = functions.entries().map(([name]) => name);
  const width = Math.max(...names.map((name) => name.length));
  const rows = names.map((name) => `  ${name.padEnd(width)}  ${renderFunction(functions.fields(name))}\n`);
  const head = `${status.text('collaboration')}, as ${status.text('party')}, until ${status.text('until')}\n`;
  const meaning = wrap(printable(status.fields('anchors').text('meaning')), '    ', '  ! ');
  return `${printable(head.trimEnd())}\n${rows.join('')}${meaning}`;
}

function renderFunction(found: Fields): string {
  const calls = found.optionalFields('calls');
  const left = calls === undefined ? 'no calls for you' : renderCalls(calls);
  return `${left.padEnd(22)}  ${renderModel(found.optionalFields('model'))}${renderCallers(found.optionalFields('callers'))}`;
}

/** The enclave says null where it does not know: before its state is open, or where anchors cannot be reached. */
function renderCalls(calls: Fields): string {
  if (calls.has('left')) return `${calls.count('left')} of ${calls.count('quota')} calls left`;
  return `some of ${calls.count('quota')} calls left, not known now`;
}

function renderModel(model: Fields | undefined): string {
  if (model === undefined) return 'needs no model';
  const sha256 = model.optionalText('sha256');
  const from = printable(model.text('from'));
  return sha256 === undefined ? `waits for ${from}'s model` : `model of ${from} ${printable(sha256)}`;
}

/** What others did with this party's model. */
function renderCallers(callers: Fields | undefined): string {
  const names = callers?.entries().map(([name]) => name) ?? [];
  return names
    .map((name) => [name, callers?.fields(name)] as const)
    .map(
      ([name, calls]) =>
        `\n      ${printable(name)} made ${calls?.has('used') === true ? calls.count('used') : 'an unknown number'} of ${calls?.count('quota')} calls`,
    )
    .join('');
}
