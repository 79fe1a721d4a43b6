import { IAMCredentialsClient } from '@google-cloud/iam-credentials';
import type { KeyManagementServiceClient } from '@google-cloud/kms';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conditionHolds } from '../../src/emulator/iam/conditions.js';
import { requirementsOf } from '../../src/emulator/iam/permissions.js';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import { officialClient } from '../support/emulator.js';
import {
  memberOf,
  OWNER_TOKEN,
  PROJECT,
  serviceAccount,
  startEnforcingEmulator,
  withToken,
} from '../support/iam.js';
import { rejectionOf } from '../support/rejection.js';

const LOCATION = `projects/${PROJECT}/locations/global`;
const RING = `${LOCATION}/keyRings/ring`;
const keyName = (id: string): string => `${RING}/cryptoKeys/${id}`;
const asOwner = withToken(OWNER_TOKEN);
const CUSTOM_ROLE = `projects/${PROJECT}/roles/reader`;

let clock: ManualClock;
let emulator: KmsEmulator;
let client: KeyManagementServiceClient;
let credentials: IAMCredentialsClient;

beforeAll(async () => {
  clock = new ManualClock();
  emulator = await startEnforcingEmulator(
    {
      bindings: [{ role: 'roles/cloudkms.viewer', members: ['domain:auditors.example'] }],
      roles: { [CUSTOM_ROLE]: ['cloudkms.cryptoKeys.get'] },
      serviceAccounts: {
        [serviceAccount('target')]: [
          { role: 'roles/iam.serviceAccountTokenCreator', members: [memberOf('host'), memberOf('middle')] },
        ],
        [serviceAccount('middle')]: [
          { role: 'roles/iam.serviceAccountTokenCreator', members: [memberOf('outer')] },
        ],
      },
    },
    { clock },
  );
  client = officialClient(emulator);
  credentials = new IAMCredentialsClient({
    apiEndpoint: emulator.host,
    port: emulator.port,
    grpc,
    sslCreds: grpc.credentials.createInsecure(),
    clientOptions: { universeDomain: 'googleapis.com' },
  });
  await client.createKeyRing({ parent: LOCATION, keyRingId: 'ring' }, asOwner);
});
afterAll(async () => {
  await client.close();
  await credentials.close();
  await emulator.close();
});

let count = 0;
const newMember = (): { member: string; call: ReturnType<typeof withToken>; token: string } => {
  const member = memberOf(`member-${++count}`);
  const token = emulator.iam.issueToken(member);
  return { member, token, call: withToken(token) };
};
async function newKey(): Promise<string> {
  const cryptoKeyId = `key-${++count}`;
  await client.createCryptoKey(
    { parent: RING, cryptoKeyId, cryptoKey: { purpose: 'ENCRYPT_DECRYPT' } },
    asOwner,
  );
  return keyName(cryptoKeyId);
}
/** The client's types want messages of its own IAM library, which are plain objects on the way. */
const message = (fields: object) => JSON.parse(JSON.stringify(fields));
const grant = (resource: string, role: string, member: string, condition?: string) =>
  client.setIamPolicy(
    message({
      resource,
      policy: {
        version: 3,
        bindings: [
          {
            role,
            members: [member],
            ...(condition !== undefined && { condition: { title: 'c', expression: condition } }),
          },
        ],
      },
    }),
    asOwner,
  );

describe('who calls', () => {
  it('must say so with a token that is known and not expired', async () => {
    expect(await rejectionOf(client.getKeyRing({ name: RING }))).toMatchObject({
      code: 'UNAUTHENTICATED',
      message: expect.stringContaining('missing required authentication credential'),
    });
    expect(await rejectionOf(client.getKeyRing({ name: RING }, withToken('guessed')))).toMatchObject({
      code: 'UNAUTHENTICATED',
      message: expect.stringContaining('invalid authentication credentials'),
    });
    const { call, member } = newMember();
    clock.advance(3_600_000);
    expect(await rejectionOf(client.getKeyRing({ name: RING }, call))).toMatchObject({
      code: 'UNAUTHENTICATED',
      details: [expect.objectContaining({ reason: 'ACCESS_TOKEN_EXPIRED' })],
    });
    const short = withToken(emulator.iam.issueToken(member, { lifetimeSeconds: 60 }));
    expect(await rejectionOf(client.getKeyRing({ name: RING }, short))).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
    emulator.iam.revokeTokens(member);
    expect(await rejectionOf(client.getKeyRing({ name: RING }, short))).toMatchObject({
      code: 'UNAUTHENTICATED',
    });
  });

  it('is refused with the words of Cloud KMS, whether the key exists or not', async () => {
    const { call } = newMember();
    const key = await newKey();
    for (const name of [key, keyName('nowhere')]) {
      const refused = await rejectionOf(client.encrypt({ name, plaintext: Buffer.alloc(1) }, call));
      const permission = 'cloudkms.cryptoKeyVersions.useToEncrypt';
      expect(refused).toMatchObject({
        code: 'PERMISSION_DENIED',
        message: expect.stringContaining(
          `Permission '${permission}' denied on resource '${name}' (or it may not exist).`,
        ),
        details: [
          expect.objectContaining({
            reason: 'IAM_PERMISSION_DENIED',
            metadata: { permission, resource: name },
          }),
        ],
      });
    }
    expect(await rejectionOf(client.getCryptoKey({ name: keyName('nowhere') }, asOwner))).toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('is told of a malformed name before anything else', async () => {
    const { call } = newMember();
    expect(await rejectionOf(client.getCryptoKey({ name: 'key' }, call))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe('what is granted', () => {
  it('on a key counts for that key, on a key ring for its keys, and in the project for everything', async () => {
    const [one, other] = [await newKey(), await newKey()];
    const onKey = newMember();
    await grant(one, 'roles/cloudkms.cryptoKeyEncrypter', onKey.member);
    const plaintext = Buffer.from('data');
    await client.encrypt({ name: one, plaintext }, onKey.call);
    await client.encrypt({ name: `${one}/cryptoKeyVersions/1`, plaintext }, onKey.call);
    expect(await rejectionOf(client.encrypt({ name: other, plaintext }, onKey.call))).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
    const [{ ciphertext }] = await client.encrypt({ name: one, plaintext }, onKey.call);
    const decrypt = client.decrypt({ name: one, ciphertext: Buffer.from(ciphertext ?? '') }, onKey.call);
    expect(await rejectionOf(decrypt)).toMatchObject({ code: 'PERMISSION_DENIED' });

    const onRing = newMember();
    await grant(RING, 'roles/cloudkms.cryptoKeyEncrypter', onRing.member);
    await client.encrypt({ name: other, plaintext }, onRing.call);

    const auditor = withToken(emulator.iam.issueToken('user:a@auditors.example'));
    await client.getCryptoKey({ name: one }, auditor);
    expect(await rejectionOf(client.encrypt({ name: one, plaintext }, auditor))).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  it('to everybody counts for whoever has a token, and as a custom role for what that holds', async () => {
    const key = await newKey();
    await grant(key, CUSTOM_ROLE, 'allAuthenticatedUsers');
    const { call } = newMember();
    await client.getCryptoKey({ name: key }, call);
    expect(await rejectionOf(client.listCryptoKeyVersions({ parent: key }, call))).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  it('under a condition counts while that holds', async () => {
    const key = await newKey();
    const { member, call } = newMember();
    const until = new Date(clock.now() + 1_000).toISOString();
    await grant(key, 'roles/cloudkms.viewer', member, `request.time < timestamp("${until}")`);
    await client.getCryptoKey({ name: key }, call);
    clock.advance(1_000);
    expect(await rejectionOf(client.getCryptoKey({ name: key }, call))).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  it('is what testIamPermissions answers, with nothing for a key that does not exist', async () => {
    const key = await newKey();
    const { member, call } = newMember();
    await grant(key, 'roles/cloudkms.signer', member);
    const permissions = ['cloudkms.cryptoKeyVersions.useToSign', 'cloudkms.cryptoKeys.get'];
    const test = (resource: string, asked: string[] = permissions) =>
      client.testIamPermissions(message({ resource, permissions: asked }), call);
    expect((await test(key))[0].permissions).toEqual(['cloudkms.cryptoKeyVersions.useToSign']);
    expect((await test(keyName('nowhere')))[0].permissions).toEqual([]);
    expect((await test(RING))[0].permissions).toEqual([]);
    const job = { importMethod: 'RSA_OAEP_3072_SHA256', protectionLevel: 'HSM' } as const;
    await client.createImportJob({ parent: RING, importJobId: 'j', importJob: job }, asOwner);
    await grant(`${RING}/importJobs/j`, 'roles/cloudkms.importer', member);
    const use = 'cloudkms.importJobs.useToImport';
    expect((await test(`${RING}/importJobs/j`, [use]))[0].permissions).toEqual([use]);
    for (const [resource, permission] of [
      [key, 'cloudkms.keyRings.get'],
      [key, 'cloudkms.cryptoKeys.create'],
      [RING, 'cloudkms.keyRings.create'],
      [RING, 'cloudkms.cryptoKeys.invented'],
    ] as const) {
      expect(await rejectionOf(test(resource, [permission]))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
  });
});

describe('a policy', () => {
  it('needs the permission to be read and written, known roles and written members', async () => {
    const key = await newKey();
    const { call, member } = newMember();
    const policy = { bindings: [{ role: 'roles/cloudkms.signer', members: [member] }] };
    for (const refused of [
      client.getIamPolicy(message({ resource: key }), call),
      client.setIamPolicy(message({ resource: key, policy }), call),
      client.getIamPolicy(message({ resource: `${LOCATION}/ekmConfig` }), call),
    ])
      expect(await rejectionOf(refused)).toMatchObject({ code: 'PERMISSION_DENIED' });
    for (const binding of [
      { role: 'roles/cloudkms.invented', members: [member] },
      { role: 'signer', members: [member] },
      { role: 'roles/cloudkms.signer', members: ['alice'] },
    ]) {
      const set = client.setIamPolicy(message({ resource: key, policy: { bindings: [binding] } }), asOwner);
      expect(await rejectionOf(set)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    const [set] = await client.setIamPolicy(
      message({
        resource: key,
        policy: { bindings: [...policy.bindings, { role: 'roles/cloudkms.viewer', members: [] }] },
      }),
      asOwner,
    );
    expect(set).toMatchObject({ version: 1, bindings: [{ role: 'roles/cloudkms.signer' }] });
  });

  it('shows conditions to those who ask for version 3, and cannot lose them to a writer with an etag', async () => {
    const key = await newKey();
    await grant(
      key,
      'roles/cloudkms.viewer',
      memberOf('x'),
      'request.time < timestamp("2100-01-01T00:00:00Z")',
    );
    const [plain] = await client.getIamPolicy(message({ resource: key }), asOwner);
    expect(plain.version).toBe(1);
    expect(plain.bindings?.[0]?.role).toMatch(/^roles\/cloudkms\.viewer_withcond_[0-9a-f]{20}$/);
    const whole = { resource: key, options: { requestedPolicyVersion: 3 } };
    const [conditional] = await client.getIamPolicy(message(whole), asOwner);
    expect(conditional).toMatchObject({ version: 3, bindings: [{ condition: { title: 'c' } }] });
    const etag = Buffer.from(conditional.etag ?? '').toString('base64');
    const lossy = client.setIamPolicy(
      message({ resource: key, policy: { version: 1, bindings: [], etag } }),
      asOwner,
    );
    expect(await rejectionOf(lossy)).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('conditionHolds', () => {
  const context = { timeMs: Date.UTC(2026, 0, 1), resource: `${RING}/cryptoKeys/k/cryptoKeyVersions/1` };
  it.each([
    ['request.time < timestamp("2026-01-02T00:00:00Z")', true],
    ["request.time <= timestamp('2026-01-01T00:00:00Z')", true],
    ['request.time > timestamp("2026-01-01T00:00:00Z")', false],
    ['request.time >= timestamp("2026-01-01T00:00:00Z")', true],
    ['request.time < timestamp("soon")', false],
    [
      `resource.name.startsWith("${RING}/") && resource.type == "cloudkms.googleapis.com/CryptoKeyVersion"`,
      true,
    ],
    ['resource.name.endsWith("/2") || resource.service == "cloudkms.googleapis.com"', true],
    ["resource.name != 'x' && resource.name == 'x'", false],
    ['true', false],
    ['!(request.time < timestamp("2026-01-02T00:00:00Z"))', false],
  ])('%s is %s', (expression, holds) => {
    expect(conditionHolds(expression, context)).toBe(holds);
  });
});

it('asks for the permissions that the reference names, for every RPC of Cloud KMS', () => {
  const version = `${keyName('k')}/cryptoKeyVersions/1`;
  const job = `${RING}/importJobs/j`;
  const permissionsOf = (rpc: string, request: object): string[] =>
    requirementsOf(rpc, { ...request }).map(({ permission, resource }) => `${permission} ${resource}`);
  expect(permissionsOf('ImportCryptoKeyVersion', { parent: keyName('k'), importJob: job })).toEqual([
    `cloudkms.importJobs.useToImport ${job}`,
    `cloudkms.cryptoKeyVersions.create ${keyName('k')}`,
  ]);
  const again = { parent: keyName('k'), importJob: job, cryptoKeyVersion: version };
  expect(permissionsOf('ImportCryptoKeyVersion', again)[1]).toBe(
    `cloudkms.cryptoKeyVersions.update ${version}`,
  );
  expect(permissionsOf('UpdateCryptoKeyVersion', { cryptoKeyVersion: { name: version } })).toEqual([
    `cloudkms.cryptoKeyVersions.update ${version}`,
  ]);
  expect(() => permissionsOf('UpdateCryptoKey', {})).toThrow('cryptoKey is required');
  expect(permissionsOf('GetLocation', { name: LOCATION })).toEqual([`cloudkms.locations.get ${LOCATION}`]);
  expect(permissionsOf('TestIamPermissions', { resource: RING })).toEqual([]);
});

describe('GenerateAccessToken', () => {
  const scope = ['https://www.googleapis.com/auth/cloud-platform'];
  const accountName = (name: string): string => `projects/-/serviceAccounts/${serviceAccount(name)}`;
  const as = (name: string) => withToken(emulator.iam.issueToken(memberOf(name)));

  it('gives the token of a service account to those who may create it, and Cloud KMS takes it', async () => {
    const key = await newKey();
    await grant(key, 'roles/cloudkms.viewer', memberOf('target'));
    const request = { name: accountName('target'), scope, lifetime: { seconds: 600 } };
    const [{ accessToken, expireTime }] = await credentials.generateAccessToken(request, as('host'));
    expect(Number(expireTime?.seconds)).toBe(Math.floor(clock.now() / 1_000) + 600);
    const asTarget = withToken(accessToken ?? '');
    await client.getCryptoKey({ name: key }, asTarget);
    clock.advance(600_000);
    expect(await rejectionOf(client.getCryptoKey({ name: key }, asTarget))).toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    expect(await rejectionOf(credentials.generateAccessToken(request, as('stranger')))).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: expect.stringContaining('iam.serviceAccounts.getAccessToken'),
    });
  });

  it('checks every link of a chain of delegates', async () => {
    const request = { name: accountName('target'), scope, delegates: [accountName('middle')] };
    const [{ expireTime }] = await credentials.generateAccessToken(request, as('outer'));
    expect(Number(expireTime?.seconds)).toBe(Math.floor(clock.now() / 1_000) + 3_600);
    expect(await rejectionOf(credentials.generateAccessToken(request, as('host')))).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: expect.stringContaining('iam.serviceAccounts.implicitDelegation'),
    });
    const short = { name: accountName('target'), scope };
    expect(await rejectionOf(credentials.generateAccessToken(short, as('outer')))).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  it.each([
    ['no scope', { name: accountName('target'), scope: [] }],
    ['more than an hour', { name: accountName('target'), scope, lifetime: { seconds: 3_601 } }],
    ['a project in place of the wildcard', { name: accountName('target').replace('-', PROJECT), scope }],
  ])('refuses %s', async (_, request) => {
    expect(await rejectionOf(credentials.generateAccessToken(request, as('host')))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('gives out tokens with the scopes that were asked for, and Cloud KMS wants its own', async () => {
    const narrow = { name: accountName('target'), scope: ['https://www.googleapis.com/auth/drive'] };
    const [{ accessToken }] = await credentials.generateAccessToken(narrow, as('host'));
    expect(await rejectionOf(client.getKeyRing({ name: RING }, withToken(accessToken ?? '')))).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: expect.stringContaining('insufficient authentication scopes'),
    });
  });
});
