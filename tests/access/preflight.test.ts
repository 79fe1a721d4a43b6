import { afterAll, beforeAll, expect, it } from 'vitest';
import { AGENT_ROLE_NAMES, AGENT_ROLES } from '../../src/access/agent-roles.js';
import type { KmsEmulator } from '../../src/emulator/index.js';
import {
  A2AKeyExchange,
  type A2AKeyExchangeConfig,
  AccessControlUnsupportedError,
  InvalidArgumentError,
} from '../../src/index.js';
import { clientConfig, newExchange } from '../support/emulator.js';
import { memberOf, OWNER_TOKEN, PROJECT, serviceAccount, startEnforcingEmulator } from '../support/iam.js';
import { startTwoLocations } from '../support/two-locations.js';

const RING = `projects/${PROJECT}/locations/global/keyRings/agents`;
const KEY = `${RING}/cryptoKeys/agent-bot-signing-key`;
const roleName = (name: (typeof AGENT_ROLE_NAMES)[number]): string =>
  `projects/${PROJECT}/roles/${AGENT_ROLES[name].id}`;

let emulator: KmsEmulator;
let owner: A2AKeyExchange;
beforeAll(async () => {
  emulator = await startEnforcingEmulator({
    roles: Object.fromEntries(
      AGENT_ROLE_NAMES.map((name) => [roleName(name), AGENT_ROLES[name].permissions]),
    ),
    bindings: AGENT_ROLE_NAMES.map((name) => ({ role: roleName(name), members: [memberOf(name)] })),
  });
  owner = as('owner', {}, OWNER_TOKEN);
  await owner.initialize();
  await owner.generateAgentKey('bot');
});
afterAll(async () => {
  await owner.close();
  await emulator.close();
});

function as(
  name: string,
  rest: Partial<A2AKeyExchangeConfig> = {},
  emulatorAccessToken = emulator.iam.issueToken(memberOf(name)),
): A2AKeyExchange {
  return newExchange(emulator, { emulatorAccessToken, ...rest });
}

it('finds nothing missing for an owner, whatever the configuration wants, and makes nothing', async () => {
  await using exchange = as(
    'owner',
    {
      hierarchy: {},
      rotationPolicy: { rotateAfterSeconds: 2_592_000 },
      requireAttestation: true,
    },
    OWNER_TOKEN,
  );
  emulator.requests.clear();
  expect(await exchange.preflight()).toEqual({
    ok: true,
    tasks: ['initialize', 'sign', 'verify', 'create', 'rotate', 'masters', 'attest'],
    missing: [],
    unknown: [],
  });
  expect(new Set(emulator.requests.entries.map(({ rpc }) => rpc))).toEqual(new Set(['TestIamPermissions']));
});

it('says which permission is missing where, what for, and which roles hold it', async () => {
  await using exchange = as('signer');
  const report = await exchange.preflight({ tasks: ['sign', 'batch', 'attest', 'destroy'] });
  expect(report.ok).toBe(false);
  expect(report.missing.find(({ task }) => task === 'attest')).toEqual({
    permission: 'cloudkms.cryptoKeyVersions.get',
    resource: RING,
    task: 'attest',
    reason: "to read the HSM's statements",
    agentRoles: ['rotator', 'administrator'],
    predefinedRole: 'roles/cloudkms.viewer',
  });
  expect(report.missing.some(({ task }) => task === 'sign' || task === 'batch')).toBe(false);
  expect(
    report.missing.filter(({ task }) => task === 'destroy').map(({ predefinedRole }) => predefinedRole),
  ).toContain('roles/cloudkms.admin');
});

it.each([
  ['signer', ['sign', 'batch', 'verify']],
  ['verifier', ['verify']],
  ['rotator', ['rotate', 'verify', 'attest']],
  ['administrator', ['initialize', 'create', 'rotate', 'destroy', 'import', 'access', 'verify', 'attest']],
] as const)('the role %s lacks nothing for its own work', async (role, tasks) => {
  await using exchange = as(role);
  expect(await exchange.preflight({ tasks })).toMatchObject({ ok: true, missing: [] });
});

it('takes what is granted on the key of an agent for that agent alone', async () => {
  await owner.generateAgentKey('other');
  await owner.grantAgentAccess('bot', memberOf('bot'), 'signer');
  await using exchange = as('bot');
  expect(await exchange.preflight({ tasks: ['sign'], agentIds: ['bot'] })).toMatchObject({ ok: true });
  const both = await exchange.preflight({ tasks: ['sign'], agentIds: ['bot', 'other', 'nobody'] });
  expect(new Set(both.missing.map(({ resource }) => resource.split('/').at(-1)))).toEqual(
    new Set(['agent-other-signing-key', 'agent-nobody-signing-key']),
  );
  expect((await exchange.preflight({ tasks: ['sign'] })).missing.map(({ resource }) => resource)).toEqual([
    RING,
    RING,
    RING,
  ]);
});

it('needs less for signing with pinned versions', async () => {
  await owner.grantAgentAccess('bot', memberOf('pinned'), 'roles/cloudkms.signer');
  const pinnedVersions = [{ name: `${KEY}/cryptoKeyVersions/1`, algorithm: 'EC_SIGN_P384_SHA384' as const }];
  const options = { tasks: ['sign' as const], agentIds: ['bot'] };
  await using pinned = as('pinned', { pinnedVersions });
  expect(await pinned.preflight(options)).toMatchObject({ ok: true });
  await using unpinned = as('pinned');
  expect((await unpinned.preflight(options)).missing).toHaveLength(2);
});

it('says what it cannot find out: a key ring that is not to be seen, and what agents may do', async () => {
  await using exchange = as('nobody', { impersonateAgents: { bot: serviceAccount('bot') } });
  const report = await exchange.preflight();
  expect(report.unknown.map(({ reason }) => reason)).toEqual([
    expect.stringContaining('cloudkms.keyRings.create'),
    expect.stringContaining('impersonateAgents'),
  ]);
  expect(report.missing.some(({ permission }) => permission.endsWith('useToSign'))).toBe(false);
});

it('asks in every key ring', async () => {
  const locations = await startTwoLocations();
  try {
    const exchange = locations.newExchange();
    await exchange.initialize();
    expect(await exchange.preflight()).toMatchObject({ ok: true });
    await locations.newExchange().close();
    expect(locations.standby.requests.count('TestIamPermissions')).toBe(1);
  } finally {
    await locations.close();
  }
});

it('takes a key that Cloud KMS says does not exist for one that nobody has rights on', async () => {
  using _ = emulator.faults.add({ rpc: 'TestIamPermissions', status: { code: 'NOT_FOUND' } });
  expect(await owner.preflight({ tasks: ['access'] })).toMatchObject({
    ok: false,
    missing: Array.from({ length: 4 }, () => ({ resource: RING })),
  });
});

it('refuses tasks it does not know, and software keys', async () => {
  for (const options of [
    '{"tasks":["fly"]}',
    '{"tasks":"sign"}',
    '{"agentIds":"bot"}',
    '{"agentIds":[7]}',
    '{"task":[]}',
    '7',
  ])
    await expect(owner.preflight(JSON.parse(options)), options).rejects.toThrow(InvalidArgumentError);
  await expect(owner.preflight({ tasks: JSON.parse('["fly"]') })).rejects.toThrow(
    'options.tasks.0 must be one of initialize, sign, batch,',
  );
  await using exchange = new A2AKeyExchange({
    ...clientConfig(emulator),
    enableHsmKeys: false,
    useSoftwareKeys: true,
    softwareKeyStore: { type: 'memory' },
  });
  await expect(exchange.preflight()).rejects.toThrow(AccessControlUnsupportedError);
});
