import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AGENT_ROLE_NAMES, AGENT_ROLES } from '../../src/access/agent-roles.js';
import type { KmsEmulator } from '../../src/emulator/index.js';
import {
  A2AKeyExchange,
  type A2AKeyExchangeConfig,
  AccessControlUnsupportedError,
  type AgentRoleName,
  type Clock,
  DeadlineExceededError,
  IntegrityError,
  InvalidArgumentError,
  KMSClient,
  PermissionDeniedError,
  signCompactJws,
  systemClock,
} from '../../src/index.js';
import { clientConfig, newExchange, officialClient } from '../support/emulator.js';
import { memberOf, OWNER_TOKEN, PROJECT, startEnforcingEmulator, withToken } from '../support/iam.js';
import { startTwoLocations } from '../support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');
const customRoles = Object.fromEntries(
  AGENT_ROLE_NAMES.map((name) => [
    `projects/${PROJECT}/roles/${AGENT_ROLES[name].id}`,
    AGENT_ROLES[name].permissions,
  ]),
);

let emulator: KmsEmulator;
let owner: A2AKeyExchange;
beforeAll(async () => {
  emulator = await startEnforcingEmulator({ roles: customRoles });
  owner = as(OWNER_TOKEN);
  await owner.initialize();
});
afterAll(async () => {
  await owner.close();
  await emulator.close();
});

function as(emulatorAccessToken: string, rest: Partial<A2AKeyExchangeConfig> = {}): A2AKeyExchange {
  return newExchange(emulator, { emulatorAccessToken, ...rest });
}

let count = 0;
/** An agent with a signing key, and an identity that has nothing yet. */
async function newAgent(purpose: 'signing' | 'both' = 'signing') {
  const agentId = `agent-${++count}`;
  const keyName = await owner.generateAgentKey(agentId, { purpose });
  const member = memberOf(`identity-${count}`);
  return { agentId, keyName, member, token: emulator.iam.issueToken(member) };
}
const policyOf = async (resource: string) => {
  const client = officialClient(emulator);
  const request = JSON.parse(JSON.stringify({ resource, options: { requestedPolicyVersion: 3 } }));
  const [policy] = await client.getIamPolicy(request, withToken(OWNER_TOKEN));
  await client.close();
  return policy;
};
const setPolicy = async (resource: string, policy: object) => {
  const client = officialClient(emulator);
  await client.setIamPolicy(JSON.parse(JSON.stringify({ resource, policy })), withToken(OWNER_TOKEN));
  await client.close();
};

describe('grantAgentAccess', () => {
  it("lets an identity with only the signer role on one agent's key sign end to end, and nothing else", async () => {
    const [own, other] = [await newAgent(), await newAgent()];
    expect(await owner.grantAgentAccess(own.agentId, own.member, 'signer')).toEqual({
      keyName: own.keyName,
      changed: true,
    });
    await using agent = as(own.token);
    const signature = await agent.signMessage(own.agentId, message);
    expect(await owner.verifyMessage(own.agentId, message, signature)).toBe(true);
    await expect(agent.signMessage(other.agentId, message)).rejects.toThrow(PermissionDeniedError);
    await expect(agent.keys.sign(`${other.keyName}/cryptoKeyVersions/1`, message)).rejects.toThrow(
      PermissionDeniedError,
    );
  });

  it('P11 lets an identity that may do nothing but sign do so with a pinned version, in one call', async () => {
    const { agentId, keyName, member, token } = await newAgent();
    await owner.grantAgentAccess(agentId, member, 'roles/cloudkms.signer');
    const pinnedVersions = [
      { name: `${keyName}/cryptoKeyVersions/1`, algorithm: 'EC_SIGN_P384_SHA384' as const },
    ];
    await using agent = as(token, { pinnedVersions });
    emulator.requests.clear();
    const signature = await agent.signMessage(agentId, message);
    await agent.idle();
    expect(emulator.requests.entries.map(({ rpc, status }) => [rpc, status])).toEqual([
      ['AsymmetricSign', 'OK'],
    ]);
    expect(await owner.verifyMessage(agentId, message, signature)).toBe(true);
  });

  it('may be repeated, and keeps what else is in the policy, conditions too', async () => {
    const { agentId, keyName, member } = await newAgent();
    const condition = { title: 'until', expression: 'request.time < timestamp("2100-01-01T00:00:00Z")' };
    const others = { role: 'roles/cloudkms.viewer', members: [memberOf('auditor')], condition };
    await setPolicy(keyName, { version: 3, bindings: [others] });
    await owner.grantAgentAccess(agentId, member, 'signer');
    expect(await owner.grantAgentAccess(agentId, member, 'signer')).toMatchObject({ changed: false });
    await owner.grantAgentAccess(agentId, memberOf('second'), 'signer');
    await owner.grantAgentAccess(agentId, memberOf('auditor'), 'roles/cloudkms.viewer');
    const { bindings, version } = await policyOf(keyName);
    expect(version).toBe(3);
    expect(bindings).toHaveLength(3);
    expect(bindings?.[0]).toMatchObject({ ...others, condition });
    expect(await owner.listAgentAccess(agentId)).toEqual([
      {
        keyName,
        member: memberOf('auditor'),
        role: 'roles/cloudkms.viewer',
        condition: { description: '', ...condition },
      },
      { keyName, member, role: `projects/${PROJECT}/roles/a2aSigner`, agentRole: 'signer' },
      {
        keyName,
        member: memberOf('second'),
        role: `projects/${PROJECT}/roles/a2aSigner`,
        agentRole: 'signer',
      },
      { keyName, member: memberOf('auditor'), role: 'roles/cloudkms.viewer' },
    ]);
  });

  it('loses no grant when many write the same policy at once', async () => {
    const { agentId } = await newAgent();
    await using second = as(OWNER_TOKEN);
    const members = Array.from({ length: 12 }, (_, index) => memberOf(`racer-${index}`));
    await Promise.all(
      members.map((member, index) =>
        (index % 2 ? owner : second).grantAgentAccess(agentId, member, 'verifier', { timeoutMs: 60_000 }),
      ),
    );
    const granted = (await owner.listAgentAccess(agentId)).map(({ member }) => member);
    expect(granted.toSorted()).toEqual(members.toSorted());
  });

  it('reads again after an answer that was lost, and says that it was its change', async () => {
    const { agentId, member } = await newAgent();
    using _ = emulator.faults.add({
      rpc: 'SetIamPolicy',
      status: { code: 'UNAVAILABLE' },
      applyAfterExecution: true,
      times: 1,
    });
    expect(await owner.grantAgentAccess(agentId, member, 'signer')).toMatchObject({ changed: true });
    expect(await owner.listAgentAccess(agentId)).toHaveLength(1);
  });

  it('ends with its deadline when others never stop writing', async () => {
    const { agentId, member } = await newAgent();
    using _ = emulator.faults.add({ rpc: 'SetIamPolicy', status: { code: 'ABORTED' } });
    await expect(owner.grantAgentAccess(agentId, member, 'signer', { timeoutMs: 300 })).rejects.toThrow(
      DeadlineExceededError,
    );
  });

  it('does not write a policy that came without an etag', async () => {
    const { agentId, member } = await newAgent();
    emulator.requests.clear();
    using _ = emulator.faults.add({ rpc: 'GetIamPolicy', corrupt: 'missing-data' });
    await expect(owner.grantAgentAccess(agentId, member, 'signer')).rejects.toThrow(IntegrityError);
    expect(emulator.requests.count('SetIamPolicy')).toBe(0);
  });

  it.each([
    ['a member that is none', 'alice', 'signer', {}],
    ['everybody', 'allUsers', 'verifier', {}],
    ['everybody with an account', 'allAuthenticatedUsers', 'signer', {}],
    ['a role that is none', 'user:a@example.com', 'signers', {}],
    ['a key that agents do not have', 'user:a@example.com', 'signer', JSON.parse('{"key":"root"}')],
    ['a signer of an encryption key', 'user:a@example.com', 'signer', { key: 'encryption' as const }],
  ])('refuses %s before any call', async (_, member, role, options) => {
    const { agentId } = await newAgent('both');
    emulator.requests.clear();
    await expect(owner.grantAgentAccess(agentId, member, role, options)).rejects.toThrow(
      InvalidArgumentError,
    );
    expect(emulator.requests.count()).toBe(0);
  });

  it('takes everybody when that is said, and the encryption key when that is meant', async () => {
    const { agentId, keyName } = await newAgent('both');
    await owner.grantAgentAccess(agentId, 'allUsers', 'verifier', { publicMembers: 'allow' });
    await owner.grantAgentAccess(agentId, memberOf('reader'), 'roles/cloudkms.cryptoKeyDecrypter', {
      key: 'encryption',
    });
    expect(await owner.listAgentAccess(agentId)).toMatchObject([{ keyName, member: 'allUsers' }]);
    expect(await owner.listAgentAccess(agentId, { key: 'encryption' })).toMatchObject([
      { member: memberOf('reader') },
    ]);
  });

  it('needs the permission to do so', async () => {
    const { agentId, member, token } = await newAgent();
    await owner.grantAgentAccess(agentId, member, 'signer');
    await using agent = as(token);
    await expect(agent.grantAgentAccess(agentId, member, 'administrator')).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      permission: 'cloudkms.cryptoKeys.getIamPolicy',
    });
  });
});

describe('revokeAgentAccess', () => {
  it('takes the role from the member alone, also under a condition, and ends the use of the key', async () => {
    const { agentId, keyName, member, token } = await newAgent();
    await owner.grantAgentAccess(agentId, member, 'signer');
    await using agent = as(token);
    await agent.signMessage(agentId, message);
    const policy = await policyOf(keyName);
    const condition = { title: 'always', expression: 'resource.service == "cloudkms.googleapis.com"' };
    const role = policy.bindings?.[0]?.role;
    await setPolicy(keyName, {
      version: 3,
      bindings: [
        { role, members: [member, memberOf('other')] },
        { role, members: [member], condition },
      ],
    });
    expect(await owner.revokeAgentAccess(agentId, member, 'signer')).toEqual({ keyName, changed: true });
    expect(await owner.revokeAgentAccess(agentId, member, 'signer')).toEqual({ keyName, changed: false });
    await expect(agent.signMessage(agentId, message)).rejects.toThrow(PermissionDeniedError);
    expect((await owner.listAgentAccess(agentId)).map((binding) => binding.member)).toEqual([
      memberOf('other'),
    ]);
  });
});

describe('a member in another spelling', () => {
  const [found, asked] = ['user:alice@example.com', 'user:Alice@Example.com'];
  const role = 'roles/cloudkms.signer';

  it.each([
    [found, asked],
    [asked, found],
  ])('is revoked: %s as %s', async (granted, revoked) => {
    const { agentId, keyName } = await newAgent();
    await owner.grantAgentAccess(agentId, granted, role);
    expect(await owner.revokeAgentAccess(agentId, revoked, role)).toEqual({ keyName, changed: true });
    expect(await owner.listAgentAccess(agentId)).toEqual([]);
  });

  it('is granted once, and others stay as they are spelled', async () => {
    const { agentId, keyName } = await newAgent();
    await owner.grantAgentAccess(agentId, found, role);
    emulator.requests.clear();
    expect(await owner.grantAgentAccess(agentId, asked, role)).toEqual({ keyName, changed: false });
    expect(emulator.requests.count('SetIamPolicy')).toBe(0);
    await owner.revokeAgentAccess(agentId, memberOf('nobody'), role);
    expect(await owner.listAgentAccess(agentId)).toMatchObject([{ member: found }]);
  });

  it('of a principal of a pool is another one', async () => {
    const { agentId, keyName } = await newAgent();
    const pool =
      'principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/x/subject/';
    await owner.grantAgentAccess(agentId, `${pool}Bot`, role);
    expect(await owner.revokeAgentAccess(agentId, `${pool}bot`, role)).toEqual({ keyName, changed: false });
    expect(await owner.listAgentAccess(agentId)).toMatchObject([{ member: `${pool}Bot` }]);
  });
});

it('a change that somebody else made first is not said to be of this call', async () => {
  const { agentId, keyName, member } = await newAgent();
  // The wait before the second try ends when this test says so; deadlines are longer.
  const waits: (() => void)[] = [];
  const clock: Clock = {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic(),
    setTimer: (delayMs, callback, options) => {
      if (delayMs > 50) return systemClock.setTimer(delayMs, callback, options);
      waits.push(callback);
      return () => undefined;
    },
  };
  await using slow = as(OWNER_TOKEN, { clock });
  const fault = emulator.faults.add({ rpc: 'SetIamPolicy', status: { code: 'ABORTED' }, times: 1 });
  const grant = slow.grantAgentAccess(agentId, member, 'signer');
  await expect.poll(() => waits.length, { interval: 1 }).toBeGreaterThan(0);
  fault.remove();
  await owner.grantAgentAccess(agentId, member, 'signer');
  for (const end of waits) end();
  expect(await grant).toEqual({ keyName, changed: false });
});

describe('with replicas', () => {
  it('grants, lists and revokes in all key rings', async () => {
    const locations = await startTwoLocations();
    try {
      const exchange = locations.newExchange();
      await exchange.initialize();
      await exchange.generateAgentKey('bot');
      await exchange.grantAgentAccess('bot', memberOf('bot'), 'signer');
      const rings = (await exchange.listAgentAccess('bot')).map(({ keyName }) => keyName.split('/')[5]);
      expect(rings).toEqual(['agents', 'standby']);
      await exchange.revokeAgentAccess('bot', memberOf('bot'), 'signer');
      expect(await exchange.listAgentAccess('bot')).toEqual([]);
    } finally {
      await locations.close();
    }
  });
});

it('software keys have no policies, and say so', async () => {
  await using exchange = new A2AKeyExchange({
    ...clientConfig(emulator),
    enableHsmKeys: false,
    useSoftwareKeys: true,
    softwareKeyStore: { type: 'memory' },
  });
  await exchange.generateAgentKey('bot');
  for (const refused of [
    exchange.grantAgentAccess('bot', memberOf('bot'), 'signer'),
    exchange.revokeAgentAccess('bot', memberOf('bot'), 'signer'),
    exchange.listAgentAccess('bot'),
  ])
    await expect(refused).rejects.toThrow(AccessControlUnsupportedError);
});

describe('each role does exactly its own operations', () => {
  const ALL = AGENT_ROLE_NAMES;
  const operations: Readonly<
    Record<
      string,
      {
        allowed: readonly AgentRoleName[];
        run: (exchange: A2AKeyExchange, agentId: string, keyName: string) => Promise<unknown>;
      }
    >
  > = {
    signMessage: { allowed: ['signer'], run: (x, agent) => x.signMessage(agent, message) },
    signBatch: { allowed: ['signer'], run: (x, agent) => x.signBatch(agent, [message]) },
    signCompactJws: { allowed: ['signer'], run: (x, _, key) => signCompactJws(x.keys, key, message) },
    getPublicKey: {
      allowed: ALL,
      run: (x, agent) => x.getPublicKey(agent),
    },
    verifyMessage: {
      allowed: ALL,
      run: (x, agent) => x.verifyMessage(agent, message, Buffer.alloc(70)),
    },
    getKey: { allowed: ALL, run: (x, _, key) => x.keys.getKey(key) },
    listKeyVersions: { allowed: ALL, run: (x, _, key) => x.keys.listKeyVersions(key) },
    rotateAgentKey: { allowed: ['rotator', 'administrator'], run: (x, agent) => x.rotateAgentKey(agent) },
    setPrimaryVersion: {
      allowed: ['rotator', 'administrator'],
      run: (x, _, key) => x.keys.setPrimaryVersion(key, 1),
    },
    attestKey: {
      allowed: ['rotator', 'administrator'],
      run: (x, _, key) => (x.keys instanceof KMSClient ? x.keys.attestKey(key) : Promise.resolve()),
    },
    attestAgentKey: { allowed: ['rotator', 'administrator'], run: (x, agent) => x.attestAgentKey(agent) },
    updateLabels: {
      allowed: ['rotator', 'administrator'],
      run: (x, _, key) => x.keys.updateLabels(key, { team: 'a' }),
    },
    destroyKey: {
      allowed: ['rotator', 'administrator'],
      run: (x, _, key) => x.keys.destroyKey(key, undefined, { force: true }),
    },
    restoreKey: {
      allowed: ['administrator'],
      run: async (x, _, key) => {
        await owner.keys.destroyKey(key, undefined, { force: true });
        return x.keys.restoreKey(key);
      },
    },
    listAgentAccess: { allowed: ['administrator'], run: (x, agent) => x.listAgentAccess(agent) },
    grantAgentAccess: {
      allowed: ['administrator'],
      run: (x, agent) => x.grantAgentAccess(agent, memberOf('x'), 'signer'),
    },
  };

  const ringOperations: typeof operations = {
    initialize: { allowed: ['administrator'], run: (x) => x.initialize() },
    generateAgentKey: { allowed: ['administrator'], run: (x, agent) => x.generateAgentKey(`${agent}-new`) },
    listAgents: { allowed: ['rotator', 'administrator'], run: (x) => x.listAgents() },
    rotateDueKeys: { allowed: ['rotator', 'administrator'], run: (x) => x.rotateDueKeys() },
    importKey: {
      allowed: ['administrator'],
      run: async (x, agent) => {
        const pkcs8 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({
          type: 'pkcs8',
          format: 'der',
        });
        const spec = {
          name: `${agent}-imported`,
          purpose: 'ASYMMETRIC_SIGN',
          protectionLevel: 'HSM',
        } as const;
        if (!(x.keys instanceof KMSClient)) return undefined;
        return x.keys.importKey({ ...spec, algorithm: 'EC_SIGN_P384_SHA384' }, pkcs8, { timeoutMs: 60_000 });
      },
    },
  };

  const check = async (
    operation: (typeof operations)[string],
    role: AgentRoleName,
    agent: Awaited<ReturnType<typeof newAgent>>,
  ) => {
    await using exchange = as(agent.token);
    const outcome = operation.run(exchange, agent.agentId, agent.keyName);
    if (operation.allowed.includes(role)) await outcome;
    else await expect(outcome).rejects.toThrow(PermissionDeniedError);
    await exchange.idle();
  };

  describe.each(ALL)('%s', (role) => {
    it.each(Object.entries(operations))('%s, granted on the key', async (_, operation) => {
      const agent = await newAgent();
      await owner.grantAgentAccess(agent.agentId, agent.member, role);
      await check(operation, role, agent);
    });

    it.each(Object.entries(ringOperations))('%s, granted on the key ring', async (_, operation) => {
      const agent = await newAgent();
      await setPolicy(owner.keys instanceof KMSClient ? owner.keys.keyRing : '', {
        bindings: [{ role: `projects/${PROJECT}/roles/${AGENT_ROLES[role].id}`, members: [agent.member] }],
      });
      await check(operation, role, agent);
    });
  });
});
