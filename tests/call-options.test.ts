/** P17: the reason and the correlation id of a call reach Cloud Audit Logs and the audit trail, whichever method was called. */

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { KmsEmulator } from '../src/emulator/index.js';
import { type A2AKeyExchange, BatchSigner, type CallOptions, signCompactJws } from '../src/index.js';
import { type MemorySink, memorySink, parsed } from './support/audit.js';
import { newExchange, startTestEmulator } from './support/emulator.js';
import { startMigrationWorld } from './support/migration.js';
import { STANDBY_RING, startTwoLocations } from './support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');
const purpose = { reason: 'ticket 7', correlationId: 'work-7' } as const;

type Case = readonly [
  method: string,
  call: (exchange: A2AKeyExchange, agentId: string, options: CallOptions) => Promise<unknown>,
];

const prune = { unusedFor: 172_800, dryRun: false } as const;
const cases: readonly Case[] = [
  ['initialize', (exchange, _, options) => exchange.initialize(options)],
  ['generateAgentKey', (exchange, _, options) => exchange.generateAgentKey('new', options)],
  ['signMessage', (exchange, agent, options) => exchange.signMessage(agent, message, options)],
  [
    'signMessageDetailed',
    (exchange, agent, options) => exchange.signMessageDetailed(agent, message, options),
  ],
  ['signBatch', (exchange, agent, options) => exchange.signBatch(agent, [message], options)],
  ['signMany', (exchange, agent, { onQuota: _, ...options }) => exchange.signMany(agent, [message], options)],
  [
    'BatchSigner',
    async (exchange, agent, { reason, correlationId }) => {
      await using signer = new BatchSigner(exchange, agent, { reason, correlationId });
      await signer.sign(message);
    },
  ],
  [
    'signCompactJws',
    async (exchange, agent, options) =>
      signCompactJws(
        exchange.keys,
        (await exchange.describeAgent(agent, options)).keyName,
        message,
        {},
        options,
      ),
  ],
  [
    'verifyMessage',
    (exchange, agent, options) => exchange.verifyMessage(agent, message, Buffer.alloc(70), options),
  ],
  ['getPublicKey', (exchange, agent, options) => exchange.getPublicKey(agent, options)],
  ['getPublicKeys', (exchange, agent, options) => exchange.getPublicKeys(agent, options)],
  ['getAgentJwks', (exchange, agent, options) => exchange.getAgentJwks(agent, options)],
  ['attestAgentKey', (exchange, agent, options) => exchange.attestAgentKey(agent, options)],
  ['encryptForAgent', (exchange, agent, options) => exchange.encryptForAgent(agent, message, options)],
  [
    'decryptAsAgent',
    async (exchange, agent, options) =>
      exchange.decryptAsAgent(agent, await exchange.encryptForAgent(agent, message, options), options),
  ],
  [
    'envelope',
    async (exchange, _, { reason, correlationId }) => {
      await using cipher = exchange.envelope({ reason, correlationId });
      await cipher.encrypt(message);
    },
  ],
  ['describeHierarchy', (exchange, _, options) => exchange.describeHierarchy(options)],
  ['rotateAgentKey', (exchange, agent, options) => exchange.rotateAgentKey(agent, options)],
  ['prepareAgentRotation', (exchange, agent, options) => exchange.prepareAgentRotation(agent, options)],
  ['activateAgentRotation', (exchange, agent, options) => exchange.activateAgentRotation(agent, options)],
  [
    'setAgentPrimaryVersion',
    (exchange, agent, options) => exchange.setAgentPrimaryVersion(agent, 1, options),
  ],
  [
    'setRotationPolicy',
    (exchange, agent, options) => exchange.setRotationPolicy(agent, { rotateAfterSeconds: 86_400 }, options),
  ],
  ['rotateDueKeys', (exchange, _, options) => exchange.rotateDueKeys(options)],
  ['pruneStaleAgents', (exchange, _, options) => exchange.pruneStaleAgents({ ...prune, ...options })],
  ['destroyAgent', (exchange, agent, options) => exchange.destroyAgent(agent, options)],
  [
    'restoreAgent',
    async (exchange, agent, options) => {
      await exchange.destroyAgent(agent, options);
      await exchange.restoreAgent(agent, options);
    },
  ],
  ['listAgents', (exchange, _, options) => exchange.listAgents(options)],
  ['describeAgent', (exchange, agent, options) => exchange.describeAgent(agent, options)],
  [
    'grantAgentAccess',
    (exchange, agent, options) =>
      exchange.grantAgentAccess(agent, 'serviceAccount:a@b.iam.gserviceaccount.com', 'signer', options),
  ],
  [
    'revokeAgentAccess',
    (exchange, agent, options) =>
      exchange.revokeAgentAccess(agent, 'serviceAccount:a@b.iam.gserviceaccount.com', 'signer', options),
  ],
  ['listAgentAccess', (exchange, agent, options) => exchange.listAgentAccess(agent, options)],
  ['preflight', (exchange, _, options) => exchange.preflight(options)],
  ['complianceReport', (exchange, _, options) => exchange.complianceReport(options)],
  ['getAgentJwk', (exchange, agent, options) => exchange.hierarchy.getAgentJwk(agent, options)],
  ['getRootJwks', (exchange, _, options) => exchange.hierarchy.getRootJwks(options)],
  ['getAuditJwks', (exchange, _, options) => exchange.hierarchy.getAuditJwks(options)],
  ['endorseAgentKey', (exchange, agent, options) => exchange.hierarchy.endorseAgentKey(agent, options)],
];

/** What was called, and what it said of itself. */
type Purpose = readonly unknown[];
const withReason = (calls: readonly Purpose[]): Purpose[] => calls.map(([rpc]) => [rpc, purpose.reason]);
const withPurpose = (calls: readonly Purpose[]): Purpose[] =>
  calls.map(([operation]) => [operation, purpose.reason, purpose.correlationId]);

/** What the calls said of themselves; a checkpoint of the trail is none of the caller's. */
const reasonsOf = ({ requests }: KmsEmulator): Purpose[] =>
  requests.entries
    .filter(({ request }) => !JSON.stringify(request).includes('a2a-audit-signing-key/cryptoKeyVersions'))
    .map(({ rpc, metadata }) => [rpc, metadata.get('x-goog-request-reason')?.replace(/ ?\[.*/, '')]);
const purposesOf = (sink: MemorySink, first: number): Purpose[] =>
  sink.lines
    .slice(first)
    .map(parsed)
    .filter(({ type }) => type === 'event')
    .map(({ operation, reason, correlationId }) => [operation, reason, correlationId]);

describe('a caller’s reason and correlation id', () => {
  let emulator: KmsEmulator;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    await using exchange = newExchange(emulator, { hierarchy: {}, audit: { sink: memorySink() } });
    await exchange.initialize();
    for (const [method] of cases) {
      const purpose = /(?:For|As)Agent$/.test(method) ? 'both' : 'signing';
      await exchange.generateAgentKey(method, { purpose, algorithm: 'ecdsa-p256' });
    }
  });
  afterAll(() => emulator.close());

  it.each(cases)('are on every call that %s makes, and in its events', async (method, call) => {
    const sink = memorySink();
    // A process that remembers nothing, so that look-ups show too.
    const exchange = newExchange(emulator, { hierarchy: {}, audit: { sink, failClosed: true } });
    onTestFinished(() => exchange.close());
    await exchange.idle();
    emulator.requests.clear();
    const first = sink.lines.length;
    await call(exchange, method, purpose);
    const reasons = reasonsOf(emulator);
    const purposes = purposesOf(sink, first);
    expect(reasons).toEqual(withReason(reasons));
    expect(purposes.length).toBeGreaterThan(0);
    expect(purposes).toEqual(withPurpose(purposes));
  });

  it.each<Case>([
    [
      'migrateAgent',
      (exchange, agent, options) => exchange.migrateAgent(agent, { strategy: 'import', ...options }),
    ],
    [
      'migrateAllAgents',
      (exchange, _, options) => exchange.migrateAllAgents({ strategy: 'import', ...options }),
    ],
    [
      'purgeMigratedKeys',
      async (exchange, agent, options) => {
        await exchange.migrateAgent(agent, { strategy: 'regenerate', ...options });
        await exchange.purgeMigratedKeys({ dryRun: false, ...options });
      },
    ],
  ])('are on every call that %s makes, in both providers', async (method, call) => {
    await using world = await startMigrationWorld();
    await world.within('software-only', (exchange) => exchange.generateAgentKey(method));
    const sink = memorySink();
    const exchange = await world.start(2, { audit: { sink } });
    // What is known to have been used today is not looked at once more in the background.
    await exchange.describeAgent(method);
    world.emulator.requests.clear();
    const first = sink.lines.length;
    await call(exchange, method, purpose);
    const purposes = purposesOf(sink, first);
    expect(purposes.length).toBeGreaterThan(0);
    expect(purposes).toEqual(withPurpose(purposes));
    const reasons = reasonsOf(world.emulator);
    expect(reasons).toEqual(withReason(reasons));
  });

  it('are on every call that destroying and restoring make in both key rings', async () => {
    const locations = await startTwoLocations();
    onTestFinished(() => locations.close());
    const sink = memorySink();
    const exchange = locations.newExchange({ audit: { sink } });
    await exchange.initialize();
    await exchange.generateAgentKey('bot');
    const first = sink.lines.length;
    for (const emulator of [locations.first, locations.standby]) emulator.requests.clear();
    const { name } = await exchange.keys.getKey('agent-bot-signing-key', purpose);
    await exchange.destroyAgent('bot', { destroyAfter: 86_400, ...purpose });
    await exchange.restoreAgent('bot', purpose);
    await exchange.keys.destroyKey(name, 86_400, purpose);
    // Nothing is scheduled in the second key ring then, which is looked at for that.
    const { locationId, keyRingId } = STANDBY_RING;
    const standby = `projects/test-project/locations/${locationId}/keyRings/${keyRingId}`;
    await exchange.keys.restoreKey(`${standby}/cryptoKeys/agent-bot-signing-key`, purpose);
    await exchange.keys.restoreKey(name, purpose);
    const purposes = purposesOf(sink, first);
    expect(purposes).toEqual(withPurpose(purposes));
    for (const emulator of [locations.first, locations.standby]) {
      const reasons = reasonsOf(emulator);
      expect(reasons.length).toBeGreaterThan(0);
      expect(reasons).toEqual(withReason(reasons));
    }
  });
});
