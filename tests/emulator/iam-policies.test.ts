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
  const setIn = async (policies: IamPolicies, policy: unknown, ...paths: string[]): Promise<RpcMessage> => {
    const handler = policies.handlers['SetIamPolicy'];
    if (handler === undefined) throw new Error('it has no such handler');
    return handler({ resource, policy, ...(paths.length > 0 && { updateMask: { paths } }) }, context);
  };
  const newPolicies = () => new IamPolicies((name) => name === resource);
  const set = (policy: unknown): Promise<RpcMessage> => setIn(newPolicies(), policy);

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

  it('changes what the mask names: without one the bindings', async () => {
    const policies = newPolicies();
    const bindings = [{ role: 'roles/viewer', members: ['user:a@example.com'] }];
    const auditConfigs = [
      { service: 'cloudkms.googleapis.com', auditLogConfigs: [{ logType: 'DATA_READ' }] },
    ];
    const { auditConfigs: ignored } = await setIn(policies, { bindings, auditConfigs });
    expect(ignored).toBeUndefined();
    const audited = await setIn(policies, { bindings: [], auditConfigs }, 'audit_configs', 'etag');
    expect(audited).toMatchObject({ bindings, auditConfigs });
    expect(await setIn(policies, { bindings: [] })).toMatchObject({ bindings: [], auditConfigs });
    await expect(setIn(policies, { bindings }, 'members')).rejects.toMatchObject({
      status: 'INVALID_ARGUMENT',
    });
  });

  it('leaves conditional bindings alone that the mask does not name, whatever the version', async () => {
    const policies = newPolicies();
    const condition = { expression: 'resource.service == "cloudkms.googleapis.com"' };
    const bindings = [{ role: 'roles/viewer', members: ['user:a@example.com'], condition }];
    const { etag } = await setIn(policies, { version: 3, bindings });
    const etagOfOthers = { version: 1, etag };
    expect(await setIn(policies, etagOfOthers, 'audit_configs')).toMatchObject({ version: 3, bindings });
  });

  it('spells emails and domains in lower case, and leaves the rest as it is', async () => {
    const pool =
      'principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/X/subject/S';
    const members = [
      'user:Alice@Example.com',
      'serviceAccount:Bot@P.iam.gserviceaccount.com',
      'domain:Example.com',
    ];
    const others = ['deleted:group:Old@Example.com?uid=1', pool, 'allUsers'];
    const policy = { bindings: [{ role: 'roles/viewer', members: [...members, ...others] }] };
    const [binding] = Object(await set(policy)).bindings;
    expect(binding.members).toEqual([
      'user:alice@example.com',
      'serviceAccount:bot@p.iam.gserviceaccount.com',
      'domain:example.com',
      'deleted:group:old@example.com?uid=1',
      pool,
      'allUsers',
    ]);
  });

  it('takes a policy without bindings, and drops bindings without members', async () => {
    expect(await set({})).toMatchObject({ version: 1, bindings: [] });
    expect(await set({ bindings: [{ role: 'roles/viewer' }] })).toMatchObject({ bindings: [] });
  });
});
