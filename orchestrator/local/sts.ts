/** STS: who am I, and sessions of a role. Sessions can be limited by a policy of their own; nothing can widen them. */
import { AwsError, notInMiniature } from './errors.ts';
import { issueSession, sessionArn } from './credentials.ts';
import { parsePolicyDocument, PolicyFault } from './iam/document.ts';
import { evaluate } from './iam/evaluate.ts';
import type { Principal } from './iam/principal.ts';
import type { Trace } from './kms/call.ts';
import type { Role, State } from './state.ts';
import { VERSIONS } from './wire/query.ts';
import type { XmlNode } from './wire/xml.ts';

export interface StsCall {
  readonly parameters: ReadonlyMap<string, string>;
  readonly principal: Principal;
  readonly now: number;
  readonly state: State;
  readonly baseContext: ReadonlyMap<string, readonly string[]>;
  readonly trace: Trace;
}

/** 2048 characters, plain and packed. */
const MAX_SESSION_POLICY = 2048;
const ABSENT = [
  'AssumeRoleWithSAML',
  'AssumeRoleWithWebIdentity',
  'AssumeRoot',
  'DecodeAuthorizationMessage',
  'GetAccessKeyInfo',
  'GetFederationToken',
  'GetSessionToken',
];

export function callSts(operation: string, call: StsCall): XmlNode {
  const version = call.parameters.get('Version');
  if (version === VERSIONS.sts) {
    if (operation === 'GetCallerIdentity') return getCallerIdentity(call);
    if (operation === 'AssumeRole') return assumeRole(call);
    if (ABSENT.includes(operation)) throw notInMiniature(`sts:${operation}`);
  }
  throw new AwsError(
    'InvalidAction',
    `Could not find operation ${operation} for version ${version ?? 'NO_VERSION_SPECIFIED'}`,
  );
}

/** Needs no permission: not even an explicit Deny stops it (STS API reference). */
function getCallerIdentity({ principal }: StsCall): XmlNode {
  return { Arn: principal.arn, UserId: principal.userId, Account: principal.account };
}

function assumeRole(call: StsCall): XmlNode {
  const { principal, state, now } = call;
  const request = readAssumeRole(call.parameters);
  const role = state.accounts.flatMap(({ roles }) => roles).find(({ arn }) => arn === request.roleArn);
  authorize(call, request, role);
  if (role === undefined) throw deniedToAssume(principal, request.roleArn);
  checkDuration(principal, role, request.seconds);
  const credentials = issueSession(state, {
    roleArn: role.arn,
    sessionName: request.sessionName,
    policy: request.policy ?? null,
    issuedAt: now,
    expiresAt: now + request.seconds * 1000,
  });
  const account = role.arn.split(':')[4] ?? '';
  return {
    AssumedRoleUser: {
      AssumedRoleId: `${role.roleId}:${request.sessionName}`,
      Arn: sessionArn(account, role, request.sessionName),
    },
    Credentials: {
      AccessKeyId: credentials.accessKeyId,
      SecretAccessKey: credentials.secretAccessKey,
      SessionToken: credentials.sessionToken,
      Expiration: new Date(credentials.expiresAt).toISOString().replace(/\.\d{3}/, ''),
    },
    ...(request.policy === undefined
      ? {}
      : { PackedPolicySize: Math.ceil((100 * request.policy.length) / MAX_SESSION_POLICY) }),
  };
}

interface AssumeRoleRequest {
  readonly roleArn: string;
  readonly sessionName: string;
  readonly seconds: number;
  readonly policy: string | undefined;
  readonly externalId: string | undefined;
}

function readAssumeRole(parameters: ReadonlyMap<string, string>): AssumeRoleRequest {
  const faults: string[] = [];
  const text = (name: string, min: number, max: number, pattern: RegExp): string | undefined => {
    const value = parameters.get(name);
    const member = `${name.charAt(0).toLowerCase()}${name.slice(1)}`;
    const fault = (constraint: string): number =>
      faults.push(`Value '${value?.slice(0, 200)}' at '${member}' failed to satisfy constraint: ${constraint}`);
    if (value === undefined) return undefined;
    if (value.length < min) fault(`Member must have length greater than or equal to ${min}`);
    if (value.length > max) fault(`Member must have length less than or equal to ${max}`);
    if (!pattern.test(value)) fault(`Member must satisfy regular expression pattern: ${pattern.source}`);
    return value;
  };
  const required = (name: string, value: string | undefined): string => {
    if (value !== undefined) return value;
    faults.push(
      `Value null at '${name.charAt(0).toLowerCase()}${name.slice(1)}' failed to satisfy constraint: Member must not be null`,
    );
    return '';
  };
  const roleArn = required('RoleArn', text('RoleArn', 20, 2048, /^[\t\n\r\u0020-\u007E\u0085\u00A0-\uD7FF]+$/));
  const sessionName = required('RoleSessionName', text('RoleSessionName', 2, 64, /^[\w+=,.@-]*$/));
  const policy = text('Policy', 1, MAX_SESSION_POLICY, /^[\t\n\r\u0020-\u00FF]+$/);
  const externalId = text('ExternalId', 2, 1224, /^[\w+=,.@:/-]*$/);
  const duration = text('DurationSeconds', 1, 6, /^\d+$/);
  const seconds = Number(duration ?? 3600);
  if (seconds < 900) {
    faults.push(
      `Value '${seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900`,
    );
  }
  if (seconds > 43_200) {
    faults.push(
      `Value '${seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to 43200`,
    );
  }
  if (faults.length > 0) {
    const count = `${faults.length} validation error${faults.length === 1 ? '' : 's'} detected`;
    throw new AwsError('ValidationError', `${count}: ${faults.join('; ')}`);
  }
  // What would change the session without being honoured here is refused, not dropped.
  const other = [...parameters.keys()].find((name) =>
    /^(PolicyArns|Tags|TransitiveTagKeys|SerialNumber|TokenCode|SourceIdentity|ProvidedContexts)\b/.test(name),
  );
  if (other !== undefined) throw notInMiniature(`AssumeRole with ${other.split('.')[0]}`);
  if (policy !== undefined) checkSessionPolicy(policy);
  return { roleArn, sessionName, seconds, policy, externalId };
}

function checkSessionPolicy(policy: string): void {
  try {
    parsePolicyDocument(policy, 'identity');
  } catch (cause) {
    if (cause instanceof PolicyFault) throw new AwsError('MalformedPolicyDocument', cause.message);
    throw cause;
  }
}

/** The role's trust policy must let the caller in, and where it names the account alone the caller's own policies too. */
function authorize(call: StsCall, request: AssumeRoleRequest, role: Role | undefined): void {
  const { principal, trace } = call;
  if (!/^arn:aws:iam::\d{12}:role\/.+$/.test(request.roleArn)) {
    throw new AwsError('ValidationError', `${request.roleArn} is invalid`);
  }
  const decision =
    role === undefined
      ? undefined
      : evaluate({
          principal,
          action: 'sts:AssumeRole',
          resource: role.arn,
          resourceAccount: role.arn.split(':')[4] ?? '',
          context: new Map([
            ...call.baseContext,
            ['sts:rolesessionname', [request.sessionName]],
            ...(request.externalId === undefined ? [] : [['sts:externalid', [request.externalId]] as const]),
          ]),
          resourcePolicy: parsePolicyDocument(role.trustPolicy, 'trust'),
          grantees: [],
        });
  trace.decisions.push({ action: 'sts:AssumeRole', resource: request.roleArn, allowed: decision?.allowed === true });
  // AWS does not say why, nor whether there is such a role.
  if (decision?.allowed !== true) throw deniedToAssume(principal, request.roleArn);
}

function deniedToAssume(principal: Principal, roleArn: string): AwsError {
  return new AwsError(
    'AccessDenied',
    `User: ${principal.arn} is not authorized to perform: sts:AssumeRole on resource: ${roleArn}`,
    403,
  );
}

function checkDuration(principal: Principal, role: Role, seconds: number): void {
  if (principal.kind === 'session' && seconds > 3600) {
    throw new AwsError(
      'ValidationError',
      'The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining',
    );
  }
  if (seconds > role.maxSessionSeconds) {
    throw new AwsError(
      'ValidationError',
      'The requested DurationSeconds exceeds the MaxSessionDuration set for this role.',
    );
  }
}
