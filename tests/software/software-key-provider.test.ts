import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { open } from 'lmdb';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ManualClock } from '../../src/emulator/index.js';
import type { KeySpec } from '../../src/keys/key-provider.js';
import type { ArchivedPublicKey, PublicKeyArchive } from '../../src/keys/public-key-archive.js';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';
import {
  recordingLogger,
  STORE_KEY,
  softwareProvider,
  storeDirectory,
} from '../support/software-provider.js';

const message = Buffer.from('pay 10 EUR to alice');
const DAY_MS = 86_400_000;
const spec = (name: string, rest: Partial<KeySpec> = {}): KeySpec => ({
  name,
  purpose: 'ASYMMETRIC_SIGN',
  algorithm: 'EC_SIGN_P256_SHA256',
  protectionLevel: 'SOFTWARE',
  ...rest,
});
const symmetric = (name: string): KeySpec =>
  spec(name, { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' });

/** What a store that is closed has records of. */
async function placesIn(path: string): Promise<readonly string[]> {
  const database = open<Buffer, string>({ path, noSubdir: false, encoding: 'binary' });
  const places = [...database.getKeys()];
  await database.close();
  return places;
}

/** An archive in memory. */
function memoryArchive(): PublicKeyArchive & { readonly keys: Map<string, ArchivedPublicKey> } {
  const keys = new Map<string, ArchivedPublicKey>();
  return {
    keys,
    put: async (key) => void keys.set(key.keyVersion, key),
    get: async (name) => keys.get(name),
    list: async () => [...keys.values()],
  };
}

afterEach(() => vi.unstubAllEnvs());

it('a listing of many keys leaves the event loop to others, and can be aborted (D11)', async () => {
  const provider = softwareProvider();
  for (let index = 0; index < 600; index++) {
    await provider.generateKey({
      ...{ name: `k-${index}`, purpose: 'ENCRYPT_DECRYPT', protectionLevel: 'SOFTWARE' },
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    });
  }
  expect(await provider.listKeys()).toHaveLength(600);
  for (const list of ['listKeys', 'initialize'] as const) {
    const controller = new AbortController();
    setImmediate(() => controller.abort());
    await expect(provider[list]({ signal: controller.signal })).rejects.toMatchObject({ code: 'ABORTED' });
  }
});

describe('a key of another protection level', () => {
  it.each([{ protectionLevel: 'HSM' as const }, { protectionLevel: undefined }])(
    'is refused and never made in software: $protectionLevel',
    async ({ protectionLevel }) => {
      const provider = softwareProvider();
      await expect(provider.generateKey({ ...spec('invoices'), protectionLevel })).rejects.toMatchObject({
        code: 'UNSUPPORTED_ALGORITHM',
        message: expect.stringContaining("protectionLevel: 'SOFTWARE'"),
      });
      expect(await provider.listKeys()).toEqual([]);
    },
  );
});

describe('the start', () => {
  const start = (logger = recordingLogger()) => {
    softwareProvider({ logger, softwareKeyStore: { type: 'file', path: 'not-opened', key: STORE_KEY } });
    return logger.lines;
  };

  it('in production is a warning with an event that is stable', () => {
    vi.stubEnv('NODE_ENV', 'production');
    expect(start()).toEqual([
      {
        level: 'warn',
        fields: expect.objectContaining({ event: 'software-keys-in-production', store: 'file' }),
        message: expect.stringContaining('NODE_ENV=production'),
      },
    ]);
  });

  it('elsewhere is quiet, but for a store in memory, which says what it is', () => {
    expect(start()).toEqual([]);
    const logger = recordingLogger();
    softwareProvider({ logger });
    expect(logger.lines).toMatchObject([{ level: 'warn', fields: { event: 'software-keys-in-memory' } }]);
  });

  it('is refused where software keys are forbidden', () => {
    expect(() => softwareProvider({ softwareKeys: 'forbidden' })).toThrow(
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        problems: [expect.objectContaining({ field: 'softwareKeys' })],
      }),
    );
    softwareProvider({ softwareKeys: 'allowed' });
  });
});

describe('destruction by the clock', () => {
  it('removes the private key when its time has come, and keeps what it signed verifiable', async () => {
    const clock = new ManualClock();
    const provider = softwareProvider({ clock });
    const { name, primary = '' } = await provider.generateKey(spec('invoices'));
    const signature = await provider.sign(name, message);
    const { versions } = await provider.destroyKey(name);
    const destroyTime = new Date(clock.now() + 30 * DAY_MS);
    expect(versions).toEqual([{ name: primary, destroyTime }]);
    expect(await provider.listKeyVersions(name)).toMatchObject([{ state: 'DESTROY_SCHEDULED', destroyTime }]);
    // Asked again, the time stays.
    clock.advance(DAY_MS);
    expect((await provider.destroyKey(name)).versions).toEqual([{ name: primary, destroyTime }]);
    clock.advance(29 * DAY_MS - 1);
    await expect(provider.sign(primary, message)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    clock.advance(1);
    const [version] = await provider.listKeyVersions(name);
    expect(version).toMatchObject({ state: 'DESTROYED', destroyEventTime: destroyTime });
    expect(version).not.toHaveProperty('destroyTime');
    await expect(provider.restoreKey(name)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    await expect(provider.sign(primary, message)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    await expect(provider.withPrivateKey(primary, async () => {})).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    expect((await provider.destroyKey(primary)).versions).toEqual([]);
    expect(await provider.verify(name, message, signature)).toBe(true);
    expect(await provider.verify(primary, message, signature)).toBe(true);
    expect((await provider.getPublicKey(primary)).toString()).toContain('PUBLIC KEY');
    // Its number is not used again.
    expect((await provider.rotateKey(name)).primary).toBe(`${name}/cryptoKeyVersions/2`);
  });

  it('happens at the next start, too, and in the store', async () => {
    const clock = new ManualClock();
    const softwareKeyStore = { type: 'file', path: storeDirectory(), key: STORE_KEY } as const;
    const first = softwareProvider({ clock, softwareKeyStore });
    const { name } = await first.generateKey(spec('invoices'));
    await first.destroyKey(name);
    await first.close();
    clock.advance(30 * DAY_MS);
    const second = softwareProvider({ clock, softwareKeyStore });
    await second.initialize();
    await second.close();
    expect(await placesIn(softwareKeyStore.path)).toEqual(['header', `key/${name}`]);
    // With the clock back, a key that is there could be restored.
    const third = softwareProvider({ clock: new ManualClock(), softwareKeyStore });
    expect(await third.listKeyVersions(name)).toMatchObject([{ state: 'DESTROYED' }]);
  });
});

describe('the rotation schedule of a symmetric key', () => {
  it('makes one version when its time has come, however many periods have passed', async () => {
    const clock = new ManualClock();
    const provider = softwareProvider({ clock });
    const { name } = await provider.generateKey(symmetric('data'));
    const before = await provider.encrypt(name, message);
    const start = clock.now();
    await provider.setRotationSchedule(name, { rotationPeriodSeconds: 86_400 });
    clock.advance(DAY_MS - 1);
    expect((await provider.getKey(name)).primary).toBe(`${name}/cryptoKeyVersions/1`);
    clock.advance(1);
    expect(await provider.getKey(name)).toMatchObject({
      primary: `${name}/cryptoKeyVersions/2`,
      nextRotationTime: new Date(start + 2 * DAY_MS),
    });
    clock.advance(3.5 * DAY_MS);
    expect(await provider.decrypt(name, before)).toEqual(message);
    expect(await provider.getKey(name)).toMatchObject({
      primary: `${name}/cryptoKeyVersions/3`,
      nextRotationTime: new Date(start + 5 * DAY_MS),
    });
    expect(await provider.decrypt(name, await provider.encrypt(name, message))).toEqual(message);
  });
});

describe('symmetric encryption', () => {
  it('binds the ciphertext to its version', async () => {
    const provider = softwareProvider();
    const { name } = await provider.generateKey(symmetric('data'));
    await provider.rotateKey(name);
    const ciphertext = await provider.encrypt(name, message);
    for (const [offset, value] of [
      [8, 1],
      [8, 3],
      [8, 0],
      [1, 0xff],
      [0, 2],
    ] as const) {
      const changed = Buffer.from(ciphertext);
      changed[offset] = value;
      await expect(provider.decrypt(name, changed)).rejects.toMatchObject({ code: 'DECRYPTION_FAILED' });
    }
    for (const cut of [0, 5, 9, 36])
      await expect(provider.decrypt(name, ciphertext.subarray(0, cut))).rejects.toMatchObject({
        code: 'DECRYPTION_FAILED',
      });
  });

  it('says that the version is not enabled, for encryption and decryption', async () => {
    const provider = softwareProvider();
    const { name } = await provider.generateKey(symmetric('data'));
    const ciphertext = await provider.encrypt(name, message);
    await provider.destroyKey(name);
    for (const call of [() => provider.encrypt(name, message), () => provider.decrypt(name, ciphertext)])
      await expect(call()).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  it('refuses too much additional data, and keys of another purpose', async () => {
    const provider = softwareProvider();
    await provider.generateKey(symmetric('data'));
    await expect(
      provider.encrypt('data', message, { additionalAuthenticatedData: Buffer.alloc(65_537) }),
    ).rejects.toMatchObject({ code: 'DATA_TOO_LARGE' });
    await provider.generateKey(spec('signs'));
    for (const call of [
      () => provider.encrypt('signs', message),
      () => provider.decrypt('signs', message),
      () => provider.getPublicKey('data'),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'UNSUPPORTED_ALGORITHM' });
    await expect(provider.verify('data', message, message)).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
    });
  });
});

describe('withPrivateKey', () => {
  it('lends the PKCS#8 of the version and wipes it afterwards', async () => {
    const provider = softwareProvider();
    const { name, primary = '' } = await provider.generateKey(spec('invoices'));
    let lent: Buffer = Buffer.alloc(0);
    const publicKey = await provider.withPrivateKey(primary, async (pkcs8) => {
      lent = pkcs8;
      const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
      return createPublicKey(privateKey).export({ type: 'spki', format: 'pem' });
    });
    expect(publicKey).toBe((await provider.getPublicKey(name)).toString());
    expect(lent.length).toBeGreaterThan(100);
    expect(lent.every((byte) => byte === 0)).toBe(true);
  });

  it('wipes it after work that fails, too, and passes the failure on', async () => {
    const provider = softwareProvider();
    const { primary = '' } = await provider.generateKey(symmetric('data'));
    let lent: Buffer = Buffer.alloc(0);
    const failure = new Error('no');
    await expect(
      provider.withPrivateKey(primary, async (bytes) => {
        expect(bytes).toHaveLength(32);
        lent = bytes;
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(lent.equals(Buffer.alloc(32))).toBe(true);
  });

  it('refuses a key without a version, a version that is not there, and work that is no function', async () => {
    const provider = softwareProvider();
    const { name, primary = '' } = await provider.generateKey(spec('invoices'));
    const work = async () => {};
    await expect(provider.withPrivateKey(name, work)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(provider.withPrivateKey(primary, JSON.parse('7'))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(provider.withPrivateKey(`${name}/cryptoKeyVersions/2`, work)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});

describe('purgeKeyVersion', () => {
  it('removes the key at once and for good, and leaves the history and what was signed', async () => {
    const clock = new ManualClock();
    const archive = memoryArchive();
    const softwareKeyStore = { type: 'file', path: storeDirectory(), key: STORE_KEY } as const;
    const provider = softwareProvider({ clock, softwareKeyStore, publicKeyArchive: archive });
    const { name, primary = '' } = await provider.generateKey(spec('invoices'));
    const signature = await provider.sign(name, message);
    const purged = await provider.purgeKeyVersion(primary);
    expect(purged).toMatchObject({
      name: primary,
      state: 'DESTROYED',
      destroyEventTime: new Date(clock.now()),
    });
    clock.advance(1_000);
    expect(await provider.purgeKeyVersion(primary)).toEqual(purged);
    expect(archive.keys.get(primary)).toMatchObject({ protectionLevel: 'SOFTWARE' });
    await expect(provider.sign(primary, message)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    await expect(provider.sign(name, message)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
    await expect(provider.restoreKey(primary)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect(await provider.verify(name, message, signature)).toBe(true);
    expect(await provider.listKeyVersions(name)).toEqual([purged]);
    await expect(provider.generateKey(spec('invoices'))).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
    await provider.close();
    expect(await placesIn(softwareKeyStore.path)).toEqual(['header', `key/${name}`]);
  });

  it('refuses a key without a version', async () => {
    const provider = softwareProvider();
    const { name } = await provider.generateKey(spec('invoices'));
    await expect(provider.purgeKeyVersion(name)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('the archive', () => {
  it('has the public key before a version is retired or destroyed', async () => {
    const clock = new ManualClock();
    const archive = memoryArchive();
    const provider = softwareProvider({ clock, publicKeyArchive: archive });
    const { name, primary = '' } = await provider.generateKey(spec('invoices'));
    await provider.rotateKey(name);
    clock.advance(8 * DAY_MS);
    expect(await provider.retire(name)).toMatchObject({ disabled: [primary], scheduled: [] });
    expect(archive.keys.get(primary)?.pem).toBe((await provider.getPublicKey(primary)).toString());
    clock.advance(DAY_MS);
    expect(await provider.retire(name, { retireAfterSeconds: 9 * 86_400 })).toMatchObject({
      disabled: [],
      scheduled: [{ name: primary }],
    });
    await provider.destroyKey(name);
    expect(archive.keys.size).toBe(2);
  });

  it('takes no keys that do not sign', async () => {
    const archive = memoryArchive();
    const provider = softwareProvider({ publicKeyArchive: archive });
    for (const wanted of [
      symmetric('data'),
      spec('reads', { purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' }),
    ])
      await provider.purgeKeyVersion((await provider.generateKey(wanted)).primary ?? '');
    expect(archive.keys.size).toBe(0);
  });

  it('that does not take it keeps the key as it is', async () => {
    const failure = new Error('disk full');
    const publicKeyArchive = { ...memoryArchive(), put: () => Promise.reject(failure) };
    const provider = softwareProvider({ publicKeyArchive });
    const { name, primary = '' } = await provider.generateKey(spec('invoices'));
    for (const call of [() => provider.destroyKey(name), () => provider.purgeKeyVersion(primary)])
      await expect(call()).rejects.toBe(failure);
    expect(await provider.listKeyVersions(name)).toMatchObject([{ state: 'ENABLED' }]);
    await provider.sign(name, message);
  });

  it('is not needed to retire a version: the store keeps the public key', async () => {
    const clock = new ManualClock();
    const provider = softwareProvider({ clock });
    const { name, primary } = await provider.generateKey(spec('invoices'));
    const signature = await provider.sign(name, message);
    await provider.rotateKey(name);
    expect(await provider.retire(name, { graceSeconds: 0 })).toMatchObject({ disabled: [primary], kept: [] });
    expect(await provider.verify(name, message, signature)).toBe(true);
  });
});

describe('versions that wait', () => {
  it('are put to use lowest first, and the others disposed of', async () => {
    const provider = softwareProvider();
    const { name } = await provider.generateKey(spec('invoices'));
    const { prepared: second = '' } = await provider.prepareRotation(name);
    await provider.destroyKey(second);
    const { prepared: third } = await provider.prepareRotation(name);
    await provider.restoreKey(second);
    expect(await provider.activateRotation(name)).toMatchObject({
      primary: second,
      prepared: undefined,
      disposed: [{ name: third, destroyTime: expect.any(Date) }],
    });
  });

  it('do not take the place of one that another caller put to use meanwhile', async () => {
    const provider = softwareProvider();
    const { name } = await provider.generateKey(spec('invoices'));
    const rotated = await Promise.all([provider.rotateKey(name), provider.rotateKey(name)]);
    expect(new Set(rotated.map(({ primary }) => primary))).toEqual(new Set([`${name}/cryptoKeyVersions/2`]));
  });

  it('are used at once where no version is in use', async () => {
    const provider = softwareProvider();
    const { name } = await provider.generateKey(spec('invoices'));
    await provider.destroyKey(name);
    await expect(provider.generateKey(spec('invoices'))).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
    expect((await provider.rotateKey(name)).primary).toBe(`${name}/cryptoKeyVersions/2`);
  });
});

describe('input', () => {
  it.each([
    ['a label that Cloud KMS would not take', { UPPER: 'case' }],
    ['a value that it would not take', { team: 'Not A Value' }],
    ['more labels than a key has', Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, 'x']))],
  ])('is refused: %s', async (_, labels) => {
    const provider = softwareProvider();
    await provider.generateKey(spec('invoices'));
    await expect(provider.updateLabels('invoices', labels)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect((await provider.getKey('invoices')).labels).toEqual({});
  });

  it('is refused: the name of a version that is not there', async () => {
    const provider = softwareProvider();
    const { name } = await provider.generateKey(spec('invoices'));
    const missing = `${name}/cryptoKeyVersions/7`;
    for (const call of [
      () => provider.sign(missing, message),
      () => provider.verify(missing, message, message),
      () => provider.destroyKey(missing),
      () => provider.restoreKey(missing),
      () => provider.purgeKeyVersion(missing),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'NOT_FOUND', resource: missing });
  });

  it('after close is refused, whatever it is', async () => {
    const provider = softwareProvider();
    await provider.generateKey(spec('invoices'));
    await provider.close();
    await provider.close();
    await expect(provider.sign('invoices', message)).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
  });

  it('that was given up before the store was asked changes nothing', async () => {
    const provider = softwareProvider();
    const controller = new AbortController();
    const call = provider.generateKey(spec('invoices'), { signal: controller.signal });
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: 'ABORTED' });
    // RSA takes long enough that the first call would have finished by then.
    await provider.generateKey(
      spec('other', { purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' }),
    );
    expect((await provider.listKeys()).map(({ name }) => name)).toEqual([
      `${provider.keyRing}/cryptoKeys/other`,
    ]);
  });
});

it('key rings that share a store do not see each other’s keys', async () => {
  const softwareKeyStore = { type: 'file', path: storeDirectory(), key: randomBytes(32) } as const;
  const one = softwareProvider({ softwareKeyStore });
  const other = softwareProvider({ softwareKeyStore, keyRingId: 'agents2' });
  await one.generateKey(spec('invoices'));
  await other.generateKey(spec('orders'));
  expect((await one.listKeys()).map(({ name }) => name)).toEqual([`${one.keyRing}/cryptoKeys/invoices`]);
  await expect(other.getKey('invoices')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

it('a provider may be disposed of by the end of its scope', async () => {
  const leave = async () => {
    await using provider = new SoftwareKeyProvider({
      ...KEY_RING,
      softwareKeyStore: { type: 'memory' },
      logger: silentLogger,
    });
    await provider.generateKey(spec('invoices'));
    return provider;
  };
  await expect((await leave()).getKey('invoices')).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
});
