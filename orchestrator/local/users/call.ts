/** One call of IAM: about the users of the caller's own account. */
import type { Principal } from '../iam/principal.ts';
import { evaluate } from '../iam/evaluate.ts';
import { AwsError } from '../errors.ts';
import type { Trace } from '../kms/call.ts';
import type { Account, State, User } from '../state.ts';
import type { Store } from '../store.ts';
import type { XmlNode } from '../wire/xml.ts';

export interface IamCall {
  readonly parameters: ReadonlyMap<string, string>;
  readonly principal: Principal;
  /** Milliseconds. */
  readonly now: number;
  readonly store: Store;
  readonly baseContext: ReadonlyMap<string, readonly string[]>;
  readonly trace: Trace;
}

export type IamOperation = (call: IamCall) => Promise<XmlNode> | XmlNode;

/** A parameter that must be there and of this form. Throws ValidationError in AWS's words. */
export function required(call: IamCall, name: string, { pattern, max }: TextShape): string {
  const value = call.parameters.get(name);
  const member = `${name.charAt(0).toLowerCase()}${name.slice(1)}`;
  const fault = (shown: string, constraint: string): AwsError =>
    new AwsError(
      'ValidationError',
      `1 validation error detected: Value ${shown} at '${member}' failed to satisfy constraint: ${constraint}`,
    );
  if (value === undefined) throw fault('null', 'Member must not be null');
  if (value.length > max)
    throw fault(`'${value.slice(0, 100)}'`, `Member must have length less than or equal to ${max}`);
  if (!pattern.test(value)) {
    throw fault(`'${value.slice(0, 100)}'`, `Member must satisfy regular expression pattern: ${pattern.source}`);
  }
  return value;
}

export interface TextShape {
  readonly pattern: RegExp;
  /** Characters. */
  readonly max: number;
}

export const NAME: TextShape = { pattern: /^[\w+=,.@-]+$/, max: 64 };
export const POLICY_NAME: TextShape = { pattern: /^[\w+=,.@-]+$/, max: 128 };

/** The user that the call names, else the caller; `iam:ACTION` on it allowed by the caller's own policies. */
export function authorizeOnUser(call: IamCall, action: string): string {
  const given = call.parameters.has('UserName') ? required(call, 'UserName', NAME) : undefined;
  const name = given ?? (call.principal.kind === 'user' ? call.principal.userName : undefined);
  if (name === undefined)
    throw new AwsError('ValidationError', 'Must specify userName when calling with non-User credentials');
  const { principal, trace, baseContext } = call;
  const resource = `arn:aws:iam::${principal.account}:user/${name}`;
  const decision = evaluate({
    principal,
    action,
    resource,
    resourceAccount: principal.account,
    context: new Map([...baseContext, ['aws:resourceaccount', [principal.account]]]),
    resourcePolicy: undefined,
    grantees: [],
  });
  trace.decisions.push({ action, resource, allowed: decision.allowed });
  if (decision.allowed) return name;
  const why = decision.explicit
    ? `with an explicit deny in ${decision.because === 'session' ? 'a session' : 'an identity-based'} policy`
    : `because no ${decision.because} policy allows the ${action} action`;
  throw new AwsError(
    'AccessDenied',
    `User: ${principal.arn} is not authorized to perform: ${action} on resource: user ${name} ${why}`,
    403,
  );
}

/** Of the caller's account. Throws NoSuchEntity. */
export function userNamed(state: State, { principal }: IamCall, name: string): User {
  const user = accountOf(state, principal.account).users.find((each) => each.name === name);
  if (user === undefined) throw noSuchEntity(`The user with name ${name} cannot be found.`);
  return user;
}

export function accountOf(state: State, id: string): Account {
  const account = state.accounts.find((each) => each.id === id);
  if (account === undefined) throw new Error(`no account ${id}`);
  return account;
}

/** The state with these users in the caller's account. */
export function withUsers(
  state: State,
  { principal }: IamCall,
  next: (users: readonly User[]) => readonly User[],
): State {
  return {
    ...state,
    accounts: state.accounts.map((each) =>
      each.id === principal.account ? { ...each, users: next(each.users) } : each,
    ),
  };
}

/** Keeps one user changed. Throws NoSuchEntity, or what `next` throws. */
export async function changeUser(call: IamCall, name: string, next: (user: User) => User): Promise<void> {
  await call.store.change((state) => {
    const user = next(userNamed(state, call, name));
    return [withUsers(state, call, (users) => users.map((each) => (each.name === name ? user : each))), undefined];
  });
}

export function noSuchEntity(message: string): AwsError {
  return new AwsError('NoSuchEntity', message, 404);
}
