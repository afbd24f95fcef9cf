import { Failure } from './failure.ts';

/** What can be wrong with a policy, a trust file or a key ARN. Closed: a new code is a new line here. */
export type PolicyCode =
  // the text
  | 'policy/too-large' // more bytes than any policy needs
  | 'policy/hidden-character' // a control, a bidi or another character that is not seen, in comments too
  | 'policy/syntax' // not YAML (or, for the canonical form, not JSON)
  | 'policy/empty' // nothing is written in it
  | 'policy/too-deep' // nested deeper than any policy is
  | 'policy/multiple-documents' // `---` starts a second document
  | 'policy/directive' // `%YAML`, `%TAG`
  | 'policy/alias' // `&anchor`, `*alias`: what is agreed must be readable where it stands
  | 'policy/tag' // `!!js/function` and every other explicit tag
  | 'policy/duplicate-key' // the same key twice in one mapping
  | 'policy/defined-twice' // composed files disagree about who says this
  // the structure
  | 'policy/unknown-key'
  | 'policy/missing-key'
  | 'policy/wrong-type'
  | 'policy/bad-value'
  | 'policy/bad-name'
  | 'policy/bad-size'
  | 'policy/bad-date'
  | 'policy/bad-url'
  | 'policy/bad-bucket' // no name or address that S3 has
  | 'policy/bad-path' // no plain absolute path of a folder
  | 'policy/out-of-range'
  // the meaning
  | 'policy/bad-arn'
  | 'policy/arn-alias'
  | 'policy/arn-multi-region'
  | 'policy/duplicate-arn'
  | 'policy/unknown-party'
  | 'policy/bad-order' // not every party once
  | 'policy/duplicate-anchor' // two anchors are one store
  | 'policy/half-durable' // anchors without state, state without anchors, a succession without either
  | 'policy/folder-anchor' // a folder is no store that its owner alone holds, outside of a trial
  | 'policy/unbounded-answers' // answerBits on answers that have no bound
  | 'policy/too-many-bits' // the answers could carry more than answerBits
  | 'policy/pad-too-small'
  | 'policy/canonical-too-large'
  | 'policy/not-canonical'
  // understood, and not done by this version
  | 'policy/unsupported';

/** Where something stands in a file, both counted from 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Fault extends Position {
  readonly code: PolicyCode;
  /** `functions.classify.calls.alice`; empty for the document itself. */
  readonly path: string;
  readonly message: string;
  /** What the author should write instead. */
  readonly hint?: string;
}

/** So many are told: nobody reads on, and a text of nothing but faults would cost many times its own size. */
export const MOST_FAULTS = 100;

/** Every fault of a document at once, in the order in which they stand in it; of very many the first. */
export class PolicyFailure extends Failure<PolicyCode> {
  readonly faults: readonly Fault[];

  /** `file`: what it should have been. */
  constructor(faults: readonly [Fault, ...Fault[]], file: Document = 'policy') {
    const [first] = faults;
    const onlyUnsupported = faults.every(({ code }) => code === 'policy/unsupported');
    super(onlyUnsupported ? 'unsupported' : 'malformed', first.code, told(faults, file), {
      where: place(first),
      hint: onlyUnsupported
        ? 'this version enforces none of this, so it does not accept it either: remove it, or use a later version'
        : HINTS[file],
    });
    this.name = 'PolicyFailure';
    this.faults = faults.slice(0, MOST_FAULTS);
  }
}

const HINTS = {
  policy: 'correct the policy and check it again with `accord check`',
  'trust file': 'name a trust file with --trust: `accord local-aws` writes one',
} as const;

/** What is read as YAML. */
export type Document = keyof typeof HINTS;

function told(faults: readonly Fault[], file: Document): string {
  if (faults.length <= MOST_FAULTS) return formatFaults(faults, file);
  const lines = faults.slice(0, MOST_FAULTS).map(formatFault);
  return [`${faults.length} faults in the ${file}, of which the first ${MOST_FAULTS} are`, ...lines].join('\n');
}

export function formatFaults(faults: readonly Fault[], file: Document = 'policy'): string {
  const lines = faults.map(formatFault);
  return lines.length === 1 ? lines.join('') : [`${lines.length} faults in the ${file}`, ...lines].join('\n');
}

function formatFault(fault: Fault): string {
  const subject = fault.path === '' ? '' : `${fault.path}: `;
  const hint = fault.hint === undefined ? '' : `\n    ${fault.hint}`;
  return `${place(fault)}  ${subject}${fault.message}${hint}`;
}

function place({ file, line, column }: Position): string {
  return line === 0 ? file : `${file}:${line}:${column}`;
}
