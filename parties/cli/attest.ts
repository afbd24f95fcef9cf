import { fromHex } from '../../enclave/encoding/hex.ts';
import { parsePolicyDigest } from '../../policies/digest.ts';
import { EXIT_CODES, Failure } from '../../policies/failure.ts';
import type { PolicyDigest } from '../../policies/model.ts';
import { parseDuration } from '../../policies/units.ts';
import { openExpectations } from '../attestation/compare.ts';
import { awsRoot, notChecked, parseAttestation, verifyAttestation } from '../attestation/verify.ts';
import type { AttestationDocument, Expectation, NotChecked, PcrExpectations } from '../attestation/verify.ts';
import { readArguments, readTime, usage } from './arguments.ts';
import { readDocument, readRoot } from './attest-input.ts';
import { fetchLive } from './attest-live.ts';
import { renderReport, reportFailed, reportValid } from './attest-report.ts';
import type { AttestReport } from './attest-report.ts';
import type { Io, Verb } from './verb.ts';

const HELP = `usage: accord attest --document FILE [--at TIME] [--pcr N=HEX…] [--nonce HEX] [--root aws|FILE]
                     [--policy-digest HEX] [--max-age DURATION] [--allow-debug] [--json]
       accord attest [--home DIR | --party NAME] [--allow-debug] [--save FILE [--force]] [--json]
       accord attest --orchestrator URL --collaboration ID [--pcr N=HEX…] [--policy-digest HEX] [--root aws|FILE] …

Verifies an attestation document: its form, its certificate chain to the root, its signature, its dates, and what it says
against what you expect. What you do not ask for is not checked, and the report lists it. Without --document the enclave
that runs now is asked for a fresh one, by a nonce that was never used before, and judged by the pins of the home or, with
--orchestrator, by what you say here.

  --document FILE      the document, raw or base64; - is stdin
  --at TIME            judge as of this time: ISO 8601 (2025-12-25T13:15:37Z), or "document" for the time at which the
                       document says it was made; default: now, by which a recorded document has usually expired
  --pcr N=HEX          PCR N must have this value; may be given several times
  --nonce HEX          the document must have been made for this nonce
  --policy-digest HEX  the enclave must carry the policy of this digest (SHA-384, as accord check prints it)
  --max-age DURATION   refuse a document that is older, for example 30s, 5m, 2h
  --root aws|FILE      the root to trust; default: aws, pinned. A file (PEM or DER) names a local root, and the report
                       says so
  --allow-debug        accept an enclave in debug mode, whose PCRs are zeros and whose console its host reads
  --home DIR           the home whose pins to judge by (default: ACCORD_HOME, else ./.accord/<party>)
  --party NAME         whose home, where ./.accord holds several
  --orchestrator URL   ask this one instead, about
  --collaboration ID   this collaboration, without a home
  --save FILE          keep the fresh document, for --document; an existing file is kept unless --force
  --force              replace an existing file
  --json               {valid, code, moduleId, timestamp, pcrs, debug, notChecked, root, weakenings, …}

Exit codes: 0 valid, 10 a check said no, 30 not an attestation document, 40 enclave not reached.
`;

export const verb: Verb = {
  help: HELP,
  async run(argv, io) {
    const options = readArguments('attest', argv, OPTIONS).values;
    if (options.force && options.save === undefined) throw usage('attest', '--force goes with --save');
    if (options.document === undefined) return live(options, io);
    if (isLive(options)) throw usage('attest', '--document is judged by itself: no home or orchestrator is asked');
    return offline({ ...options, document: options.document }, io);
  },
};

/** Judges a recorded document, without asking anybody. */
async function offline(options: Options & { readonly document: string }, io: Io): Promise<number> {
  const root = await readRoot(io, options.root ?? 'aws');
  const expectation = { ...expectationOf(options), roots: [root] };
  const whenever = timeOf(options.at);
  const context = (at: Date) => ({ at, root, open: openExpectations({ ...expectation, at }) });
  let document: AttestationDocument;
  try {
    document = await documentOf(io, options.document);
  } catch (error) {
    // People get the failure as every other; with --json the verdict keeps its one shape.
    if (!options.json || !isVerdict(error)) throw error;
    const at = whenever === 'document' ? new Date() : whenever;
    return tell(reportFailed(error, context(at)), EXIT_CODES[error.kind], options, io);
  }
  const at = whenever === 'document' ? new Date(document.timestamp) : whenever;
  try {
    const verified = await verifyAttestation(document, { ...expectation, at });
    return tell(reportValid(verified, at), 0, options, io);
  } catch (error) {
    if (!isVerdict(error)) throw error;
    return tell(reportFailed(error, context(at), document), EXIT_CODES[error.kind], options, io);
  }
}

/** What is no document is told with the file's name, as whoever named the wrong file reads it. */
async function documentOf(io: Io, file: string): Promise<AttestationDocument> {
  try {
    return parseAttestation(await readDocument(io, file));
  } catch (cause) {
    if (!(cause instanceof Failure) || cause.kind !== 'malformed') throw cause;
    const { kind, code, message, where, hint = NOT_A_DOCUMENT } = cause;
    const place = where === undefined || where === file ? file : `${file}, ${where}`;
    throw new Failure(kind, code, message, { where: place, hint, cause });
  }
}

const NOT_A_DOCUMENT =
  'is this the right file? An attestation document is binary (an untagged COSE_Sign1), raw or in base64, as `accord attest --save FILE` writes it';

/** Asks the enclave that runs now. */
async function live(options: Options, io: Io): Promise<number> {
  if (options.at !== undefined || options.nonce !== undefined) {
    throw usage('attest', '--at and --nonce are for recorded documents: name one with --document');
  }
  const { orchestrator, collaboration } = options;
  if ((orchestrator === undefined) !== (collaboration === undefined)) {
    throw usage('attest', '--orchestrator and --collaboration go together');
  }
  const named = orchestrator !== undefined && collaboration !== undefined;
  const statable = [options.pcr, options['policy-digest'], options.root, options['max-age']];
  if (!named && statable.some((option) => option !== undefined)) {
    throw usage(
      'attest',
      'a home has pins of its own: --pcr, --policy-digest, --max-age and --root go with --orchestrator',
    );
  }
  const stated = { ...expectationOf(options), roots: [await readRoot(io, options.root ?? 'aws')] };
  const source = named ? { orchestrator, collaboration, expectation: stated } : { choice: options };
  const kept = { allowDebug: options['allow-debug'], save: options.save, force: options.force };
  const found = await fetchLive(source, kept, io);
  const { expectation } = found;
  const root = expectation.roots[0] ?? awsRoot;
  if (found.document === undefined) {
    if (!options.json) throw found.failure;
    return tell(reportFailed(found.failure, { at: expectation.at, root, open: openExpectations(expectation) }), EXIT_CODES[found.failure.kind], options, io); // prettier-ignore
  }
  const { document } = found;
  try {
    return tell(reportValid(await verifyAttestation(document, expectation), expectation.at), 0, options, io);
  } catch (error) {
    if (!isVerdict(error)) throw error;
    const context = { at: expectation.at, root, open: openExpectations(expectation) };
    return tell(reportFailed(error, context, document), EXIT_CODES[error.kind], options, io);
  }
}

function isLive({ home, party, orchestrator, collaboration, save }: Options): boolean {
  return [home, party, orchestrator, collaboration, save].some((option) => option !== undefined);
}

function tell(report: AttestReport, exitCode: number, { json }: Options, io: Io): number {
  io.out(json ? `${JSON.stringify(report)}\n` : renderReport(report));
  return exitCode;
}

/** A judgement of the document, as opposed to a slip in the command or a file that cannot be read. */
function isVerdict(error: unknown): error is Failure {
  return error instanceof Failure && (error.kind === 'refused' || error.kind === 'malformed');
}

const OPTIONS = {
  document: { type: 'string' },
  at: { type: 'string' },
  pcr: { type: 'string', multiple: true },
  nonce: { type: 'string' },
  'policy-digest': { type: 'string' },
  'max-age': { type: 'string' },
  root: { type: 'string' },
  'allow-debug': { type: 'boolean', default: false },
  home: { type: 'string' },
  party: { type: 'string' },
  orchestrator: { type: 'string' },
  collaboration: { type: 'string' },
  save: { type: 'string' },
  force: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

type Options = ReturnType<typeof readArguments<typeof OPTIONS>>['values'];

function expectationOf(options: Options): Omit<Expectation, 'at' | 'roots'> {
  return {
    pcrs: pcrsOf(options.pcr ?? []),
    nonce: options.nonce === undefined ? notChecked('no --nonce') : bytesOf('nonce', options.nonce),
    policyDigest:
      options['policy-digest'] === undefined ? notChecked('no --policy-digest') : digestOf(options['policy-digest']),
    maxAgeMs: options['max-age'] === undefined ? notChecked('no --max-age') : durationOf(options['max-age']),
    allowDebug: options['allow-debug'],
  };
}

function pcrsOf(given: readonly string[]): PcrExpectations {
  const open = notChecked('no --pcr');
  const expected: Record<number, string | NotChecked> & PcrExpectations = { 0: open, 1: open, 2: open };
  const seen = new Set<number>();
  for (const text of given) {
    const [, index = '', hex = ''] = /^(?:PCR)?(\d{1,2})=([0-9a-f]+)$/i.exec(text) ?? [];
    if (index === '' || hex.length !== 96) {
      throw usage('attest', `--pcr takes N=HEX with 96 hexadecimal digits, for example 0=2d15…, not "${text}"`);
    }
    if (seen.has(Number(index))) throw usage('attest', `--pcr ${index} is given twice`);
    seen.add(Number(index));
    expected[Number(index)] = hex;
  }
  return expected;
}

function bytesOf(option: string, text: string): Uint8Array {
  try {
    return fromHex(text);
  } catch {
    throw usage('attest', `--${option} takes hexadecimal, not "${text}"`);
  }
}

function digestOf(text: string): PolicyDigest {
  if (!/^[0-9a-f]{96}$/i.test(text)) throw usage('attest', '--policy-digest takes 96 hexadecimal digits');
  return parsePolicyDigest(text.toLowerCase());
}

function durationOf(text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined) return milliseconds;
  throw usage('attest', `--max-age takes a duration like 30s, 5m or 2h, not "${text}"`);
}

function timeOf(text: string | undefined): Date | 'document' {
  if (text === undefined || text === 'now') return new Date();
  return text === 'document' ? text : readTime('attest', text);
}
