/** One trail for everything that an exchange does: agents by id, all leaves of a provider, and ids for Cloud Audit Logs. */

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parseKMSConfig } from '../../src/config/kms-config.js';
import { EMULATOR_ATTESTATION_ROOTS } from '../../src/emulator/index.js';
import { type A2AKeyExchange, InvalidConfigError } from '../../src/index.js';
import { type MemorySink, memorySink, parsed, verifyLines } from '../support/audit.js';
import { newClient, newExchange, startTestEmulator } from '../support/emulator.js';
import { type MigrationWorld, startMigrationWorld } from '../support/migration.js';
import { startTwoLocations, type TwoLocations } from '../support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');
const AUDIT_KEY = 'a2a-audit-signing-key';

const events = (sink: MemorySink): Record<string, unknown>[] =>
  sink.lines.map(parsed).filter(({ type }) => type === 'event');
const operations = (sink: MemorySink, operation: string): Record<string, unknown>[] =>
  events(sink).filter((event) => event['operation'] === operation);

async function verdictOf(exchange: A2AKeyExchange, sink: MemorySink): Promise<unknown> {
  const auditKeys = await exchange.hierarchy.getAuditJwks();
  await exchange.close();
  const { verdict, problems, chains } = await verifyLines(sink.lines, { auditKeys });
  return {
    verdict,
    problems,
    chains: chains.length,
    levels: chains[0]?.signers.map((key) => key.protectionLevel),
  };
}

describe('an exchange with HSM keys', () => {
  it('names agents whose key ids are hashes too, and the endpoint, and is signed in the HSM', async () => {
    const emulator = await startTestEmulator();
    onTestFinished(() => emulator.close());
    const sink = memorySink();
    const exchange = newExchange(emulator, { audit: { sink }, hierarchy: {} });
    await exchange.initialize();
    await exchange.generateAgentKey('invoice-bot');
    await exchange.generateAgentKey('ürün botu');
    await exchange.signMessage('ürün botu', message);
    await exchange.signMessage('invoice-bot', message);
    const restarted = memorySink();
    const other = newExchange(emulator, { audit: { sink: restarted } });
    await other.initialize();
    await other.signMessage('ürün botu', message);
    await other.close();
    expect((await exchange.describeHierarchy()).audit).toMatchObject({
      role: 'audit',
      protectionLevel: 'HSM',
    });
    expect(operations(restarted, 'signDetailed')).toMatchObject([{ agent: 'ürün botu' }]);
    expect(operations(sink, 'signDetailed')).toMatchObject([
      { agent: 'ürün botu', key: expect.stringContaining('/agent_'), protectionLevel: 'HSM' },
      {
        agent: 'invoice-bot',
        configuration: { hsmKeys: true, softwareKeys: false, emulator: emulator.endpoint },
      },
    ]);
    expect(operations(sink, 'generateKey').map(({ agent }) => agent)).toContain('ürün botu');
    const { findings } = await exchange.complianceReport();
    expect(findings.filter(({ check }) => check === 'audit-trail')).toMatchObject([
      { result: 'warning', evidence: { signedBy: 'HSM', failClosed: false, isFailing: false } },
    ]);
    expect(await verdictOf(exchange, sink)).toEqual({
      verdict: 'valid',
      problems: [],
      chains: 1,
      levels: ['HSM'],
    });
  });

  it('names the service account that it acts as, and says where that depends on the agent', async () => {
    const emulator = await startTestEmulator();
    onTestFinished(() => emulator.close());
    const agent = { serviceAccount: 'agent@test-project.iam.gserviceaccount.com' };
    const sinks = [
      { impersonate: 'bot@test-project.iam.gserviceaccount.com' },
      { impersonate: { serviceAccount: 'bot@test-project.iam.gserviceaccount.com' } },
      { impersonateAgents: { bot: agent } },
    ].map((identity) => {
      const sink = memorySink();
      const exchange = newExchange(emulator, { audit: { sink, failClosed: true }, ...identity });
      onTestFinished(() => exchange.close());
      return { sink, exchange };
    });
    await Promise.all(sinks.map(({ exchange }) => exchange.initialize().catch(() => {})));
    const flags = sinks.map(({ sink }) => Object(events(sink)[0])['configuration']);
    expect(flags).toMatchObject([
      { impersonates: 'bot@test-project.iam.gserviceaccount.com' },
      { impersonates: 'bot@test-project.iam.gserviceaccount.com' },
      { impersonatesByKey: true },
    ]);
    expect(flags[2]).not.toHaveProperty('impersonates');
  });

  it('P17 sends the request id with the caller’s reason, and alone without one', async () => {
    const emulator = await startTestEmulator();
    onTestFinished(() => emulator.close());
    const sink = memorySink();
    const keys = newClient(emulator, { audit: { sink, failClosed: true } });
    onTestFinished(() => keys.close());
    await keys.initialize();
    const spec = { name: 'k', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
    await keys.generateKey({ ...spec, protectionLevel: 'HSM' });
    const reasonOf = (): unknown =>
      emulator.requests.entries
        .findLast(({ rpc }) => rpc === 'AsymmetricSign')
        ?.metadata.get('x-goog-request-reason');
    await keys.sign('k', message, { reason: 'ticket 7' });
    expect(reasonOf()).toBe(`ticket 7 [a2a-request=${events(sink).at(-1)?.['requestId']}]`);
    await keys.sign('k', message);
    expect(reasonOf()).toBe(`[a2a-request=${events(sink).at(-1)?.['requestId']}]`);
    expect(events(sink).at(-1)).toMatchObject({ attempts: 1, protectionLevel: 'HSM' });
  });

  it('says which statements of the HSM are required', async () => {
    const emulator = await startTestEmulator();
    onTestFinished(() => emulator.close());
    const sink = memorySink();
    const exchange = newExchange(emulator, {
      audit: { sink },
      requireAttestation: true,
      unboundAttestation: 'accepted',
      attestationRoots: EMULATOR_ATTESTATION_ROOTS,
    });
    onTestFinished(() => exchange.close());
    await exchange.initialize();
    await exchange.generateAgentKey('bot');
    await exchange.signMessage('bot', message);
    expect(operations(sink, 'signDetailed')).toMatchObject([
      { configuration: { requireAttestation: true, unboundAttestation: 'accepted' } },
    ]);
  });

  it('keeps going without a trail as before', async () => {
    const emulator = await startTestEmulator();
    onTestFinished(() => emulator.close());
    const exchange = newExchange(emulator);
    onTestFinished(() => exchange.close());
    await exchange.initialize();
    expect(exchange.audit).toBeUndefined();
    await expect(exchange.keys.getKey(AUDIT_KEY)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('replicas', () => {
  let locations: TwoLocations;
  beforeAll(async () => {
    locations = await startTwoLocations();
  });
  afterAll(() => locations.close());

  it('write to one chain, each call once, and either location signs it', async () => {
    const sink = memorySink();
    const exchange = locations.newExchange({ audit: { sink } });
    await exchange.initialize();
    await exchange.generateAgentKey('bot');
    await exchange.signMessage('bot', message);
    const rings = operations(sink, 'generateKey').map(({ keyRing, key }) => [keyRing, key]);
    expect(new Set(rings.map(([ring]) => ring)).size).toBe(2);
    expect(new Set(rings.map(([, key]) => key)).size).toBe(rings.length);
    expect(operations(sink, 'signDetailed')).toHaveLength(1);
    await locations.first.close();
    await exchange.signMessage('bot', message);
    expect(operations(sink, 'signDetailed').at(-1)).toMatchObject({
      outcome: 'succeeded',
      keyRing: expect.stringContaining('standby'),
    });
    await exchange.close();
    expect(exchange.audit?.stats()).toMatchObject({ unsigned: 0, lostEvents: 0 });
    const versions = sink.lines
      .map(parsed)
      .flatMap(({ statement }) => (statement === undefined ? [] : [statement]));
    expect(versions.at(-1)).toMatchObject({ keyVersion: expect.stringContaining('standby') });
  });
});

describe('a migration', () => {
  let world: MigrationWorld;
  beforeAll(async () => {
    world = await startMigrationWorld();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it('is one chain of both kinds of keys, and the checkpoints say which kind signed them', async () => {
    const software = memorySink();
    const first = await world.start('software-only', { audit: { sink: software } });
    await first.generateAgentKey('bot');
    await first.signMessage('bot', message);
    expect(await verdictOf(first, software)).toMatchObject({ verdict: 'valid', levels: ['SOFTWARE'] });
    const sink = memorySink();
    const exchange = await world.start(2, { audit: { sink } });
    await exchange.migrateAgent('bot', { strategy: 'regenerate' });
    await exchange.signMessage('bot', message);
    expect(operations(sink, 'signDetailed').at(-1)).toMatchObject({
      agent: 'bot',
      protectionLevel: 'HSM',
      configuration: { hsmKeys: true, softwareKeys: true, migrationPhase: 2 },
    });
    expect(await verdictOf(exchange, sink)).toEqual({
      verdict: 'valid',
      problems: [],
      chains: 1,
      levels: ['HSM'],
    });
  });
});

describe('the configuration of a trail', () => {
  it.each([
    ['without a sink', {}, 'audit.sink'],
    ['with an unknown kind of sink', { sink: { type: 'tape' } }, 'audit.sink'],
    [
      'with a logger that drops level info',
      { sink: { type: 'logger', logger: { info() {}, isLevelEnabled: () => false } } },
      'audit.sink',
    ],
    ['with an option that is none', { sink: memorySink(), every: 3 }, 'audit.every'],
    [
      'with limits out of range',
      { sink: memorySink(), checkpointAfterLines: 0 },
      'audit.checkpointAfterLines',
    ],
    ['with a writer id that needs escapes', { sink: memorySink(), writerId: 'a b' }, 'audit.writerId'],
  ])('is refused %s', async (_, audit, field) => {
    const ring = { projectId: 'test-project', locationId: 'global', keyRingId: 'agents' };
    const problems = (): unknown => parseKMSConfig({ ...ring, audit });
    expect(problems).toThrow(InvalidConfigError);
    expect(problems).toThrow(field);
  });
});
