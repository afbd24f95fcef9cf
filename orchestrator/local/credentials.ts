/**
 * From an access key to the principal behind it. Session tokens carry their whole session, sealed under the server's own
 * key, as AWS's do: nothing about a session is stored, and a restart honours what was given out before.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { uniqueId } from './accounts.ts';
import type { Service } from './errors.ts';
import { authenticationError } from './errors.ts';
import { parsePolicyDocument } from './iam/document.ts';
import type { Principal } from './iam/principal.ts';
import type { Role, State, User } from './state.ts';

export interface SessionCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** Milliseconds. */
  readonly expiresAt: number;
}

interface SealedSession {
  readonly accessKeyId: string;
  readonly secret: string;
  readonly roleArn: string;
  readonly sessionName: string;
  readonly policy: string | null;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

const TOKEN_CONTEXT = Buffer.from('accord/v1/local-sts-session');
const INVALID = 'The security token included in the request is invalid.';

export function issueSession(
  state: State,
  session: Pick<SealedSession, 'roleArn' | 'sessionName' | 'policy' | 'issuedAt' | 'expiresAt'>,
): SessionCredentials {
  const accessKeyId = uniqueId('ASIA');
  const secret = randomBytes(30).toString('base64');
  return {
    accessKeyId,
    secretAccessKey: secret,
    sessionToken: seal(state, { ...session, accessKeyId, secret }),
    expiresAt: session.expiresAt,
  };
}

/** Throws as AWS does for an unknown key, a token that is not ours or not this key's, and an expired one. */
export function findCredentials(
  state: State,
  given: { readonly accessKeyId: string; readonly sessionToken: string | undefined },
  service: Service,
  now: number,
): { readonly secret: string; readonly principal: Principal } {
  if (given.sessionToken === undefined) {
    for (const account of state.accounts) {
      for (const user of account.users) {
        const key = user.accessKeys.find(({ id }) => id === given.accessKeyId);
        if (key !== undefined) return { secret: key.secret, principal: userPrincipal(account.id, user) };
      }
    }
    throw authenticationError(service, 'unknown-key', INVALID);
  }
  const session = unseal(state, given.sessionToken);
  if (session === undefined || session.accessKeyId !== given.accessKeyId) {
    throw authenticationError(service, 'unknown-token', INVALID);
  }
  if (session.expiresAt <= now) {
    throw authenticationError(service, 'expired', 'The security token included in the request is expired');
  }
  for (const account of state.accounts) {
    const role = account.roles.find(({ arn }) => arn === session.roleArn);
    if (role !== undefined) return { secret: session.secret, principal: sessionPrincipal(account.id, role, session) };
  }
  throw authenticationError(service, 'unknown-token', INVALID);
}

function userPrincipal(account: string, user: User): Principal {
  return {
    kind: 'user',
    account,
    arn: user.arn,
    userId: user.userId,
    userName: user.name,
    identityPolicies: user.policies.map(({ document }) => parsePolicyDocument(document, 'identity')),
  };
}

function sessionPrincipal(account: string, role: Role, session: SealedSession): Principal {
  return {
    kind: 'session',
    account,
    arn: sessionArn(account, role, session.sessionName),
    userId: `${role.roleId}:${session.sessionName}`,
    roleArn: role.arn,
    issuedAt: session.issuedAt,
    identityPolicies: role.policies.map((text) => parsePolicyDocument(text, 'identity')),
    sessionPolicy: session.policy === null ? undefined : parsePolicyDocument(session.policy, 'identity'),
  };
}

export function sessionArn(account: string, role: Pick<Role, 'name'>, sessionName: string): string {
  return `arn:aws:sts::${account}:assumed-role/${role.name}/${sessionName}`;
}

function seal(state: State, session: SealedSession): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(state.tokenKey, 'base64'), iv);
  cipher.setAAD(TOKEN_CONTEXT);
  const body = Buffer.concat([cipher.update(JSON.stringify(session), 'utf8'), cipher.final()]);
  return Buffer.concat([iv, body, cipher.getAuthTag()]).toString('base64');
}

function unseal(state: State, token: string): SealedSession | undefined {
  const bytes = Buffer.from(token, 'base64');
  if (bytes.length < 29) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', Buffer.from(state.tokenKey, 'base64'), bytes.subarray(0, 12), {
    authTagLength: 16,
  });
  decipher.setAAD(TOKEN_CONTEXT);
  decipher.setAuthTag(bytes.subarray(-16));
  try {
    const text = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString('utf8');
    const session: SealedSession = JSON.parse(text);
    return session;
  } catch {
    return undefined;
  }
}
