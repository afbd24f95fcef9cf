/** What `accord attest` says about a document: the same facts as JSON and as text. */
import { toHex } from '../../enclave/encoding/hex.ts';
import { decodeUserData } from '../../enclave/protocol/user-data.ts';
import { Failure } from '../../policies/failure.ts';
import { isDebug } from '../attestation/compare.ts';
import type { AttestationDocument, OpenExpectation, Root, VerifiedAttestation } from '../attestation/verify.ts';
import { printableLines } from '../printable.ts';
import { wrap } from './render-policy.ts';

export interface AttestReport {
  readonly valid: boolean;
  /** `attestation/valid`, or why not. */
  readonly code: string;
  /** Where it is not valid: what is wrong, where, and what to do. */
  readonly message?: string;
  readonly where?: string;
  readonly hint?: string;
  /** The time that the document was judged at. */
  readonly at: string;
  /** The root that the chain starts from, or, where that could not be said, the one that was trusted. */
  readonly root: Root;
  /** What makes the verdict weaker than one about Nitro hardware in production. */
  readonly weakenings: readonly { readonly code: string; readonly text: string }[];
  /** `PCR0`, `nonce`, …: what nobody looked at. */
  readonly notChecked: readonly string[];
  /** What the document says; claims only, unless `valid`. Absent where it could not be read. Bytes are hex. */
  readonly moduleId?: string;
  readonly timestamp?: string;
  readonly pcrs?: Readonly<Record<string, string>>;
  readonly debug?: boolean;
  readonly publicKey?: string;
  readonly userData?: string;
  readonly nonce?: string;
  /** From `userData`, where an Accord enclave wrote it. */
  readonly policyDigest?: string;
}

const LOCAL_ROOT = {
  code: 'local-root',
  text: 'the document is signed under a local root, not by AWS: it says nothing about Nitro hardware',
} as const;
const DEBUG = {
  code: 'debug',
  text: 'the enclave runs in debug mode: its host reads its console, and its PCRs are zeros',
} as const;

export function reportValid({ document, root, debug, notChecked }: VerifiedAttestation, at: Date): AttestReport {
  return {
    valid: true,
    code: 'attestation/valid',
    at: at.toISOString(),
    root,
    weakenings: [...(root.kind === 'local' ? [LOCAL_ROOT] : []), ...(debug ? [DEBUG] : [])],
    notChecked: notChecked.map(({ what }) => what),
    ...claimsOf(document),
  };
}

/** `open` is what the verifier would not have looked at anyway. */
export function reportFailed(
  { code, message, where, hint }: Failure,
  context: { readonly at: Date; readonly root: Root; readonly open: readonly OpenExpectation[] },
  document?: AttestationDocument,
): AttestReport {
  return {
    valid: false,
    code,
    message,
    ...(where === undefined ? {} : { where }),
    ...(hint === undefined ? {} : { hint }),
    at: context.at.toISOString(),
    root: context.root,
    weakenings: context.root.kind === 'local' ? [LOCAL_ROOT] : [],
    notChecked: context.open.map(({ what }) => what),
    ...(document === undefined ? {} : claimsOf(document)),
  };
}

type Claims = Pick<AttestReport, 'moduleId' | 'timestamp' | 'pcrs' | 'debug' | 'publicKey' | 'userData' | 'nonce' | 'policyDigest'>; // prettier-ignore

function claimsOf(document: AttestationDocument): Claims {
  const { moduleId, timestamp, pcrs, publicKey, userData, nonce } = document;
  const policyDigest = policyDigestIn(userData);
  return {
    moduleId,
    timestamp: new Date(timestamp).toISOString(),
    pcrs: Object.fromEntries([...pcrs].map(([index, value]) => [index, toHex(value)])),
    debug: isDebug(document),
    ...(publicKey === undefined ? {} : { publicKey: toHex(publicKey) }),
    ...(userData === undefined ? {} : { userData: toHex(userData) }),
    ...(nonce === undefined ? {} : { nonce: toHex(nonce) }),
    ...(policyDigest === undefined ? {} : { policyDigest }),
  };
}

function policyDigestIn(userData: Uint8Array | undefined): string | undefined {
  if (userData === undefined) return undefined;
  try {
    return decodeUserData(userData).policyDigest;
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

/** For people. Everything that comes from the document is shown as hex or without control characters. */
export function renderReport(report: AttestReport): string {
  const { valid, code, message = '', hint, root, weakenings, notChecked, at } = report;
  const verdict = valid ? 'VALID: the attestation document is genuine and as expected\n' : wrap(`${message} [${code}]`, '  ', 'REFUSED: '); // prettier-ignore
  const advice = hint === undefined ? '' : wrap(hint, '        ', '  hint: ');
  const rows = [
    ...(report.moduleId === undefined ? [] : [row('module', printable(report.moduleId))]),
    ...(report.timestamp === undefined ? [] : [row('made at', report.timestamp)]),
    row('judged at', at),
    row(valid ? 'root' : 'trusted root', `${root.kind === 'aws' ? 'AWS Nitro Enclaves' : 'LOCAL'} ${root.sha256}`),
    ...pcrRows(report.pcrs ?? {}),
    ...bytesRow('nonce', report.nonce),
    ...(report.policyDigest === undefined
      ? bytesRow('user data', report.userData)
      : [row('policy', report.policyDigest)]),
    ...bytesRow('public key', report.publicKey),
  ];
  const claims = valid ? '' : 'What the document claims (do not rely on it):\n';
  const warnings = weakenings.map(({ text, code }) => wrap(`${text} [${code}]`, '    ', '  ! ')).join('');
  const open = notChecked.length === 0 ? '' : wrap(`not checked: ${notChecked.join(', ')}`, '    ', '  ? ');
  const head = printableLines(`${verdict}${advice}`);
  return `${head}\n${claims}${rows.join('')}${warnings === '' && open === '' ? '' : '\n'}${warnings}${open}`;
}

function row(name: string, value: string): string {
  return `  ${name.padEnd(13)}${value}\n`;
}

/** Zeros are the state of a PCR that nothing was measured into: one row for all of them. */
function pcrRows(pcrs: Readonly<Record<string, string>>): readonly string[] {
  const entries = Object.entries(pcrs);
  const zeros = entries.filter(([, hex]) => /^0+$/.test(hex)).map(([index]) => index);
  const rows = entries.filter(([index]) => !zeros.includes(index)).map(([index, hex]) => row(`PCR${index}`, hex));
  return zeros.length === 0 ? rows : [...rows, row('zero PCRs', zeros.join(' '))];
}

const SHOWN_HEX = 128;

function bytesRow(name: string, hex: string | undefined): readonly string[] {
  if (hex === undefined) return [];
  const shown = hex.length > SHOWN_HEX ? `${hex.slice(0, SHOWN_HEX)}… (${hex.length / 2} bytes)` : hex;
  return [row(name, hex === '' ? '(0 bytes)' : shown)];
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?');
}
