/** The report of an exchange, over a socket. */

import { describe, expect, it, onTestFinished } from 'vitest';
import { CLOUD_HSM_ROOTS, fingerprintsOf } from '../../src/attestation/roots.js';
import { systemClock } from '../../src/clock.js';
import { createComplianceReport, type KmsEvidenceSource } from '../../src/compliance/compliance-report.js';
import type { ComplianceFinding, ComplianceReport } from '../../src/compliance/report.js';
import { complianceSources } from '../../src/compliance/sources.js';
import { EMULATOR_ATTESTATION_ROOTS } from '../../src/emulator/index.js';
import {
  type A2AKeyExchange,
  type A2AKeyExchangeConfig,
  InvalidArgumentError,
  KMSClient,
  OperationAbortedError,
  PermissionDeniedError,
} from '../../src/index.js';
import { newExchange, startTestEmulator, UNHURRIED } from '../support/emulator.js';
import { softwareProvider } from '../support/software-provider.js';

const RING = 'projects/test-project/locations/global/keyRings/agents';
const ROOTS = fingerprintsOf(CLOUD_HSM_ROOTS);
const KEY = `${RING}/cryptoKeys/agent-alice-signing-key`;

async function open(
  config: Partial<A2AKeyExchangeConfig> = {},
): Promise<{ emulator: Awaited<ReturnType<typeof startTestEmulator>>; exchange: A2AKeyExchange }> {
  const emulator = await startTestEmulator();
  const exchange = newExchange(emulator, { deadlines: UNHURRIED, ...config });
  onTestFinished(async () => {
    await exchange.close();
    await emulator.close();
  });
  await exchange.initialize();
  return { emulator, exchange };
}

const found = (report: ComplianceReport, check: string, subject: string): readonly ComplianceFinding[] =>
  report.findings.filter((finding) => finding.check === check && finding.subject === subject);

describe('a report of an exchange', () => {
  it('lists every key with its versions, and says loudly that an emulator protects nothing', async () => {
    const { exchange } = await open({ rotationPolicy: { rotateAfterSeconds: 86_400 } });
    await exchange.generateAgentKey('alice');
    await exchange.rotateAgentKey('alice');
    await exchange.keys.generateKey({
      name: 'other',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
      protectionLevel: 'SOFTWARE',
    });
    const report = await exchange.complianceReport();
    expect(report.emulator).toBe(true);
    expect(found(report, 'endpoint', RING)).toMatchObject([{ result: 'failed' }]);
    expect(report.keyRings).toEqual([RING]);
    expect(report.keys).toMatchObject([
      {
        name: KEY,
        provider: 'kms',
        agentId: 'alice',
        keyVersion: `${KEY}/cryptoKeyVersions/2`,
        ageDays: 0,
        // Statements of the emulator lead up to a root of its own, which nobody pinned.
        versions: [{ attestation: 'invalid' }, { attestation: 'invalid' }],
      },
      { name: `${RING}/cryptoKeys/other`, provider: 'kms', versions: [{ protectionLevel: 'SOFTWARE' }] },
    ]);
    expect(found(report, 'protection-level', `${KEY}/cryptoKeyVersions/2`)).toMatchObject([
      {
        result: 'failed',
        detail: expect.stringContaining('an emulator says that its protection level is HSM'),
        evidence: { protectionLevel: 'HSM' },
      },
    ]);
    expect(found(report, 'protection-level', `${RING}/cryptoKeys/other/cryptoKeyVersions/1`)).toMatchObject([
      { result: 'failed', evidence: { protectionLevel: 'SOFTWARE' } },
    ]);
    expect(found(report, 'attestation', `${KEY}/cryptoKeyVersions/2`)).toMatchObject([{ result: 'failed' }]);
    expect(found(report, 'rotation', KEY)).toMatchObject([{ result: 'passed' }]);
    expect(found(report, 'rotation', `${RING}/cryptoKeys/other`)).toMatchObject([{ result: 'warning' }]);
    expect(found(report, 'inherited-access', RING)).toMatchObject([{ result: 'not-checked' }]);
    expect(found(report, 'cloud-audit-logs', RING)).toMatchObject([{ result: 'not-checked' }]);
    expect(found(report, 'audit-trail', 'configuration')).toMatchObject([{ result: 'failed' }]);
    const counted = Object.values(report.summary).reduce((sum, count) => sum + count, 0);
    expect(counted).toBe(report.findings.length);
    expect(Object.keys(report.summary)).toContain('not-checked');
  });

  it('believes no statement of an emulator, whatever roots it is judged by', async () => {
    const { exchange } = await open({ attestationRoots: EMULATOR_ATTESTATION_ROOTS });
    await exchange.generateAgentKey('alice');
    const report = await exchange.complianceReport();
    const version = `${KEY}/cryptoKeyVersions/1`;
    expect(report.keys[0]?.versions[0]?.attestation).toBe('valid-by-other-roots');
    expect(found(report, 'attestation', version)).toMatchObject([
      { result: 'failed', detail: expect.stringContaining('emulator'), evidence: { verdict: 'valid' } },
    ]);
  });

  it('finds what policies of the ring and of keys grant', async () => {
    const { exchange } = await open();
    await exchange.generateAgentKey('alice');
    await exchange.grantAgentAccess('alice', 'group:ops@example.com', 'roles/cloudkms.signer');
    const report = await exchange.complianceReport();
    expect(found(report, 'access-members', KEY)).toMatchObject([
      { result: 'warning', evidence: { member: 'group:ops@example.com', role: 'roles/cloudkms.signer' } },
    ]);
    expect(found(report, 'access-members', RING)).toMatchObject([{ result: 'passed' }]);
  });

  it.each([
    ['GetIamPolicy', 'access-members', KEY],
    ['GetIamPolicy', 'separation-of-duties', RING],
    ['ListCryptoKeyVersions', 'key', KEY],
    ['ListCryptoKeys', 'key-ring', RING],
    ['GetCryptoKeyVersion', 'attestation', `${KEY}/cryptoKeyVersions/1`],
  ] as const)('says not-checked when %s is not permitted: %s of %s', async (rpc, check, subject) => {
    const { emulator, exchange } = await open({ retry: { maxAttempts: 1 } });
    await exchange.generateAgentKey('alice');
    emulator.faults.add({ rpc, status: { code: 'PERMISSION_DENIED' } });
    const [finding] = found(await exchange.complianceReport(), check, subject);
    expect(finding).toMatchObject({ result: 'not-checked', evidence: { errorCode: 'PERMISSION_DENIED' } });
    expect(finding?.detail).toMatch(/^not checked: /);
  });

  it('counts software keys and those of the store that is open', async () => {
    const keys = softwareProvider();
    await keys.generateKey({
      name: 'old',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
      protectionLevel: 'SOFTWARE',
    });
    const sources = { kms: [], software: [keys], auditTrail: undefined, now: () => 0 };
    const report = await createComplianceReport(sources);
    expect(report.emulator).toBe(false);
    expect(report.keys).toMatchObject([{ name: `${RING}/cryptoKeys/old@software`, provider: 'software' }]);
    expect(found(report, 'software-store', RING)).toMatchObject([
      { result: 'warning', evidence: { keys: 1 } },
    ]);
    expect(found(report, 'software-store', `${RING}/cryptoKeys/old@software`)).toMatchObject([
      { result: 'failed' },
    ]);
    await keys.close();
    await expect(createComplianceReport(sources)).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
  });

  it('tells a software key from the HSM key that takes its place and has the same names', async () => {
    const keys = softwareProvider();
    const { exchange } = await open();
    const spec = { name: 'twin', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
    await keys.generateKey({ ...spec, protectionLevel: 'SOFTWARE' });
    await exchange.keys.generateKey({ ...spec, protectionLevel: 'HSM' });
    const client = exchange.keys;
    if (!(client instanceof KMSClient)) throw new Error('the keys are not in Cloud KMS');
    const report = await createComplianceReport(complianceSources([client, keys], undefined, systemClock));
    const [hsm, software] = ['', '@software'].map(
      (suffix) => `${RING}/cryptoKeys/twin/cryptoKeyVersions/1${suffix}`,
    );
    const levels = report.findings.filter(({ check }) => check === 'protection-level');
    expect(levels.map(({ subject, evidence }) => [subject, evidence['protectionLevel']])).toEqual([
      [hsm, 'HSM'],
      [software, 'SOFTWARE'],
    ]);
    expect(levels[0]?.verifyWith).toMatch(/^gcloud kms keys versions describe 1 /);
    const ofSoftware = report.findings.filter(({ subject }) => subject.includes('@software'));
    expect(ofSoftware.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['destruction', 'protection-level', 'rotation', 'software-store']),
    );
    for (const { verifyWith } of ofSoftware) expect(verifyWith).toMatch(/SoftwareKeyProvider/);
    expect(report.keys.map(({ provider, keyVersion }) => [provider, keyVersion])).toEqual([
      ['kms', hsm],
      ['software', software],
    ]);
    await keys.close();
  });

  it('shows to which host calls went, and by which roots statements were judged', async () => {
    const { exchange, emulator } = await open({ attestationRoots: EMULATOR_ATTESTATION_ROOTS });
    await exchange.generateAgentKey('alice');
    const report = await exchange.complianceReport();
    const [address, port] = emulator.endpoint.split(':');
    expect(found(report, 'endpoint', RING)[0]?.evidence).toEqual({
      emulator: true,
      address,
      port: Number(port),
    });
    expect(found(report, 'attestation', `${KEY}/cryptoKeyVersions/1`)).toMatchObject([
      { result: 'failed', evidence: { roots: fingerprintsOf(EMULATOR_ATTESTATION_ROOTS) } },
    ]);
    expect(report.keys[0]?.versions[0]?.attestation).toBe('valid-by-other-roots');
  });

  it('is the same twice, but for the time', async () => {
    const { exchange } = await open();
    for (const agent of ['carol', 'alice', 'bob']) await exchange.generateAgentKey(agent);
    const [first, second] = [
      await exchange.complianceReport(),
      await exchange.complianceReport({ concurrency: 1 }),
    ];
    expect({ ...second, createdAt: '' }).toEqual({ ...first, createdAt: '' });
    expect(first.keys.map(({ agentId }) => agentId)).toEqual(['alice', 'bob', 'carol']);
  });

  it('is not made for options that are wrong, or when it is aborted', async () => {
    const { exchange } = await open();
    await expect(exchange.complianceReport({ concurrency: 0 })).rejects.toBeInstanceOf(InvalidArgumentError);
    await expect(exchange.complianceReport(JSON.parse('{"cocurrency":2}'))).rejects.toThrow(
      'cocurrency is not an option',
    );
    await expect(exchange.complianceReport(JSON.parse('7'))).rejects.toBeInstanceOf(InvalidArgumentError);
    await expect(exchange.complianceReport({ signal: AbortSignal.abort() })).rejects.toBeInstanceOf(
      OperationAbortedError,
    );
  });
});

describe('evidence of one key', () => {
  const version = {
    name: `${KEY}/cryptoKeyVersions/1`,
    version: 1,
    state: 'ENABLED',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
    createTime: new Date('2026-01-01T00:00:00Z'),
  } as const;
  const key = {
    name: KEY,
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
    createTime: version.createTime,
    primary: version.name,
    labels: { 'a2a-policy': 'v1-r86400' },
    destroyScheduledDurationSeconds: 86_400,
  } as const;
  const source = (rest: Partial<KmsEvidenceSource> = {}): KmsEvidenceSource => ({
    keyRing: RING,
    endpoint: { kind: 'cloud', address: 'cloudkms.googleapis.com', port: 443 },
    listKeys: async () => [key],
    getKey: async () => key,
    listKeyVersions: async () => [version],
    attestKey: async () => ({ verdict: 'valid', checks: [], roots: fingerprintsOf(CLOUD_HSM_ROOTS) }),
    listAccess: async () => [],
    ...rest,
  });
  const reportOf = (
    rest: Partial<KmsEvidenceSource>,
    auditTrail?: Parameters<typeof createComplianceReport>[0]['auditTrail'],
  ): Promise<ComplianceReport> =>
    createComplianceReport({
      kms: [source(rest)],
      software: [],
      auditTrail,
      now: () => Date.parse('2026-01-10T00:00:00Z'),
    });

  it('says that a rotation is overdue, and that a version can be destroyed soon after it was asked for', async () => {
    const report = await reportOf({});
    expect(found(report, 'rotation', KEY)).toMatchObject([
      {
        result: 'failed',
        detail: 'overdue: the version in use is 9 days old and was to be replaced by 2026-01-02.',
        controls: ['PCI-DSS 3.7.4', 'SOC 2 CC6.1'],
        verifyWith: expect.stringContaining(
          'gcloud kms keys describe agent-alice-signing-key --keyring=agents --location=global --project=test-project',
        ),
      },
    ]);
    expect(found(report, 'destruction', KEY)).toMatchObject([{ result: 'warning' }]);
    expect(found(report, 'endpoint', RING)).toMatchObject([{ result: 'passed' }]);
    expect(report.emulator).toBe(false);
  });

  it('claims an HSM and FIPS 140 Level 3 only by the statement of the HSM, and names card and partition', async () => {
    const hsm = { card: 'HSM:1, for FIPS mode', partition: 'HSM:1:PARTN:1, for FIPS mode' };
    const report = await reportOf({
      attestKey: async () => ({ verdict: 'valid', checks: [], hsm, roots: ROOTS }),
    });
    expect(found(report, 'protection-level', version.name)).toMatchObject([
      {
        result: 'passed',
        detail: 'Cloud KMS says that its protection level is HSM; what shows it is the check attestation.',
      },
    ]);
    const claims = report.findings.filter(({ controls }) => controls.includes('FIPS 140 Level 3'));
    expect(claims).toMatchObject([{ check: 'attestation', result: 'passed', evidence: { hsm } }]);
  });

  it('has a version in software as failed, also for FIPS 140', async () => {
    const report = await reportOf({
      listKeyVersions: async () => [{ ...version, protectionLevel: 'SOFTWARE' }],
    });
    expect(found(report, 'protection-level', version.name)).toMatchObject([
      { result: 'failed', controls: expect.arrayContaining(['FIPS 140 Level 3']) },
    ]);
  });

  it.each([
    ['certificate-validity', 'not valid any more'],
    ['fips-mode', 'FIPS mode'],
  ] as const)(
    'has a valid statement with a failed %s for a person to judge, and says why',
    async (name, why) => {
      const checks = [{ name, outcome: 'failed', detail: '' } as const];
      const report = await reportOf({ attestKey: async () => ({ verdict: 'valid', checks, roots: ROOTS }) });
      expect(found(report, 'attestation', version.name)).toMatchObject([
        {
          result: 'warning',
          detail: expect.stringContaining(why),
          evidence: { checks: [`${name}: failed`] },
        },
      ]);
      expect(found(report, 'attestation', version.name)[0]?.detail).toContain(name);
    },
  );

  it('says of a symmetric key that nobody compared it with the statement', async () => {
    const report = await reportOf({
      attestKey: async () => ({ verdict: 'valid-unbound', checks: [], roots: ROOTS }),
    });
    expect(found(report, 'attestation', version.name)[0]?.detail).toContain('was not compared');
  });

  it.each([
    ['valid', 'passed'],
    ['valid-unbound', 'warning'],
    ['imported', 'warning'],
    ['invalid', 'failed'],
  ] as const)('has the attestation verdict %s as %s', async (verdict, result) => {
    const checks = [{ name: 'local', outcome: 'failed', detail: '' } as const];
    const roots = fingerprintsOf(CLOUD_HSM_ROOTS);
    const report = await reportOf({ attestKey: async () => ({ verdict, checks, roots }) });
    expect(found(report, 'attestation', version.name)).toMatchObject([{ result, evidence: { roots } }]);
    expect(report.keys[0]?.versions[0]?.attestation).toBe(verdict);
  });

  it.each([
    ['valid', 'warning', 'valid-by-other-roots'],
    ['valid-unbound', 'warning', 'valid-by-other-roots'],
    ['imported', 'warning', 'imported'],
    ['invalid', 'failed', 'invalid'],
  ] as const)(
    'does not pass a statement that is %s by roots of the configuration',
    async (verdict, result, shown) => {
      const pinned = fingerprintsOf(CLOUD_HSM_ROOTS);
      for (const roots of [
        fingerprintsOf(EMULATOR_ATTESTATION_ROOTS),
        { ...pinned, google: [...pinned.google, ...fingerprintsOf(EMULATOR_ATTESTATION_ROOTS).google] },
      ]) {
        const report = await reportOf({ attestKey: async () => ({ verdict, checks: [], roots }) });
        expect(found(report, 'attestation', version.name)).toMatchObject([
          { result, evidence: { roots }, detail: expect.stringContaining('attestationRoots') },
        ]);
        expect(report.keys[0]?.versions[0]?.attestation).toBe(shown);
      }
    },
  );

  it.each([
    ['cloudkms.googleapis.com', 'passed'],
    ['cloudkms.europe-west3.rep.googleapis.com', 'passed'],
    ['cloudkms-agents.p.googleapis.com', 'passed'],
    ['kms-proxy.example', 'failed'],
    ['googleapis.com.example', 'failed'],
    ['evilgoogleapis.com', 'failed'],
    ['10.0.0.1', 'failed'],
  ] as const)('has calls to %s as %s, and names where they go', async (address, result) => {
    const report = await reportOf({ endpoint: { kind: 'cloud', address, port: 8443 } });
    expect(found(report, 'endpoint', RING)).toMatchObject([
      {
        result,
        detail: expect.stringContaining(`calls go to ${address}`),
        evidence: { emulator: false, address, port: 8443 },
        verifyWith: expect.stringContaining('apiEndpoint'),
      },
    ]);
  });

  it('asks for no statement of versions that are not ENABLED, and lists what is to be destroyed when', async () => {
    const scheduled = {
      ...version,
      state: 'DESTROY_SCHEDULED',
      destroyTime: new Date('2026-02-01T00:00:00Z'),
    } as const;
    const report = await reportOf({
      listKeyVersions: async () => [scheduled],
      getKey: async () => ({ ...key, primary: undefined, destroyScheduledDurationSeconds: 2_592_000 }),
      attestKey: () => Promise.reject(new Error('must not be asked')),
    });
    expect(found(report, 'destruction', version.name)).toMatchObject([
      { detail: 'it will be destroyed on 2026-02-01T00:00:00.000Z.' },
    ]);
    expect(found(report, 'destruction', KEY)).toMatchObject([{ result: 'passed' }]);
    expect(found(report, 'rotation', KEY)).toMatchObject([
      { result: 'warning', detail: 'no version of the key is in use.' },
    ]);
  });

  it('takes what is no failure of a call for what it is', async () => {
    const listKeys = (): never => {
      throw new TypeError('a mistake in the program');
    };
    await expect(reportOf({ listKeys: async () => listKeys() })).rejects.toBeInstanceOf(TypeError);
    const denied = new PermissionDeniedError(
      { operation: 'listKeys', resource: RING, attempts: 1 },
      {
        permission: 'cloudkms.cryptoKeys.list',
        role: 'roles/cloudkms.viewer',
      },
    );
    expect(found(await reportOf({ listKeys: () => Promise.reject(denied) }), 'key-ring', RING)).toHaveLength(
      1,
    );
  });

  it('does not say of a key that duties are apart when the policy of its key ring is hidden', async () => {
    const denied = new PermissionDeniedError(
      { operation: 'listAccess', resource: RING },
      { permission: 'cloudkms.keyRings.getIamPolicy', role: 'roles/iam.securityReviewer' },
    );
    const report = await reportOf({
      listAccess: async (keyId) => {
        if (keyId === undefined) throw denied;
        return [];
      },
    });
    expect(found(report, 'separation-of-duties', KEY)).toMatchObject([{ result: 'not-checked' }]);
    expect(found(report, 'access-members', KEY)).toMatchObject([{ result: 'passed' }]);
  });

  describe('of the audit trail', () => {
    const counts = { events: 5, lostEvents: 0, checkpoints: 1, failedCheckpoints: 0, unsigned: 3 };
    const state = { ...counts, failClosed: true, signedBy: 'HSM', isFailing: false };

    it.each([
      ['that is whole', {}, 'passed', '3 lines wait for the next checkpoint'],
      [
        'that had a checkpoint signed on the second try',
        { failedCheckpoints: 1 },
        'passed',
        '3 lines wait for the next checkpoint',
      ],
      ['that lost events', { lostEvents: 2 }, 'failed', '2 events could not be written'],
      [
        'whose checkpoints fail',
        { failedCheckpoints: 1, isFailing: true },
        'failed',
        'the last checkpoint could not be signed',
      ],
      ['without failClosed', { failClosed: false }, 'warning', 'failClosed is off'],
      ['with a software key', { signedBy: 'SOFTWARE' }, 'warning', 'signed by a SOFTWARE key'],
      ['without a checkpoint', { signedBy: undefined }, 'warning', 'no checkpoint is signed yet'],
      [
        'that lost events without failClosed',
        { lostEvents: 1, failClosed: false },
        'failed',
        '1 events could not be written; failClosed is off',
      ],
    ])('%s', async (_, change, result, detail) => {
      const evidence = { ...state, ...change };
      expect(found(await reportOf({}, evidence), 'audit-trail', 'configuration')).toMatchObject([
        { result, evidence, detail: expect.stringContaining(detail) },
      ]);
    });
  });
});
