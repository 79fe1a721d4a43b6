import { createHmac, createPublicKey } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type KmsEmulator, ManualClock, startKmsEmulator } from '../../src/emulator/index.js';
import { RequestLog } from '../../src/emulator/request-log.js';
import { newClient, officialClient, silentLogger, startTestEmulator } from '../support/emulator.js';
import { rejectionOf } from '../support/rejection.js';
import { wrapDirectly } from '../support/wrap-for-import.js';

const LOCATION = 'projects/p/locations/global';
const RING = `${LOCATION}/keyRings/ring`;
/** The official client repeats UNAVAILABLE by itself; here one call is one call. */
const ONCE = { retry: null } as const;

let clock: ManualClock;
let emulator: KmsEmulator;
let client: KeyManagementServiceClient;
const key = `${RING}/cryptoKeys/key`;

beforeAll(async () => {
  clock = new ManualClock();
  emulator = await startTestEmulator({ clock });
  client = officialClient(emulator);
  await client.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
  await client.createCryptoKey({
    parent: RING,
    cryptoKeyId: 'key',
    cryptoKey: { purpose: 'ENCRYPT_DECRYPT' },
  });
});
afterAll(async () => {
  await client.close();
  await emulator.close();
});
beforeEach(() => {
  emulator.faults.clear();
  emulator.requests.clear();
});

/** The mixins' request types are classes; what goes over the wire is a plain object. */
const request = (value: object) => JSON.parse(JSON.stringify(value));

describe('the server', () => {
  it('listens on this machine only, on a free port', () => {
    expect(emulator.host).toBe('127.0.0.1');
    expect(emulator.endpoint).toBe(`127.0.0.1:${emulator.port}`);
  });

  it('answers UNIMPLEMENTED to what Cloud KMS has and it has not', async () => {
    const request = { parent: key, importingKey: `${key}/cryptoKeyVersions/1` };
    expect(await rejectionOf(client.importTrustedKeyWrappedCryptoKeyVersion(request))).toMatchObject({
      code: 'UNIMPLEMENTED',
    });
  });

  it('refuses options that are not usable, naming them', async () => {
    await expect(startKmsEmulator(JSON.parse('{"port":-1,"hsmLatency":5}'))).rejects.toThrow(
      /port: .*hsmLatency: is not an option/,
    );
  });

  it('survives what nobody expected, and says INTERNAL', async () => {
    const errors: string[] = [];
    await using own = await startTestEmulator({
      logger: { ...silentLogger, error: (_fields, text) => void errors.push(text) },
    });
    const ownClient = officialClient(own);
    for (const reason of [new Error('boom'), 'boom']) {
      using _fault = own.faults.add({
        rpc: 'GetKeyRing',
        when: () => {
          throw reason;
        },
      });
      expect(await rejectionOf(ownClient.getKeyRing({ name: RING }, ONCE))).toMatchObject({
        code: 'INTERNAL',
        message: expect.stringContaining('boom'),
      });
    }
    expect(errors).toEqual(['the emulator failed', 'the emulator failed']);
    await ownClient.close();
  });

  it('listens on IPv6 when told so', async () => {
    await using own = await startTestEmulator({ host: '::1' });
    expect(own.endpoint).toBe(`[::1]:${own.port}`);
    await using kms = newClient(own);
    await kms.initialize();
  });

  it('says when the port is taken', async () => {
    await expect(startTestEmulator({ port: emulator.port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('stops at once, with a call that hangs, and may be stopped twice', async () => {
    const own = await startTestEmulator();
    const ownClient = officialClient(own);
    own.faults.add({ rpc: 'ListKeyRings', hang: true });
    const hanging = rejectionOf(ownClient.listKeyRings({ parent: LOCATION }, { timeout: 2_000 }));
    await expect.poll(() => own.requests.count('ListKeyRings')).toBe(1);
    await Promise.all([own.close(), own.close()]);
    expect((await hanging).code).toMatch(/UNAVAILABLE|CANCELLED|DEADLINE_EXCEEDED|INTERNAL/);
    await ownClient.close();
  });

  it('warns that it is no place for real keys', async () => {
    const warnings: string[] = [];
    await using _own = await startTestEmulator({
      logger: { ...silentLogger, warn: (_fields, text) => void warnings.push(text) },
    });
    expect(warnings).toEqual([expect.stringContaining('no place for real keys')]);
  });
});

describe('faults', () => {
  it('strike after, every and at most as often as the rule says', async () => {
    using fault = emulator.faults.add({
      rpc: 'GetKeyRing',
      status: { code: 'NOT_FOUND' },
      after: 1,
      every: 2,
      times: 2,
    });
    const codes: string[] = [];
    for (let call = 0; call < 8; call++) {
      codes.push(
        await client.getKeyRing({ name: RING }).then(
          () => 'OK',
          (error) => String(error.code),
        ),
      );
    }
    expect(codes).toEqual(['OK', 'OK', '5', 'OK', '5', 'OK', 'OK', 'OK']);
    expect(fault.hits).toBe(2);
  });

  it('can be limited to some requests and to none again', async () => {
    const fault = emulator.faults.add({
      rpc: '*',
      status: { code: 'ABORTED', message: 'not this one' },
      when: (request) => request['name'] === RING,
    });
    expect(await rejectionOf(client.getKeyRing({ name: RING }))).toMatchObject({
      code: 'ABORTED',
      message: expect.stringContaining('not this one'),
    });
    await client.getCryptoKey({ name: key });
    fault.remove();
    await client.getKeyRing({ name: RING });
  });

  it('after execution lose the answer, not the effect', async () => {
    emulator.faults.add({
      rpc: 'CreateKeyRing',
      status: { code: 'INTERNAL' },
      applyAfterExecution: true,
      times: 1,
    });
    expect(await rejectionOf(client.createKeyRing({ parent: LOCATION, keyRingId: 'lost' }))).toMatchObject({
      code: 'INTERNAL',
    });
    expect(await rejectionOf(client.createKeyRing({ parent: LOCATION, keyRingId: 'lost' }))).toMatchObject({
      code: 'ALREADY_EXISTS',
    });
  });

  it('delay, and cut the connection', async () => {
    emulator.faults.add({ rpc: 'GetKeyRing', delayMs: 1, dropConnection: true, times: 1 });
    expect((await rejectionOf(client.getKeyRing({ name: RING }, ONCE))).code).toMatch(
      /UNAVAILABLE|INTERNAL|CANCELLED/,
    );
    await client.getKeyRing({ name: RING });
  });
});

describe('the request log', () => {
  it('holds calls with their metadata and outcome', async () => {
    await client.getKeyRing(
      { name: RING },
      { otherArgs: { headers: { 'x-goog-request-reason': 'audit 7' } } },
    );
    await rejectionOf(client.getKeyRing({ name: `${RING}0` }));
    expect(emulator.requests.entries.map(({ rpc, status }) => [rpc, status])).toEqual([
      ['GetKeyRing', 'OK'],
      ['GetKeyRing', 'NOT_FOUND'],
    ]);
    expect(emulator.requests.entries[0]?.metadata.get('x-goog-request-reason')).toBe('audit 7');
    expect(emulator.requests.entries[0]?.request).toEqual({ name: RING });
  });

  it('keeps counting when it forgets', () => {
    const log = new RequestLog(4);
    for (let call = 0; call < 10; call++)
      log.add({ rpc: call % 2 ? 'A' : 'B', request: {}, metadata: new Map(), status: 'OK' });
    expect(log.entries.length).toBeLessThanOrEqual(4);
    expect([log.count(), log.count('A'), log.count('C')]).toEqual([10, 5, 0]);
  });
});

describe('quotas', () => {
  it('are refused in the words of Cloud KMS and come back after a minute, for each project', async () => {
    await using limited = await startTestEmulator({
      clock,
      quota: { readPerMinute: 2, writePerMinute: 1, cryptographicPerMinute: 0 },
    });
    const own = officialClient(limited);
    await own.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
    expect(await rejectionOf(own.createKeyRing({ parent: LOCATION, keyRingId: 'b' }, ONCE))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringContaining(
        "Quota exceeded for quota metric 'Write requests' and limit 'Write requests per minute' of service 'cloudkms.googleapis.com' for consumer",
      ),
      details: [expect.objectContaining({ reason: 'RATE_LIMIT_EXCEEDED' })],
    });
    await own.getKeyRing({ name: RING });
    await own.getKeyRing({ name: RING });
    expect(await rejectionOf(own.getKeyRing({ name: RING }, ONCE))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
    });
    expect(await rejectionOf(own.getKeyRing({ name: RING.replace('/p/', '/q/') }, ONCE))).toMatchObject({
      code: 'NOT_FOUND',
    });
    expect(await rejectionOf(own.encrypt({ name: key, plaintext: Buffer.alloc(1) }, ONCE))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
    });
    expect(await rejectionOf(own.updateCryptoKey({ cryptoKey: { name: key } }, ONCE))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
    });
    clock.advance(60_000);
    await own.getKeyRing({ name: RING });
    await own.close();
  });
});

describe('the mixins', () => {
  it('keep IAM policies with etags', async () => {
    const [empty] = await client.getIamPolicy(request({ resource: key }));
    expect(empty.bindings).toEqual([]);
    const bindings = [{ role: 'roles/cloudkms.signer', members: ['user:bot@example.com'] }];
    const [set] = await client.setIamPolicy(
      request({
        resource: key,
        policy: { bindings, etag: Buffer.from(empty.etag ?? '').toString('base64') },
      }),
    );
    expect((await client.getIamPolicy(request({ resource: key })))[0]).toEqual(set);
    expect(
      await rejectionOf(
        client.setIamPolicy(
          request({
            resource: key,
            policy: { bindings, etag: Buffer.from(empty.etag ?? '').toString('base64') },
          }),
        ),
      ),
    ).toMatchObject({ code: 'ABORTED' });
    await client.setIamPolicy(request({ resource: key, policy: { bindings } }));
    const conditional = [{ ...bindings[0], condition: { expression: 'true', title: 'always' } }];
    expect(
      await rejectionOf(
        client.setIamPolicy(request({ resource: key, policy: { bindings: conditional, version: 1 } })),
      ),
    ).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(
      (
        await client.setIamPolicy(request({ resource: key, policy: { bindings: conditional, version: 3 } }))
      )[0].version,
    ).toBe(3);
    expect(
      await rejectionOf(client.setIamPolicy(request({ resource: key, policy: { version: 2 } }))),
    ).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(
      (
        await client.testIamPermissions(request({ resource: RING, permissions: ['cloudkms.keyRings.get'] }))
      )[0],
    ).toEqual({ permissions: ['cloudkms.keyRings.get'] });
    expect(await rejectionOf(client.getIamPolicy(request({ resource: `${RING}0` })))).toMatchObject({
      code: 'NOT_FOUND',
    });
    expect(await rejectionOf(client.getIamPolicy(request({ resource: 'ring' })))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('know the locations of Cloud KMS', async () => {
    const location: unknown = await client.getLocation({ name: LOCATION });
    expect(location).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          name: LOCATION,
          locationId: 'global',
          metadata: expect.objectContaining({
            type_url: 'type.googleapis.com/google.cloud.kms.v1.LocationMetadata',
          }),
        }),
      ]),
    );
    const ids: unknown[] = [];
    for await (const { locationId } of client.listLocationsAsync({ name: 'projects/p' }))
      ids.push(locationId);
    expect(ids).toEqual(expect.arrayContaining(['us', 'europe', 'global', 'europe-west3', 'nam3']));
    expect(await rejectionOf(client.getLocation({ name: 'projects/p/locations/moon' }))).toMatchObject({
      code: 'NOT_FOUND',
    });
    expect(await rejectionOf(client.getLocation({ name: 'moon' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('keep the operations of deletions', async () => {
    const cryptoKey = { purpose: 'ENCRYPT_DECRYPT', destroyScheduledDuration: { seconds: 86_400 } } as const;
    const [created] = await client.createCryptoKey({ parent: RING, cryptoKeyId: 'gone', cryptoKey });
    const name = `${created.name}/cryptoKeyVersions/1`;
    await client.destroyCryptoKeyVersion({ name });
    clock.advance(86_400_000);
    const [operation] = await client.deleteCryptoKeyVersion({ name });
    expect(await operation.promise()).toHaveLength(3);
    const operationName = operation.latestResponse.name ?? '';
    const [found] = await client.getOperation(request({ name: operationName }));
    expect(found).toMatchObject({ name: operationName, done: true });
    const missing = request({ name: `${LOCATION}/operations/none` });
    expect(await rejectionOf(client.getOperation(missing))).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('serve GetOperation alone of google.longrunning.Operations', async () => {
    const named = request({ name: `${LOCATION}/operations/any` });
    const list = async (): Promise<void> => {
      for await (const _ of client.listOperationsAsync(request({ name: LOCATION })))
        throw new Error('it lists');
    };
    for (const refused of [() => client.cancelOperation(named), () => client.deleteOperation(named), list])
      expect(await rejectionOf(refused())).toMatchObject({ code: 'UNIMPLEMENTED' });
  });
});

describe('the state file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'a2a-kms-state-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('brings everything back after a restart', async () => {
    const stateFile = join(folder, 'keys.json');
    const first = await startTestEmulator({ clock, stateFile, asymmetricGenerationMs: 0 });
    const one = officialClient(first);
    await one.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
    const rotation = { rotationPeriod: { seconds: 86_400 }, nextRotationTime: { seconds: 4e9 } };
    await one.createCryptoKey({
      parent: RING,
      cryptoKeyId: 'key',
      cryptoKey: { purpose: 'ENCRYPT_DECRYPT', labels: { a: 'b' }, ...rotation },
    });
    await one.createCryptoKey({
      parent: RING,
      cryptoKeyId: 'sign',
      cryptoKey: { purpose: 'ASYMMETRIC_SIGN', versionTemplate: { algorithm: 'EC_SIGN_P256_SHA256' } },
    });
    await one.createImportJob({
      parent: RING,
      importJobId: 'job',
      importJob: { importMethod: 'RSA_OAEP_3072_SHA256', protectionLevel: 'HSM' },
    });
    await one.setIamPolicy(
      request({
        resource: key,
        policy: { bindings: [{ role: 'roles/cloudkms.viewer', members: ['user:a@example.com'] }] },
      }),
    );
    const [{ ciphertext }] = await one.encrypt({ name: key, plaintext: Buffer.from('kept') });
    const [before] = await one.getCryptoKey({ name: key });
    const [{ pem }] = await one.getPublicKey({ name: `${RING}/cryptoKeys/sign/cryptoKeyVersions/1` });
    await one.close();
    await first.close();
    expect(readdirSync(folder)).toEqual(['keys.json']);
    expect(statSync(stateFile).mode & 0o777).toBe(0o600);

    await using second = await startTestEmulator({ clock, stateFile });
    const two = officialClient(second);
    expect((await two.getCryptoKey({ name: key }))[0]).toEqual(before);
    expect((await two.decrypt({ name: key, ciphertext: ciphertext ?? '' }))[0].plaintext).toEqual(
      Buffer.from('kept'),
    );
    expect((await two.getPublicKey({ name: `${RING}/cryptoKeys/sign/cryptoKeyVersions/1` }))[0].pem).toBe(
      pem,
    );
    expect((await two.getImportJob({ name: `${RING}/importJobs/job` }))[0].state).toBe('ACTIVE');
    expect((await two.getIamPolicy(request({ resource: key })))[0].bindings).toHaveLength(1);
    await two.close();
  });

  it('makes key pairs anew whose generation was under way', async () => {
    const stateFile = join(folder, 'pending.json');
    const first = await startTestEmulator({ clock, stateFile, asymmetricGenerationMs: 60_000 });
    const one = officialClient(first);
    await one.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
    await one.createCryptoKey({
      parent: RING,
      cryptoKeyId: 'sign',
      cryptoKey: { purpose: 'ASYMMETRIC_SIGN', versionTemplate: { algorithm: 'EC_SIGN_P256_SHA256' } },
    });
    await one.close();
    await first.close();
    await using second = await startTestEmulator({ clock, stateFile, asymmetricGenerationMs: 0 });
    const two = officialClient(second);
    expect(
      (await two.getCryptoKeyVersion({ name: `${RING}/cryptoKeys/sign/cryptoKeyVersions/1` }))[0].state,
    ).toBe('ENABLED');
    await two.close();
  });

  it('keeps imported versions, and fails an import that was under way', async () => {
    const stateFile = join(folder, 'imports.json');
    const first = await startTestEmulator({ clock, stateFile, asymmetricGenerationMs: 100 });
    const one = officialClient(first);
    await one.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
    await one.createCryptoKey({
      parent: RING,
      cryptoKeyId: 'imported',
      cryptoKey: { purpose: 'MAC', versionTemplate: { algorithm: 'HMAC_SHA256' }, importOnly: true },
      skipInitialVersionCreation: true,
    });
    await one.createImportJob({
      parent: RING,
      importJobId: 'job',
      importJob: { importMethod: 'RSA_OAEP_3072_SHA256', protectionLevel: 'SOFTWARE' },
    });
    clock.advance(100);
    const [job] = await one.getImportJob({ name: `${RING}/importJobs/job` });
    const wrappedKey = wrapDirectly(createPublicKey(job.publicKey?.pem ?? ''), 'sha256', Buffer.alloc(32, 7));
    const parent = `${RING}/cryptoKeys/imported`;
    const importOne = () =>
      one.importCryptoKeyVersion({ parent, algorithm: 'HMAC_SHA256', importJob: job.name ?? '', wrappedKey });
    await importOne();
    clock.advance(100);
    await one.getCryptoKeyVersion({ name: `${parent}/cryptoKeyVersions/1` });
    await importOne();
    await one.close();
    await first.close();

    await using second = await startTestEmulator({ clock, stateFile });
    const two = officialClient(second);
    const [versions] = await two.listCryptoKeyVersions({ parent });
    expect(versions.map(({ state, importJob }) => [state, importJob])).toEqual([
      ['ENABLED', job.name],
      ['IMPORT_FAILED', job.name],
    ]);
    const data = Buffer.from('data');
    const [{ mac }] = await two.macSign({ name: versions[0]?.name ?? '', data });
    expect(mac).toEqual(createHmac('sha256', Buffer.alloc(32, 7)).update(data).digest());
    await two.close();
  });

  it('of an algorithm that is not known is refused', async () => {
    const stateFile = join(folder, 'unknown.json');
    const first = await startTestEmulator({ stateFile });
    const one = officialClient(first);
    await one.createKeyRing({ parent: LOCATION, keyRingId: 'ring' });
    await one.createCryptoKey({
      parent: RING,
      cryptoKeyId: 'key',
      cryptoKey: { purpose: 'ENCRYPT_DECRYPT' },
    });
    await one.close();
    await first.close();
    writeFileSync(
      stateFile,
      readFileSync(stateFile, 'utf8').replaceAll('GOOGLE_SYMMETRIC_ENCRYPTION', 'ROT13'),
    );
    await expect(startTestEmulator({ stateFile })).rejects.toThrow('is not a state file of this version');
  });

  it.each([
    ['no JSON', 'not json'],
    ['of another version', '{"format":"a2a-kms-emulator-state","version":99,"kms":{},"iam":{}}'],
  ])('is refused and left alone when it is %s', async (_, content) => {
    const stateFile = join(folder, 'other.json');
    writeFileSync(stateFile, content);
    await expect(startTestEmulator({ stateFile })).rejects.toThrow('is not a state file of this version');
    expect(readFileSync(stateFile, 'utf8')).toBe(content);
  });

  it('is used by one emulator at a time, and free again when that one stopped or could not start', async () => {
    const stateFile = join(folder, 'shared.json');
    const first = await startTestEmulator({ stateFile });
    await expect(startTestEmulator({ stateFile })).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    await first.close();
    await using other = await startTestEmulator();
    await expect(startTestEmulator({ stateFile, port: other.port })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
    await (await startTestEmulator({ stateFile })).close();
  });

  it('that cannot be read is an error', async () => {
    await expect(startTestEmulator({ stateFile: folder })).rejects.toMatchObject({ code: 'EISDIR' });
  });
});

describe('ManualClock', () => {
  it('runs timers in order, at their own times, and not when they were cancelled', () => {
    const own = new ManualClock(0);
    const seen: string[] = [];
    own.setTimer(20, () => seen.push(`b at ${own.now()}`));
    own.setTimer(10, () => {
      seen.push(`a at ${own.now()}`);
      own.setTimer(5, () => seen.push(`nested at ${own.now()}`));
    });
    const cancel = own.setTimer(15, () => seen.push('never'));
    cancel();
    own.advance(30);
    expect(seen).toEqual(['a at 10', 'nested at 15', 'b at 20']);
    expect([own.now(), own.pendingTimers]).toEqual([30, 0]);
    expect(() => own.advanceTo(29)).toThrow(RangeError);
  });
});
