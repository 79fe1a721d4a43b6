import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from 'lmdb';
import { describe, expect, it, vi } from 'vitest';
import type { KeySpec } from '../../src/keys/key-provider.js';
import { cryptoKeyName, keyRingName } from '../../src/keys/resource-name.js';
import { FileKeyStore } from '../../src/software/store/file-key-store.js';
import { inTransaction, requireReadable } from '../../src/software/store/lmdb-database.js';
import { MemoryKeyStore } from '../../src/software/store/memory-key-store.js';
import { seal } from '../../src/software/store/sealing.js';
import { KEY_RING } from '../support/emulator.js';
import {
  recordingLogger,
  STORE_KEY,
  softwareProvider,
  storeDirectory,
} from '../support/software-provider.js';

const message = Buffer.from('pay 10 EUR to alice');
const spec = (name: string, rest: Partial<KeySpec> = {}): KeySpec => ({
  name,
  purpose: 'ASYMMETRIC_SIGN',
  algorithm: 'EC_SIGN_P256_SHA256',
  protectionLevel: 'SOFTWARE',
  ...rest,
});
const onFile = (path: string, secret: { key: Buffer } | { passphrase: string } = { key: STORE_KEY }) =>
  softwareProvider({ softwareKeyStore: { type: 'file', path, ...secret } });

/** The database behind the store's back. */
async function tamper(path: string, work: (database: ReturnType<typeof open<Buffer, string>>) => void) {
  const database = open<Buffer, string>({ path, noSubdir: false, encoding: 'binary' });
  database.transactionSync(() => work(database));
  await database.close();
}

/** What the directory holds, byte for byte. */
const snapshot = (path: string) => readFileSync(join(path, 'data.mdb')).toString('base64');

describe('a file store', () => {
  it('has the keys again after it was closed and opened', async () => {
    const path = storeDirectory();
    const first = onFile(path);
    const { name } = await first.generateKey(spec('invoices'));
    const signature = await first.sign(name, message);
    await first.close();
    const second = onFile(path);
    expect(await second.verify(name, message, signature)).toBe(true);
    expect(
      await first.verify(name, message, await second.sign(name, message)).catch(({ code }) => code),
    ).toBe('CLIENT_CLOSED');
  });

  it('is its owner’s alone: directory 0700, files 0600', async () => {
    const path = storeDirectory();
    await onFile(path).initialize();
    expect(statSync(path).mode & 0o777).toBe(0o700);
    const modes = readdirSync(path).map((file) => [file, statSync(join(path, file)).mode & 0o777]);
    expect(modes.sort()).toEqual([
      ['data.mdb', 0o600],
      ['lock.mdb', 0o600],
    ]);
  });

  it('refuses a directory that others may look into, and leaves it as it is', async () => {
    const path = storeDirectory();
    mkdirSync(path);
    chmodSync(path, 0o750);
    await expect(onFile(path).initialize()).rejects.toMatchObject({
      code: 'KEY_STORE',
      operation: 'initialize',
      message: expect.stringMatching(/mode 750.*chmod 700/),
    });
    expect(readdirSync(path)).toEqual([]);
  });

  it('takes back the modes of files that were put there from a copy', async () => {
    const path = storeDirectory();
    const first = onFile(path);
    await first.initialize();
    await first.close();
    chmodSync(join(path, 'data.mdb'), 0o644);
    await onFile(path).initialize();
    expect(statSync(join(path, 'data.mdb')).mode & 0o777).toBe(0o600);
  });

  it('says so when its path is a file', async () => {
    const path = storeDirectory();
    writeFileSync(path, 'not a directory');
    await expect(onFile(path).initialize()).rejects.toMatchObject({ code: 'KEY_STORE' });
  });

  it('says so when what is there is no database', async () => {
    const path = storeDirectory();
    mkdirSync(path, { mode: 0o700 });
    writeFileSync(join(path, 'data.mdb'), Buffer.alloc(50_000, 'x'));
    await expect(onFile(path).initialize()).rejects.toMatchObject({ code: 'KEY_STORE' });
  });

  it('says so when the database cannot be opened', async () => {
    const path = storeDirectory();
    mkdirSync(join(path, 'data.mdb'), { recursive: true, mode: 0o700 });
    await expect(onFile(path).initialize()).rejects.toMatchObject({
      code: 'KEY_STORE',
      message: expect.stringContaining('cannot be opened'),
    });
  });

  it('says so when a change cannot be written', async () => {
    const cause = new Error('MDB_MAP_FULL');
    const full = { childTransaction: () => Promise.reject(cause) };
    await expect(
      inTransaction({ operation: 'generateKey', resource: 'key' }, full, () => undefined),
    ).rejects.toMatchObject({ code: 'KEY_STORE', operation: 'generateKey', cause });
  });

  it('says so when it cannot be read, as in two containers whose processes have the same id', async () => {
    const cause = new TypeError("Cannot read properties of null (reading 'address')");
    let closed = false;
    const unreadable = {
      getBinary: () => {
        throw cause;
      },
      close: async () => {
        closed = true;
      },
    };
    await expect(
      requireReadable({ operation: 'initialize', resource: 'ring' }, unreadable, '/keys'),
    ).rejects.toMatchObject({
      ...{ code: 'KEY_STORE', operation: 'initialize', cause },
      message: expect.stringMatching(/\/keys.*process [0-9]+.*PID namespace/),
    });
    expect(closed).toBe(true);
  });

  it('says which package to install when it is not there', async () => {
    vi.resetModules();
    vi.doMock('lmdb', () => {
      throw new Error('Cannot find package');
    });
    const { FileKeyStore } = await import('../../src/software/store/file-key-store.js');
    const store = new FileKeyStore({ path: storeDirectory(), secret: { key: Buffer.from(STORE_KEY) } });
    await expect(store.open({ operation: 'initialize', resource: 'ring' })).rejects.toMatchObject({
      code: 'KEY_STORE',
      message: expect.stringContaining('npm install lmdb'),
    });
    vi.doUnmock('lmdb');
  });

  it('shows a transaction what it wrote itself, and keeps nothing of one that fails', async () => {
    const context = { operation: 'test', resource: 'ring' };
    const name = cryptoKeyName(keyRingName(KEY_RING), 'invoices');
    const stores = [
      new MemoryKeyStore(),
      new FileKeyStore({ path: storeDirectory(), secret: { key: Buffer.from(STORE_KEY) } }),
    ];
    for (const store of stores) {
      await store.open(context);
      const failure = new Error('no');
      const failing = store.transact(context, (transaction) => {
        transaction.putKey({
          name,
          purpose: 'ENCRYPT_DECRYPT',
          algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
          labels: {},
          createTimeMs: 0,
          destroyScheduledDurationSeconds: 86_400,
          versions: [],
        });
        expect(transaction.getKey(name)).toMatchObject({ name });
        throw failure;
      });
      await expect(failing).rejects.toBe(failure);
      expect(store.read(context, (view) => view.getKey(name))).toBeUndefined();
      await store.close();
    }
  });

  it('wipes the key that it was given when it is open, and when it is closed unopened', async () => {
    const context = { operation: 'test', resource: 'ring' };
    for (const opens of [true, false]) {
      const key = Buffer.from(STORE_KEY);
      const store = new FileKeyStore({ path: storeDirectory(), secret: { key } });
      if (opens) await store.open(context);
      else await store.close();
      expect(key.equals(Buffer.alloc(32))).toBe(true);
      await store.close();
    }
  });

  it('keeps the key that it was given for another try when it could not be opened', async () => {
    const path = storeDirectory();
    writeFileSync(path, 'not a directory');
    const provider = onFile(path);
    await expect(provider.initialize()).rejects.toMatchObject({ code: 'KEY_STORE' });
    rmSync(path);
    await provider.initialize();
  });

  it('is not opened by a call that was under way when it was closed', async () => {
    const store = new FileKeyStore({ path: storeDirectory(), secret: { passphrase: 'correct horse' } });
    await store.close();
    await expect(store.open({ operation: 'sign', resource: 'ring' })).rejects.toMatchObject({
      code: 'CLIENT_CLOSED',
    });
  });

  it('holds neither names nor labels nor private keys in clear', async () => {
    const path = storeDirectory();
    const provider = onFile(path);
    const { primary } = await provider.generateKey(
      spec('invoices', { labels: { owner: 'the-marked-owner' } }),
    );
    const bytes = readFileSync(join(path, 'data.mdb'));
    expect(bytes.includes('the-marked-owner')).toBe(false);
    await provider.withPrivateKey(primary ?? '', async (pkcs8) => {
      expect(bytes.includes(pkcs8.subarray(-32))).toBe(false);
    });
  });
});

describe('the secret of a file store', () => {
  it('that is wrong is refused, with nothing changed, and the right one works afterwards', async () => {
    const path = storeDirectory();
    const right = onFile(path, { passphrase: 'correct horse' });
    const { name } = await right.generateKey(spec('invoices'));
    await right.close();
    const before = snapshot(path);
    const wrong = onFile(path, { passphrase: 'battery staple' });
    for (const call of [() => wrong.initialize(), () => wrong.sign(name, message)])
      await expect(call()).rejects.toMatchObject({
        code: 'KEY_STORE_LOCKED',
        message: expect.stringContaining('passphrase is not the right one'),
      });
    await expect(onFile(path, { key: STORE_KEY }).initialize()).rejects.toMatchObject({
      code: 'KEY_STORE_LOCKED',
      message: expect.stringContaining('opened by a passphrase'),
    });
    expect(snapshot(path)).toBe(before);
    await onFile(path, { passphrase: 'correct horse' }).sign(name, message);
  });

  it('may be 32 bytes; others and a passphrase do not open it', async () => {
    const path = storeDirectory();
    await onFile(path).initialize();
    await expect(onFile(path, { key: Buffer.alloc(32, 8) }).initialize()).rejects.toMatchObject({
      code: 'KEY_STORE_LOCKED',
      message: expect.stringContaining('the key is not the right one'),
    });
    await expect(onFile(path, { passphrase: 'a passphrase' }).initialize()).rejects.toMatchObject({
      code: 'KEY_STORE_LOCKED',
      message: expect.stringContaining('opened by a key'),
    });
  });

  it('is changed in one step: the new one opens everything, the old one nothing', async () => {
    const path = storeDirectory();
    const provider = onFile(path);
    const { name } = await provider.generateKey(spec('invoices'));
    await provider.rotateKey(name);
    const key = Buffer.alloc(32, 9);
    await provider.rotateStoreKey({ key });
    key.fill(0);
    const signature = await provider.sign(`${name}/cryptoKeyVersions/1`, message);
    await provider.generateKey(spec('made-after'));
    await provider.close();
    await expect(onFile(path).initialize()).rejects.toMatchObject({ code: 'KEY_STORE_LOCKED' });
    const renewed = onFile(path, { key: Buffer.alloc(32, 9) });
    expect(await renewed.verify(name, message, signature)).toBe(true);
    await renewed.sign(name, message);
    await renewed.sign('made-after', message);
  });

  it('may be changed from a key to a passphrase', async () => {
    const path = storeDirectory();
    const provider = onFile(path);
    const { name } = await provider.generateKey(spec('invoices'));
    await provider.rotateStoreKey({ passphrase: 'correct horse' });
    await provider.close();
    await onFile(path, { passphrase: 'correct horse' }).sign(name, message);
  });

  it('locks out the processes that opened the store with the one before', async () => {
    const path = storeDirectory();
    const [one, other] = [onFile(path), onFile(path)];
    const { name } = await one.generateKey(spec('invoices'));
    await other.sign(name, message);
    await one.rotateStoreKey({ key: Buffer.alloc(32, 9) });
    for (const call of [
      () => other.sign(name, message),
      () => other.rotateKey(name),
      () => other.rotateStoreKey({ key: STORE_KEY }),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'KEY_STORE_LOCKED' });
    expect(await one.listKeyVersions(name)).toHaveLength(1);
    await one.sign(name, message);
  });

  it('may be changed twice at the same time, and while keys are used', async () => {
    const path = storeDirectory();
    const provider = onFile(path);
    const { name } = await provider.generateKey(spec('invoices'));
    const keys = [Buffer.alloc(32, 9), Buffer.alloc(32, 10)];
    const signing = Array.from({ length: 50 }, () => provider.sign(name, message));
    await Promise.all([...keys.map((key) => provider.rotateStoreKey({ key })), ...signing]);
    await provider.sign(name, message);
    await provider.close();
    const opened = await Promise.allSettled(keys.map((key) => onFile(path, { key }).sign(name, message)));
    expect(opened.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it.each([
    { passphrase: 'short' },
    { key: Buffer.alloc(31) },
    { passphrase: 'long enough', key: Buffer.alloc(32) },
    undefined,
  ])('is refused when the new one is not usable: %o', async (secret) => {
    await expect(
      onFile(storeDirectory()).rotateStoreKey(JSON.parse(JSON.stringify(secret ?? null))),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('does not exist for a store in memory', async () => {
    await expect(softwareProvider().rotateStoreKey({ key: STORE_KEY })).rejects.toMatchObject({
      code: 'KEY_STORE',
    });
  });
});

describe('a damaged store', () => {
  async function withTwoKeys(path: string) {
    const provider = onFile(path);
    const damaged = await provider.generateKey(spec('damaged'));
    await provider.rotateKey(damaged.name);
    const whole = await provider.generateKey(spec('whole'));
    await provider.close();
    return { damaged: damaged.name, whole: whole.name };
  }
  const materialOf = (version: string, algorithm = 'EC_SIGN_P256_SHA256') =>
    `material/${version}/${algorithm}`;

  it('names the version whose key is damaged, and all others work', async () => {
    const path = storeDirectory();
    const { damaged, whole } = await withTwoKeys(path);
    const version = `${damaged}/cryptoKeyVersions/2`;
    await tamper(path, (database) => {
      const sealed = Buffer.from(database.getBinary(materialOf(version)) ?? '');
      sealed[20] = (sealed[20] ?? 0) ^ 1;
      database.putSync(materialOf(version), sealed);
    });
    const provider = onFile(path);
    await provider.initialize();
    await expect(provider.sign(damaged, message)).rejects.toMatchObject({
      code: 'STORED_KEY_DAMAGED',
      damaged: version,
    });
    await provider.sign(`${damaged}/cryptoKeyVersions/1`, message);
    await provider.sign(whole, message);
    await provider.rotateKey(damaged);
    await provider.sign(damaged, message);
  });

  it.each([
    ['of another version', (key: string) => materialOf(`${key}/cryptoKeyVersions/1`)],
    ['that is cut short', () => undefined],
  ])('does not take a record %s for the key', async (_, from) => {
    const path = storeDirectory();
    const { damaged } = await withTwoKeys(path);
    const version = `${damaged}/cryptoKeyVersions/2`;
    await tamper(path, (database) => {
      const other = from(damaged);
      const record = other === undefined ? Buffer.alloc(10) : Buffer.from(database.getBinary(other) ?? '');
      database.putSync(materialOf(version), record);
    });
    await expect(onFile(path).sign(damaged, message)).rejects.toMatchObject({ damaged: version });
  });

  it('says so when the record of a key is gone that should be there', async () => {
    const path = storeDirectory();
    const { damaged } = await withTwoKeys(path);
    const version = `${damaged}/cryptoKeyVersions/2`;
    await tamper(path, (database) => void database.removeSync(materialOf(version)));
    await expect(onFile(path).sign(damaged, message)).rejects.toMatchObject({ damaged: version });
  });

  it('names the key whose record is damaged, logs it at the start, and keeps it so when the secret is changed', async () => {
    const path = storeDirectory();
    const { damaged, whole } = await withTwoKeys(path);
    await tamper(path, (database) => database.putSync(`key/${damaged}`, Buffer.alloc(100)));
    const logger = recordingLogger();
    const provider = softwareProvider({ softwareKeyStore: { type: 'file', path, key: STORE_KEY }, logger });
    await provider.initialize();
    expect(logger.lines).toEqual([
      expect.objectContaining({ level: 'error', fields: { event: 'stored-key-damaged', damaged } }),
    ]);
    for (const call of [() => provider.getKey(damaged), () => provider.listKeys()])
      await expect(call()).rejects.toMatchObject({ code: 'STORED_KEY_DAMAGED', damaged });
    await provider.rotateStoreKey({ key: Buffer.alloc(32, 9) });
    expect(logger.lines.at(-1)).toMatchObject({ level: 'error', fields: { damaged: [damaged] } });
    await provider.sign(whole, message);
    await expect(provider.getKey(damaged)).rejects.toMatchObject({ damaged });
  });

  it('refuses a header that is not one, or asks for absurd work, and changes nothing', async () => {
    const path = storeDirectory();
    await withTwoKeys(path);
    const kdf = { name: 'scrypt', cost: 2 ** 30, blockSize: 8, parallelization: 1, salt: '' };
    const wrappedKey = seal(STORE_KEY, STORE_KEY, '').toString('base64');
    for (const header of ['garbage', '{}', JSON.stringify({ format: 1, kdf, wrappedKey })]) {
      await tamper(path, (database) => database.putSync('header', Buffer.from(header)));
      const before = snapshot(path);
      await expect(onFile(path, { passphrase: 'a passphrase' }).initialize()).rejects.toMatchObject({
        code: 'KEY_STORE',
        message: expect.stringContaining('header'),
      });
      expect(snapshot(path)).toBe(before);
    }
  });

  it('does not write a new header over records that lost theirs', async () => {
    const path = storeDirectory();
    await withTwoKeys(path);
    await tamper(path, (database) => void database.removeSync('header'));
    await expect(onFile(path).initialize()).rejects.toMatchObject({
      code: 'KEY_STORE',
      message: expect.stringContaining('no header'),
    });
  });
});

describe('several providers on one store', () => {
  it('make one store when they open it at the same time', async () => {
    const path = storeDirectory();
    const providers = Array.from({ length: 4 }, () => onFile(path));
    await Promise.all(providers.map((provider) => provider.initialize()));
    const [first, ...others] = providers;
    const key = await first?.generateKey(spec('invoices'));
    for (const other of others) expect(await other.getKey('invoices')).toEqual(key);
  });

  it('make one key, and one rotation of a version, when they race', async () => {
    const path = storeDirectory();
    const providers = Array.from({ length: 4 }, () => onFile(path));
    const keys = await Promise.all(providers.map((provider) => provider.generateKey(spec('invoices'))));
    expect(new Set(keys.map(({ createTime }) => createTime.getTime())).size).toBe(1);
    const rotated = await Promise.all(providers.map((provider) => provider.rotateKey('invoices')));
    expect(new Set(rotated.map(({ primary }) => primary))).toEqual(
      new Set([`${keys[0]?.name}/cryptoKeyVersions/2`]),
    );
    expect(await providers[0]?.listKeyVersions('invoices')).toHaveLength(2);
  });

  it('lose no label that another one sets', async () => {
    const path = storeDirectory();
    const providers = Array.from({ length: 4 }, () => onFile(path));
    await providers[0]?.generateKey(spec('invoices'));
    await Promise.all(
      providers.flatMap((provider, index) =>
        [0, 1, 2].map((part) => provider.updateLabels('invoices', { [`l-${index}-${part}`]: 'set' })),
      ),
    );
    expect(Object.keys((await providers[0]?.getKey('invoices'))?.labels ?? {})).toHaveLength(12);
  });

  it('see at once what another process did', async () => {
    const path = storeDirectory();
    const provider = onFile(path);
    await provider.generateKey(spec('invoices'));
    const script = `
      import { open } from 'lmdb';
      const database = open({ path: ${JSON.stringify(path)}, noSubdir: false, encoding: 'binary' });
      await database.put('header', Buffer.from('another one'));
      await database.close();`;
    await new Promise((resolve) => {
      spawn(process.execPath, ['--input-type=module', '--eval', script]).on('close', resolve);
    });
    await expect(provider.sign('invoices', message)).rejects.toMatchObject({ code: 'KEY_STORE_LOCKED' });
  });
});
