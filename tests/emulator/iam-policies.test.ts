/** What the emulator makes of conditions and of policies that are odd. */

import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { conditionHolds } from '../../src/emulator/iam/conditions.js';
import { IamPolicies } from '../../src/emulator/iam/policies.js';
import type { CallContext, RpcMessage } from '../../src/emulator/rpc.js';

const resource = 'projects/p/locations/global/keyRings/ring/cryptoKeys/key';
const at = { timeMs: Date.parse('2026-06-01T00:00:00Z'), resource };

describe('a condition', () => {
  it.each([
    ['request.time < timestamp("2026-07-01T00:00:00Z")', true],
    ["request.time <= timestamp('2026-06-01T00:00:00Z')", true],
    ['request.time > timestamp("2026-07-01T00:00:00Z")', false],
    ['request.time >= timestamp("2026-06-01T00:00:00Z")', true],
    ['request.time < timestamp("soon")', false],
    ["resource.name.startsWith('projects/p/')", true],
    ['resource.name.endsWith("/other")', false],
    [`resource.name == "${resource}"`, true],
    ["resource.type == 'cloudkms.googleapis.com/CryptoKey'", true],
    ['resource.service != "cloudkms.googleapis.com"', false],
    ['resource.service == "cloudkms.googleapis.com" && resource.name.endsWith("/key")', true],
    ['resource.name.endsWith("/other") || resource.name.endsWith("/key")', true],
    ['resource.matches("anything")', false],
  ])('%s: %s', (expression, holds) => {
    expect(conditionHolds(expression, at)).toBe(holds);
  });

  it('looks at the resource that is asked for, whatever that is', () => {
    const odd = { ...at, resource: 'odd' };
    expect(conditionHolds("resource.type == 'cloudkms.googleapis.com/'", odd)).toBe(true);
  });
});

describe('SetIamPolicy', () => {
  const context: CallContext = {
    method: 'SetIamPolicy',
    clock: systemClock,
    metadata: new Map(),
    principal: undefined,
    delayForHsm: () => Promise.resolve(),
  };
  const set = async (policy: unknown): Promise<RpcMessage> => {
    const handler = new IamPolicies((name) => name === resource).handlers['SetIamPolicy'];
    if (handler === undefined) throw new Error('it has no such handler');
    return handler({ resource, policy }, context);
  };

  it.each([
    ['without a policy', null, 'INVALID_ARGUMENT'],
    ['of a version that there is none of', { version: 2, bindings: [] }, 'INVALID_ARGUMENT'],
    ['with an old etag', { etag: Buffer.from('old'), bindings: [] }, 'ABORTED'],
    [
      'with a condition, of version 1',
      {
        version: 1,
        bindings: [{ role: 'roles/viewer', members: ['user:a@example.com'], condition: { expression: '' } }],
      },
      'INVALID_ARGUMENT',
    ],
    [
      'with a role that is none',
      { bindings: [{ role: 'viewer', members: ['allUsers'] }] },
      'INVALID_ARGUMENT',
    ],
    [
      'with a member that is none',
      { bindings: [{ role: 'roles/viewer', members: ['somebody'] }] },
      'INVALID_ARGUMENT',
    ],
  ])('%s is refused', async (_, policy, status) => {
    await expect((async () => set(policy))()).rejects.toMatchObject({ status });
  });

  it('takes a policy without bindings, and drops bindings without members', async () => {
    expect(await set({})).toMatchObject({ version: 1, bindings: [] });
    expect(await set({ bindings: [{ role: 'roles/viewer' }] })).toMatchObject({ bindings: [] });
  });
});
