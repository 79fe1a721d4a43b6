import { describe, expect, it } from 'vitest';
import { parseAgentConfig } from '../../src/config/agent-config.js';
import { parseKMSConfig } from '../../src/config/kms-config.js';
import { InvalidConfigError } from '../../src/errors/input.js';

const minimal = { projectId: 'acme-prod', locationId: 'europe-west3', keyRingId: 'agents' };

function problemsOf(parse: () => unknown): readonly { field: string; problem: string }[] {
  try {
    parse();
  } catch (error) {
    if (error instanceof InvalidConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('parseKMSConfig', () => {
  it('fills in every default of a minimal configuration', () => {
    const config = parseKMSConfig(minimal, {});
    expect(config).toMatchObject({
      ...minimal,
      endpoint: { kind: 'cloud' },
      deadlines: { operationMs: 10_000, attemptMs: 5_000, generationMs: 60_000, queueMs: 30_000 },
      cache: { keyVersionTtlMs: 60_000 },
      channels: { maxConcurrentCalls: 100 },
    });
  });

  it('takes limits of quotas, and refuses those that it would not keep to', () => {
    expect(parseKMSConfig(minimal, {}).quota).toEqual({ mode: 'adaptive' });
    const quota = { limits: { hsm: 3_000_000 }, hsmTokens: { EC_SIGN_P384_SHA384: 7_000 } };
    expect(parseKMSConfig({ ...minimal, quota }, {}).quota).toEqual({ mode: 'adaptive', ...quota });
    const fieldsOf = (wrong: unknown): string[] =>
      problemsOf(() => parseKMSConfig({ ...minimal, quota: wrong }, {})).map(({ field }) => field);
    expect(fieldsOf({ mode: 'off', limits: 'published' })).toEqual(['quota']);
    expect(fieldsOf({ mode: 'off', hsmTokens: {} })).toEqual(['quota']);
    expect(fieldsOf({ limits: 'unlimited' })).toEqual(['quota.limits']);
    expect(parseKMSConfig({ ...minimal, quota: { limits: 'none' } }, {}).quota.limits).toBe('none');
    expect(fieldsOf({ hsmTokens: { ROT13: 1 } })).toEqual(['quota.hsmTokens.ROT13']);
  });

  const sinks = "must be { type: 'file', path }, { type: 'logger' } or have the method write";
  it.each([
    [{ audit: {} }, 'audit.sink', sinks],
    [{ audit: { sink: 'file' } }, 'audit.sink', sinks],
    [{ audit: { sink: { type: 'files' } } }, 'audit.sink', sinks],
    [{ audit: { sink: { type: 'file' } } }, 'audit.sink.path', 'the path of the file is required'],
    [{ quota: { hsmTokens: { FOO: 1 } } }, 'quota.hsmTokens.FOO', 'is not a Cloud KMS algorithm'],
    [{ quota: { limits: { hms: 1 } } }, 'quota.limits.hms', 'is not an option'],
    [
      { attestationRoots: { google: [], manufacturer: {} } },
      'attestationRoots.manufacturer',
      'must be a list of certificates in PEM',
    ],
  ])('says of %j what is wrong where', (wrong, field, problem) => {
    expect(problemsOf(() => parseKMSConfig({ ...minimal, ...wrong }, {}))).toContainEqual({ field, problem });
  });

  it('lists every problem with the name of its field', () => {
    const config = {
      locationId: 'Europe',
      keyRingId: 'a b',
      channels: { count: 0 },
      deadlines: { operationMs: '5' },
      retries: 3,
      logger: {},
    };
    const fields = problemsOf(() => parseKMSConfig(config, {})).map(({ field }) => field);
    expect(fields.toSorted()).toEqual([
      'channels.count',
      'deadlines.operationMs',
      'keyRingId',
      'locationId',
      'logger',
      'projectId',
      'retries',
    ]);
  });

  it('says what is wrong with one full stop at its end', () => {
    const { message } = new InvalidConfigError(
      problemsOf(() => parseAgentConfig({ ...minimal, rotationPolicy: {} })),
    );
    expect(message).toMatch(/rotateAfterSeconds is .*[^.]\.$/);
  });

  it('names the configuration itself when it is not an object', () => {
    expect(problemsOf(() => parseKMSConfig('acme', {}))).toEqual([
      { field: 'configuration', problem: expect.stringContaining('object') },
    ]);
  });

  it.each([['acme-prod'], ['example.com:acme-prod'], ['123456789012']])(
    'takes %s for a project',
    (projectId) => {
      expect(parseKMSConfig({ ...minimal, projectId }, {}).projectId).toBe(projectId);
    },
  );

  it('takes the emulator from the environment', () => {
    expect(parseKMSConfig(minimal, { KMS_EMULATOR_HOST: '127.0.0.1:9010' }).endpoint).toEqual({
      kind: 'emulator',
      host: '127.0.0.1',
      port: 9010,
    });
  });

  it('prefers the emulator of the configuration to that of the environment', () => {
    const config = { ...minimal, emulatorHost: '[::1]:1234' };
    expect(parseKMSConfig(config, { KMS_EMULATOR_HOST: '127.0.0.1:9010' }).endpoint).toEqual({
      kind: 'emulator',
      host: '[::1]',
      port: 1234,
    });
  });

  it.each(['h:99999', 'h:0', '[zz]', '[::1]:65536', 'h:'])('refuses %s as an endpoint', (address) => {
    for (const name of ['apiEndpoint', 'emulatorHost'] as const) {
      expect(problemsOf(() => parseKMSConfig({ ...minimal, [name]: address }, {}))).toEqual([
        { field: name, problem: expect.stringMatching(/is not (a host name|HOST:PORT)/) },
      ]);
    }
    expect(problemsOf(() => parseKMSConfig(minimal, { KMS_EMULATOR_HOST: address }))).toEqual([
      { field: 'KMS_EMULATOR_HOST', problem: expect.stringContaining('HOST:PORT') },
    ]);
  });

  it('refuses an emulator address without a port, by the name of the variable', () => {
    expect(problemsOf(() => parseKMSConfig(minimal, { KMS_EMULATOR_HOST: 'localhost' }))).toEqual([
      { field: 'KMS_EMULATOR_HOST', problem: expect.stringContaining('HOST:PORT') },
    ]);
  });

  it.each([
    ['KMS_EMULATOR_HOST', minimal, { NODE_ENV: 'production', KMS_EMULATOR_HOST: '127.0.0.1:9010' }],
    ['emulatorHost', { ...minimal, emulatorHost: '127.0.0.1:9010' }, { NODE_ENV: 'production' }],
  ])('refuses an emulator in production that %s names', (field, config, environment) => {
    expect(problemsOf(() => parseKMSConfig(config, environment))).toEqual([
      { field, problem: expect.stringContaining('allowEmulatorInProduction') },
    ]);
  });

  it('allows an emulator in production when the configuration says so', () => {
    const config = { ...minimal, emulatorHost: '127.0.0.1:9010', allowEmulatorInProduction: true };
    expect(parseKMSConfig(config, { NODE_ENV: 'production' }).endpoint.kind).toBe('emulator');
  });

  it('refuses an endpoint and an emulator together', () => {
    const config = { ...minimal, apiEndpoint: 'cloudkms.europe-west3.rep.googleapis.com' };
    expect(problemsOf(() => parseKMSConfig(config, { KMS_EMULATOR_HOST: '127.0.0.1:9010' }))).toEqual([
      { field: 'KMS_EMULATOR_HOST', problem: expect.stringContaining('apiEndpoint') },
    ]);
  });

  it('reports a refused emulator beside the other problems', () => {
    const fields = problemsOf(() =>
      parseKMSConfig({ ...minimal, projectId: '' }, { NODE_ENV: 'production', KMS_EMULATOR_HOST: 'h:1' }),
    );
    expect(fields.map(({ field }) => field)).toEqual(['projectId', 'KMS_EMULATOR_HOST']);
  });
});

describe('parseAgentConfig', () => {
  it('has P-384 in the HSM as the default', () => {
    const { agents } = parseAgentConfig(minimal, {});
    expect(agents.defaultAlgorithm.name).toBe('EC_SIGN_P384_SHA384');
    expect(agents.protectionLevel).toBe('HSM');
  });

  it('takes a short algorithm name', () => {
    expect(
      parseAgentConfig({ ...minimal, defaultAlgorithm: 'ecdsa-p256' }, {}).agents.defaultAlgorithm.name,
    ).toBe('EC_SIGN_P256_SHA256');
  });

  it('refuses Ed25519 in the HSM and names the alternatives', () => {
    expect(problemsOf(() => parseAgentConfig({ ...minimal, defaultAlgorithm: 'ed25519' }, {}))).toEqual([
      { field: 'defaultAlgorithm', problem: expect.stringMatching(/HSM.*EC_SIGN_P256_SHA256/) },
    ]);
  });

  it('takes Ed25519 where SOFTWARE is asked for by name', () => {
    const { agents } = parseAgentConfig(
      { ...minimal, defaultAlgorithm: 'ed25519', protectionLevel: 'SOFTWARE' },
      {},
    );
    expect(agents).toMatchObject({
      protectionLevel: 'SOFTWARE',
      defaultAlgorithm: { name: 'EC_SIGN_ED25519' },
    });
  });

  it.each([['GOOGLE_SYMMETRIC_ENCRYPTION'], ['toString'], ['rot13']])(
    'refuses %s as an algorithm to sign with',
    (defaultAlgorithm) => {
      expect(
        problemsOf(() => parseAgentConfig({ ...minimal, defaultAlgorithm }, {})).map(({ field }) => field),
      ).toEqual(['defaultAlgorithm']);
    },
  );

  it('names the agent whose service account is none', () => {
    const config = { ...minimal, impersonateAgents: { bot: 'b', other: 'a@b.example' } };
    expect(problemsOf(() => parseAgentConfig(config, {}))).toEqual([
      { field: 'impersonateAgents.bot', problem: 'serviceAccount must be the email of a service account' },
    ]);
  });

  it('reports problems of the endpoint too', () => {
    const config = { ...minimal, emulatorHost: '127.0.0.1:1', defaultAlgorithm: 'nope' };
    expect(
      problemsOf(() => parseAgentConfig(config, { NODE_ENV: 'production' })).map(({ field }) => field),
    ).toEqual(['defaultAlgorithm', 'emulatorHost']);
  });
});
