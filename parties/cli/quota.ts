/** `accord quota`: the calls that are left, by the anchors and by the enclave that runs now, and what it says of functions. */
import { Failure } from '../../policies/failure.ts';
import type { Difference } from '../anchors/usage.ts';
import { jsonFields, parseJson } from '../json-fields.ts';
import type { Fields } from '../json-fields.ts';
import { printableLines } from '../printable.ts';
import { Refused } from '../session/refusal.ts';
import { PARTY_HELP, PARTY_OPTIONS, readArguments } from './arguments.ts';
import { partyContext, readCopy, startSession, tellingRefusals } from './party.ts';
import type { DebugMode, PartyContext } from './party.ts';
import type { AnchorReading } from './quota-anchors.ts';
import { compare, readAnchors, renderDifferences, renderReading } from './quota-anchors.ts';
import { renderStatus } from './quota-status.ts';
import { stepProgress } from './progress.ts';
import type { Io, Verb } from './verb.ts';

export type QuotaCode =
  | 'quota/status' // the enclave's answer is none
  | 'quota/no-anchors'; // `--no-enclave`, and nothing else to ask

const HELP = `usage: accord quota [options]

Shows how many calls are left of each function. Where the policy has anchors, it reads them itself, with your own profile
and without asking the host: your own anchor, and those of others that you may read. Then it asks the enclave, after
verifying it, and says loudly where the two differ; of your own models the enclave also tells how often others called them.
Costs no call.

${PARTY_HELP}
  --no-enclave     read the anchors alone
  --copy N         ask the enclave of that number, where the host runs several (default: any)
  --allow-debug    ask an enclave in debug mode too, of which nothing proves what it is
  --json           the enclave's status as JSON, what the anchors say as its field "read"

Exit codes: 0 done, 2 called wrongly, 10 refused, or enclave and anchors differ, 40 not reached (try again); with --no-enclave, 40 where no
anchor can be read.
`;

const STATUS: QuotaCode = 'quota/status';

const OPTIONS = {
  ...PARTY_OPTIONS,
  'no-enclave': { type: 'boolean', default: false },
  copy: { type: 'string' },
  'allow-debug': { type: 'boolean', default: false },
} as const;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const { values } = readArguments('quota', argv, OPTIONS);
    const { json, 'no-enclave': alone } = values;
    const debug = values['allow-debug'] ? 'allowed' : 'refused';
    return tellingRefusals(json, io, async () => {
      const context = await partyContext({ ...values, copy: readCopy('quota', values.copy) }, io);
      const before = await reading(context, io);
      if (alone) return tellAnchors(before, json, io);
      if (before !== undefined && !json) io.out(printableLines(renderReading(before)));
      const status = await askStatus(context, debug, io);
      const fields = jsonFields(parseJson(status, STATUS, 'status'), STATUS, 'status');
      const { read, found } = await compared(context, before, fields, io);
      if (json) {
        const entries = Object.fromEntries(fields.entries());
        io.out(`${JSON.stringify(read === undefined ? entries : { ...entries, read, differences: found })}\n`);
      } else io.out(`${renderStatus(fields, context.copy)}${printableLines(renderDifferences(found))}`);
      return found.length === 0 ? 0 : 10;
    });
  },
};

async function reading(context: PartyContext, io: Io): Promise<AnchorReading | undefined> {
  const progress = stepProgress(io);
  progress.update('reading the anchors');
  try {
    return await readAnchors(context, io);
  } finally {
    progress.end();
  }
}

function tellAnchors(read: AnchorReading | undefined, json: boolean, io: Io): number {
  if (read === undefined) {
    throw new Failure<QuotaCode>('refused', 'quota/no-anchors', 'the policy has no anchors: the enclave alone counts', {
      hint: 'leave out --no-enclave',
    });
  }
  io.out(json ? `${JSON.stringify({ read })}\n` : printableLines(renderReading(read)));
  return read.anchors.some((line) => 'tickets' in line) ? 0 : 40;
}

/** A call may have been made between the two questions: where they differ, the anchors are read once more. */
async function compared(
  context: PartyContext,
  before: AnchorReading | undefined,
  status: Fields,
  io: Io,
): Promise<{ readonly read: AnchorReading | undefined; readonly found: readonly Difference[] }> {
  if (before === undefined) return { read: undefined, found: [] };
  const found = compare(before, status);
  const again = found.length === 0 ? undefined : await reading(context, io);
  return again === undefined ? { read: before, found } : { read: again, found: compare(again, status) };
}

async function askStatus(context: PartyContext, debug: DebugMode, io: Io): Promise<string> {
  const progress = stepProgress(io);
  try {
    const session = await startSession(context, io, progress, debug);
    try {
      const answer = await session.status();
      if (answer.t === 'refused') throw new Refused(answer, { price: 'nothing', copy: context.copy });
      return answer.status;
    } finally {
      await session.close();
    }
  } finally {
    progress.end();
  }
}
