/**
 * The policy of a key (google.iam.v1.Policy): read, changed and written back with the etag it was read with, so that no
 * change of somebody else is lost. Conditions and what else is in it stay as they are.
 */

import { z } from 'zod';
import type { ErrorContext } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import { NotFoundError } from '../errors/keys.js';
import { IntegrityError, ServiceError } from '../errors/service.js';
import {
  type AccessBinding,
  type AccessChange,
  type GrantOptions,
  isPublicMember,
  normalizedMember,
  parseMember,
  parseRole,
  type TestedPermissions,
} from '../keys/access.js';
import type { CallOptions } from '../keys/call-options.js';
import type { CryptoKeyName, KeyRingName } from '../keys/resource-name.js';
import { grantOptions, parseInput, parseOptions } from '../provider/call-input.js';
import { jittered } from '../provider/jitter.js';
import type { Operation } from '../provider/operation.js';
import { type ClientCalls, contextOf } from './client-calls.js';
import type { KmsCore } from './core.js';
import type { BindingMessage, PolicyMessage } from './rpc.js';

/** The version of policies with conditions; asked for and written always, so that none is lost. */
const POLICY_VERSION = 3;
/** Waiting between two tries when others write the policy too; doubles, half of it jitter. */
const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 2_000;

interface Entry {
  readonly member: string;
  readonly role: string;
}

export async function grantAccess(
  calls: ClientCalls,
  keyId: string,
  entry: Entry,
  options: GrantOptions | undefined,
): Promise<AccessChange> {
  const context = contextOf('grantAccess', keyId);
  const { publicMembers, ...rest } = parseOptions(context, grantOptions, options);
  const { member } = requireEntry(context, entry);
  if (isPublicMember(member) && publicMembers !== 'allow') {
    throw new InvalidArgumentError(
      context,
      `${member} is everybody. Name who it is for, or pass publicMembers: 'allow'.`,
    );
  }
  const name = calls.wholeKey('grantAccess', keyId);
  const operation = calls.open('grantAccess', name, rest);
  return operation.run(() => changePolicy(calls.core, operation, name, (bindings) => added(bindings, entry)));
}

export async function revokeAccess(
  calls: ClientCalls,
  keyId: string,
  entry: Entry,
  options: CallOptions | undefined,
): Promise<AccessChange> {
  requireEntry(contextOf('revokeAccess', keyId), entry);
  const name = calls.wholeKey('revokeAccess', keyId);
  const operation = calls.open('revokeAccess', name, options);
  return operation.run(() =>
    changePolicy(calls.core, operation, name, (bindings) => removed(bindings, entry)),
  );
}

export async function listAccess(
  calls: ClientCalls,
  keyName: CryptoKeyName | KeyRingName,
  options: CallOptions | undefined,
): Promise<readonly AccessBinding[]> {
  const operation = calls.open('listAccess', keyName, options);
  return operation.run(async () => {
    const { bindings } = await readPolicy(calls.core, operation, keyName);
    return bindings.flatMap(({ role, members, condition }) =>
      members.map((member) => ({
        keyName,
        member,
        role,
        ...(condition && {
          condition: conditionOf(condition),
        }),
      })),
    );
  });
}

const permissionList = z.array(
  z.string().regex(/^[a-z]+\.[a-zA-Z]+\.[a-zA-Z]+$/, 'is not a permission'),
  'must be a list of permissions',
);

export async function testPermissions(
  calls: ClientCalls,
  keyId: string | undefined,
  permissions: readonly string[],
  options: CallOptions | undefined,
): Promise<readonly TestedPermissions[]> {
  const { core } = calls;
  const resource = keyId === undefined ? core.keyRing : calls.wholeKey('testPermissions', keyId);
  const input = { name: 'permissions', value: permissions };
  const asked = parseInput(contextOf('testPermissions', resource), permissionList, input);
  const operation = calls.open('testPermissions', resource, options);
  return operation.run(async () => {
    try {
      const answer = await core.caller.call(operation, {
        rpc: 'testIamPermissions',
        request: { resource, permissions: asked },
        routeBy: ['resource', resource],
      });
      return [{ resource, granted: asked.filter((permission) => answer.permissions.includes(permission)) }];
    } catch (error) {
      // On what does not exist nobody has a permission; iam_policy.proto says so, and not every service does it.
      if (error instanceof NotFoundError) return [{ resource, granted: [] }];
      throw error;
    }
  });
}

function requireEntry(context: ErrorContext, entry: Entry): Entry {
  for (const parsed of [parseMember(entry.member), parseRole(entry.role)])
    if (!parsed.ok) throw new InvalidArgumentError(context, parsed.problem);
  return entry;
}

function added(
  bindings: readonly BindingMessage[],
  { member, role }: Entry,
): readonly BindingMessage[] | undefined {
  const found = bindings.find((binding) => binding.role === role && !binding.condition);
  if (found === undefined) return [...bindings, { role, members: [member] }];
  const { members } = found;
  if (members.some(isSame(member))) return undefined;
  return bindings.map((binding) =>
    binding === found ? { ...found, members: [...members, member] } : binding,
  );
}

const isSame = (member: string) => {
  const normalized = normalizedMember(member);
  return (other: string): boolean => normalizedMember(other) === normalized;
};

/** Also out of bindings with a condition: who is revoked has the role no more, whatever the time is. */
function removed(
  bindings: readonly BindingMessage[],
  { member, role }: Entry,
): readonly BindingMessage[] | undefined {
  const holds = (binding: BindingMessage): boolean =>
    binding.role === role && binding.members.some(isSame(member));
  if (!bindings.some(holds)) return undefined;
  return bindings
    .map((binding) =>
      holds(binding)
        ? { ...binding, members: binding.members.filter((other) => !isSame(member)(other)) }
        : binding,
    )
    .filter(({ members }) => members.length > 0);
}

async function changePolicy(
  core: KmsCore,
  operation: Operation,
  keyName: CryptoKeyName,
  /** The bindings as they are to be, or undefined when they are so already. */
  change: (bindings: readonly BindingMessage[]) => readonly BindingMessage[] | undefined,
): Promise<AccessChange> {
  let mayBeWritten = false;
  for (let attempt = 1; ; attempt++) {
    const policy = await readPolicy(core, operation, keyName);
    const bindings = change(policy.bindings);
    // After a write whose answer was lost, what is found now is what that write did.
    if (bindings === undefined) return { keyName, changed: mayBeWritten };
    const written = await writePolicy(core, operation, keyName, {
      ...policy,
      version: POLICY_VERSION,
      bindings,
    });
    if (written === 'done') return { keyName, changed: true };
    mayBeWritten ||= written === 'unknown';
    const grown = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
    await operation.delay(jittered(grown));
  }
}

async function readPolicy(
  core: KmsCore,
  operation: Operation,
  resource: CryptoKeyName | KeyRingName,
): Promise<PolicyMessage> {
  const policy = await core.caller.call(operation, {
    rpc: 'getIamPolicy',
    request: { resource, options: { requestedPolicyVersion: POLICY_VERSION } },
    routeBy: ['resource', resource],
  });
  // Written back without one, it would replace whatever is there by then.
  if (policy.etag.length === 0)
    throw new IntegrityError(operation.context(), 'the policy came without an etag');
  return policy;
}

/** `refused` when others changed the policy meanwhile, `unknown` when it may have been written: read it again. */
async function writePolicy(
  core: KmsCore,
  operation: Operation,
  resource: CryptoKeyName,
  policy: PolicyMessage,
): Promise<'done' | 'refused' | 'unknown'> {
  try {
    const call = {
      rpc: 'setIamPolicy',
      request: { resource, policy },
      routeBy: ['resource', resource],
    } as const;
    return (await core.caller.callOnce(operation, call, 1)).kind;
  } catch (error) {
    if (error instanceof ServiceError && error.status === 'ABORTED') return 'refused';
    throw error;
  }
}

const conditionOf = ({ title, description, expression }: NonNullable<BindingMessage['condition']>) => ({
  title,
  description,
  expression,
});
