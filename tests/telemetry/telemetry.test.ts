/** What a real OpenTelemetry SDK is given of calls over a socket. */

import { readFileSync } from 'node:fs';
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { serverOf } from '../../src/config/endpoint.js';
import { InvalidConfigError, type KMSClient } from '../../src/index.js';
import { loadOpenTelemetry } from '../../src/telemetry/load.js';
import { ATTRIBUTE, METRIC, OPERATION_SPAN_PREFIX, rpcMethod } from '../../src/telemetry/names.js';
import { newClient, newExchange, startTestEmulator } from '../support/emulator.js';
import { softwareProvider } from '../support/software-provider.js';
import { recordTelemetry } from '../support/telemetry.js';

const message = Buffer.from('pay 10 EUR to alice');
const KEY_RING = 'projects/test-project/locations/global/keyRings/agents';
const spec = {
  name: 'agent-alice-signing-key',
  purpose: 'ASYMMETRIC_SIGN',
  algorithm: 'EC_SIGN_P256_SHA256',
  protectionLevel: 'HSM',
} as const;

async function open(): Promise<{ emulator: Awaited<ReturnType<typeof startTestEmulator>>; keys: KMSClient }> {
  const emulator = await startTestEmulator();
  const keys = newClient(emulator, { telemetry: 'on', retry: { initialDelayMs: 1 } });
  onTestFinished(async () => {
    await keys.close();
    await emulator.close();
  });
  await keys.initialize();
  await keys.generateKey(spec);
  return { emulator, keys };
}

describe('spans', () => {
  it('of a signature hang below the span of the caller, with one for each attempt below them', async () => {
    const recorded = recordTelemetry();
    const { emulator, keys } = await open();
    emulator.faults.add({ rpc: 'AsymmetricSign', status: { code: 'UNAVAILABLE' }, times: 1 });
    await trace.getTracer('app').startActiveSpan('order', async (order) => {
      await keys.sign(spec.name, message, { reason: 'ticket 7', correlationId: 'order-9' });
      order.end();
    });
    const spans = recorded.spans();
    const order = spans.find(({ name }) => name === 'order');
    const sign = spans.find(({ name }) => name === 'a2a_kms sign');
    expect(sign?.parentSpanContext?.spanId).toBe(order?.spanContext().spanId);
    expect(sign?.attributes).toEqual({
      'a2a_kms.operation': 'sign',
      'a2a_kms.provider': 'kms',
      'a2a_kms.key_ring': KEY_RING,
      'a2a_kms.key': `${KEY_RING}/cryptoKeys/${spec.name}`,
      'a2a_kms.key_version': `${KEY_RING}/cryptoKeys/${spec.name}/cryptoKeyVersions/1`,
      'a2a_kms.algorithm': 'EC_SIGN_P256_SHA256',
      'a2a_kms.protection_level': 'HSM',
      'a2a_kms.correlation_id': 'order-9',
      'a2a_kms.attempts': 2,
      'a2a_kms.outcome': 'succeeded',
    });
    const attempts = spans.filter(
      ({ parentSpanContext }) => parentSpanContext?.spanId === sign?.spanContext().spanId,
    );
    const rpc = {
      'rpc.system.name': 'grpc',
      'rpc.method': 'google.cloud.kms.v1.KeyManagementService/AsymmetricSign',
      'server.address': emulator.host,
      'server.port': emulator.port,
    };
    expect(
      attempts.map(({ name, kind, attributes, status }) => ({ name, kind, attributes, status })),
    ).toEqual([
      {
        name: 'google.cloud.kms.v1.KeyManagementService/AsymmetricSign',
        kind: SpanKind.CLIENT,
        attributes: {
          ...rpc,
          'a2a_kms.attempt': 1,
          'rpc.response.status_code': 'UNAVAILABLE',
          'error.type': 'UNAVAILABLE',
        },
        status: { code: SpanStatusCode.ERROR },
      },
      {
        name: 'google.cloud.kms.v1.KeyManagementService/AsymmetricSign',
        kind: SpanKind.CLIENT,
        attributes: { ...rpc, 'a2a_kms.attempt': 2, 'rpc.response.status_code': 'OK' },
        status: { code: SpanStatusCode.UNSET },
      },
    ]);
  });

  it('of calls about access name the service of IAM', async () => {
    const recorded = recordTelemetry();
    const { keys } = await open();
    await keys.grantAccess(spec.name, 'user:a@example.com', 'roles/cloudkms.signer');
    await keys.testPermissions(spec.name, ['cloudkms.cryptoKeys.get']);
    const attempts = recorded.spans().filter(({ name }) => name.includes('Iam'));
    expect(attempts.map(({ name, attributes }) => [name, attributes['rpc.method'] === name])).toEqual([
      ['google.iam.v1.IAMPolicy/GetIamPolicy', true],
      ['google.iam.v1.IAMPolicy/SetIamPolicy', true],
      ['google.iam.v1.IAMPolicy/TestIamPermissions', true],
    ]);
  });

  it('of a refused call have our code as error.type, and nothing of what was passed as a key id', async () => {
    const recorded = recordTelemetry();
    const { keys } = await open();
    await expect(keys.sign('a secret / by mistake', message)).rejects.toThrow();
    const sign = recorded.spans().find(({ name }) => name === 'a2a_kms sign');
    expect(sign?.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(sign?.attributes).toEqual({
      'a2a_kms.operation': 'sign',
      'a2a_kms.provider': 'kms',
      'a2a_kms.key_ring': KEY_RING,
      'a2a_kms.attempts': 0,
      'a2a_kms.outcome': 'refused',
      'error.type': 'INVALID_ARGUMENT',
    });
  });

  it('never hold data, digests, signatures, ciphertexts, plaintexts or the reason', async () => {
    const recorded = recordTelemetry();
    const { keys } = await open();
    const box = await keys.generateKey({
      name: 'box',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
      protectionLevel: 'HSM',
    });
    const signature = await keys.sign(spec.name, message, { reason: 'for alice only' });
    await keys.verify(spec.name, message, signature);
    const digest = Buffer.alloc(32, 0x61);
    await keys.signDigest(spec.name, digest);
    const ciphertext = await keys.encrypt(box.name, message);
    await keys.decrypt(box.name, ciphertext);
    const given = JSON.stringify([
      recorded.spans().map(({ name, attributes, events, status }) => ({ name, attributes, events, status })),
      await recorded.points(),
    ]);
    expect(given).toContain('a2a_kms decrypt');
    for (const bytes of [message, signature, digest, ciphertext]) {
      for (const encoding of ['utf8', 'base64', 'base64url', 'hex'] as const) {
        expect(given).not.toContain(bytes.toString(encoding).slice(0, 16));
      }
    }
    expect(given).not.toContain('for alice only');
  });

  it('of software keys have no attempts below them', async () => {
    const recorded = recordTelemetry();
    const keys = softwareProvider({ telemetry: 'on' });
    await keys.generateKey({ ...spec, protectionLevel: 'SOFTWARE' });
    const signature = await keys.sign(spec.name, message);
    await keys.verify(spec.name, message, signature);
    expect(recorded.spans().map(({ name }) => name)).toEqual([
      'a2a_kms generateKey',
      'a2a_kms sign',
      'a2a_kms verify',
    ]);
    expect(recorded.spans().at(-1)?.attributes).toMatchObject({
      'a2a_kms.provider': 'software',
      'a2a_kms.verdict': 'valid',
    });
  });
});

describe('metrics', () => {
  it('count calls by outcome, attempts and RPCs, in seconds, without names of keys', async () => {
    const recorded = recordTelemetry();
    const { keys } = await open();
    await keys.sign(spec.name, message);
    await keys.sign(spec.name, message);
    await expect(keys.sign('missing', message)).rejects.toThrow();
    const points = await recorded.points();
    const common = { 'a2a_kms.operation': 'sign', 'a2a_kms.provider': 'kms', 'a2a_kms.key_ring': KEY_RING };
    expect(points).toContainEqual({
      metric: 'a2a_kms.operation.duration',
      unit: 's',
      attributes: { ...common, 'a2a_kms.outcome': 'succeeded' },
      value: 2,
    });
    expect(points).toContainEqual({
      metric: 'a2a_kms.operation.duration',
      unit: 's',
      attributes: { ...common, 'a2a_kms.outcome': 'failed', 'error.type': 'NOT_FOUND' },
      value: 1,
    });
    expect(points).toContainEqual({
      metric: 'a2a_kms.operation.attempts',
      unit: '{attempt}',
      attributes: common,
      value: 3,
    });
    expect(points).toContainEqual(
      expect.objectContaining({
        metric: 'rpc.client.call.duration',
        attributes: expect.objectContaining({
          'rpc.method': 'google.cloud.kms.v1.KeyManagementService/AsymmetricSign',
          'rpc.response.status_code': 'OK',
        }),
        value: 2,
      }),
    );
    expect(JSON.stringify(points)).not.toContain('alice');
  });

  it('read caches and connections, and add up the clients of one key ring', async () => {
    const recorded = recordTelemetry();
    const { emulator, keys } = await open();
    await keys.sign(spec.name, message);
    const read = async (metric: string, attributes: object): Promise<number | undefined> =>
      (await recorded.points()).find(
        (point) =>
          point.metric === metric &&
          Object.entries(attributes).every(([name, value]) => point.attributes[name] === value),
      )?.value;
    const hits = { 'a2a_kms.cache': 'keyVersions', 'a2a_kms.cache.result': 'hit' };
    const before = (await read('a2a_kms.cache.requests', hits)) ?? 0;
    expect(before).toBe(keys.stats().caches.keyVersions.hits);
    expect(await read('a2a_kms.connection.channels', {})).toBe(1);
    expect(await read('a2a_kms.connection.queue_depth', {})).toBe(0);

    const second = newClient(emulator, { telemetry: 'auto' });
    await second.sign(spec.name, message);
    await second.sign(spec.name, message);
    expect(await read('a2a_kms.connection.channels', {})).toBe(2);
    expect(await read('a2a_kms.cache.requests', hits)).toBe(before + second.stats().caches.keyVersions.hits);
    // The quota is one, whoever uses it.
    const quota = { 'a2a_kms.quota': 'hsm' };
    expect(await read('a2a_kms.quota.tokens', quota)).toBe(3 * 4_500);
    expect(await read('a2a_kms.quota.queue_depth', quota)).toBe(0);
    await second.close();
    expect(await read('a2a_kms.connection.channels', {})).toBe(1);
    await keys.close();
    // A call that is refused because the client is closed does not have it read again.
    await expect(keys.sign(spec.name, message)).rejects.toThrow();
    expect(await read('a2a_kms.connection.channels', {})).toBe(0);
    expect(await read('a2a_kms.cache.requests', hits)).toBe(before + second.stats().caches.keyVersions.hits);
  });

  it('read the agents and ciphers of an exchange, and the state of each location', async () => {
    const recorded = recordTelemetry();
    const emulator = await startTestEmulator();
    const exchange = newExchange(emulator, {
      telemetry: 'on',
      replicas: [{ locationId: 'europe-west3', keyRingId: 'standby' }],
      audit: { sink: { write() {} } },
    });
    onTestFinished(async () => {
      await exchange.close();
      await emulator.close();
    });
    await exchange.initialize();
    await exchange.generateAgentKey('alice');
    await exchange.signMessage('alice', message);
    // The trail goes on after the signature, with what is done in the background: both are read until they are of one moment.
    const points = await vi.waitFor(
      async () => {
        const read = await recorded.points();
        const trail = exchange.stats().auditTrail;
        const named = (name: string): number | undefined => read.find(({ metric }) => metric === name)?.value;
        expect(trail?.events).toBeGreaterThan(0);
        expect(named('a2a_kms.audit.events')).toBe(trail?.events);
        expect(named('a2a_kms.audit.unsigned')).toBe(trail?.unsigned);
        expect(named('a2a_kms.audit.lost_events')).toBe(0);
        expect(named('a2a_kms.audit.failed_checkpoints')).toBe(0);
        return read;
      },
      { timeout: 30_000 },
    );
    expect(points).toContainEqual({
      metric: 'a2a_kms.cache.requests',
      unit: '{request}',
      attributes: { 'a2a_kms.key_ring': KEY_RING, 'a2a_kms.cache': 'agents', 'a2a_kms.cache.result': 'hit' },
      value: 1,
    });
    const states = points.filter(({ metric }) => metric === 'a2a_kms.location.state');
    expect(states.map(({ attributes, value }) => [attributes['a2a_kms.location.state'], value])).toEqual([
      ['closed', 1],
      ['open', 0],
      ['half-open', 0],
      ['closed', 1],
      ['open', 0],
      ['half-open', 0],
    ]);
  });
});

it('spans and metrics name the version of the package', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  const recorded = recordTelemetry();
  await using emulator = await startTestEmulator();
  await using client = newClient(emulator, { telemetry: 'on' });
  await client.initialize();
  expect(recorded.spans()[0]?.instrumentationScope).toMatchObject({ name: 'a2a-kms', version });
  expect(new Set(await recorded.meters())).toEqual(new Set([`a2a-kms@${version}`]));
});

describe('the OpenTelemetry API', () => {
  const missing = (): never => {
    throw Object.assign(new Error("Cannot find module '@opentelemetry/api'"), { code: 'MODULE_NOT_FOUND' });
  };
  const broken = (): never => {
    throw new Error('broken');
  };

  it('is not loaded when telemetry is off', () => {
    expect(loadOpenTelemetry('off', broken)).toBeUndefined();
  });

  it('may be missing with auto, and must not with on', () => {
    expect(loadOpenTelemetry('auto', missing)).toBeUndefined();
    expect(() => loadOpenTelemetry('on', missing)).toThrow(InvalidConfigError);
    expect(() => loadOpenTelemetry('on', missing)).toThrow(
      /telemetry.*@opentelemetry\/api.*is not installed/,
    );
  });

  it('must work where it is installed', () => {
    expect(() => loadOpenTelemetry('auto', broken)).toThrow(/cannot be loaded: Error: broken/);
  });
});

describe('the server that spans name', () => {
  it.each([
    [undefined, 'cloudkms.googleapis.com', 443],
    ['cloudkms.europe-west3.rep.googleapis.com', 'cloudkms.europe-west3.rep.googleapis.com', 443],
    ['proxy.example:8443', 'proxy.example', 8443],
  ])('is for the endpoint %s %s, port %i', (apiEndpoint, address, port) => {
    expect(serverOf({ kind: 'cloud', apiEndpoint, credentialsPath: undefined })).toEqual({ address, port });
  });
});

describe('docs/telemetry.md', () => {
  const documented = new Set(
    [...readFileSync('docs/telemetry.md', 'utf8').matchAll(/^\| `([a-z_]+[^`]*)` \|/gm)].map(
      ([, name]) => name,
    ),
  );

  it('lists every span, metric and attribute, and nothing else', () => {
    const names = [...Object.values(METRIC), ...Object.values(ATTRIBUTE)];
    const spans = [
      `${OPERATION_SPAN_PREFIX}<method>`,
      rpcMethod('<rpc>'),
      rpcMethod('getIamPolicy').replace('GetIamPolicy', '<rpc>'),
    ];
    expect([...documented].sort()).toEqual([...new Set([...names, ...spans])].sort());
  });
});
