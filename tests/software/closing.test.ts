/** What `close` does to work that was begun: with two providers on one path, closing one leaves the database open. */

import { open } from 'lmdb';
import { describe, expect, it } from 'vitest';
import { cryptoKeyName, keyRingName } from '../../src/keys/resource-name.js';
import { FileKeyStore } from '../../src/software/store/file-key-store.js';
import type { StoredKey } from '../../src/software/store/stored-key.js';
import { KEY_RING } from '../support/emulator.js';
import { STORE_KEY, softwareProvider, storeDirectory } from '../support/software-provider.js';

const message = Buffer.from('pay 10 EUR to alice');
const spec = {
  name: 'invoices',
  purpose: 'ASYMMETRIC_SIGN',
  algorithm: 'EC_SIGN_P256_SHA256',
  protectionLevel: 'SOFTWARE',
} as const;
const context = { operation: 'close', resource: 'store' };
const name = cryptoKeyName(keyRingName(KEY_RING), 'invoices');
const key: StoredKey = {
  name,
  purpose: 'ASYMMETRIC_SIGN',
  algorithm: 'EC_SIGN_P256_SHA256',
  labels: {},
  createTimeMs: 0,
  destroyScheduledDurationSeconds: 86_400,
  versions: [],
};

const onFile = (path: string, secret: { key: Buffer } | { passphrase: string }) =>
  softwareProvider({ softwareKeyStore: { type: 'file', path, ...secret } });

/** A store and the database that something else in this process has open too. */
async function sharedStore(): Promise<{ readonly path: string; readonly store: FileKeyStore }> {
  const path = storeDirectory();
  await onFile(path, { key: STORE_KEY }).initialize();
  const store = new FileKeyStore({ path, secret: { key: Buffer.from(STORE_KEY) } });
  await store.open(context);
  return { path, store };
}

describe('closing a store that another provider of the process has open', () => {
  it('lets a change that was begun be written, under the key of the store', async () => {
    const { path, store } = await sharedStore();
    const changed = store.transact(context, (transaction) => transaction.putKey(key));
    await store.close();
    await changed;
    expect(await onFile(path, { key: STORE_KEY }).listKeys()).toMatchObject([{ name }]);
  });

  it('keeps a key that is being generated, or never has it: nothing is sealed with a wiped key', async () => {
    const path = storeDirectory();
    await onFile(path, { key: STORE_KEY }).initialize();
    for (let round = 0; round < 24; round++) {
      const provider = onFile(path, { key: STORE_KEY });
      await provider.initialize();
      const generated = provider.generateKey({ ...spec, name: `key-${round}` }).then(
        () => 'generated',
        ({ code }: { code: string }) => code,
      );
      // Some rounds end before the key is written, some while that waits for its turn.
      for (let turn = 0; turn < round; turn++) await new Promise(setImmediate);
      await provider.close();
      const reader = onFile(path, { key: STORE_KEY });
      const signed = reader.sign(`key-${round}`, message).then(
        () => 'generated',
        ({ code }: { code: string }) => code,
      );
      const refused = ['CLIENT_CLOSED NOT_FOUND', 'CLIENT_CLOSED generated'];
      expect(['generated generated', ...refused]).toContain(`${await generated} ${await signed}`);
      await reader.listKeys();
    }
  });

  it('lets a change of the secret be finished: what was in the store is there under the new one', async () => {
    const path = storeDirectory();
    const other = onFile(path, { key: STORE_KEY });
    await other.generateKey(spec);
    const provider = onFile(path, { key: STORE_KEY });
    await provider.initialize();
    const rotated = provider.rotateStoreKey({ passphrase: 'correct horse' });
    await new Promise(setImmediate);
    await provider.close();
    await rotated;
    await onFile(path, { passphrase: 'correct horse' }).sign('invoices', message);
  });

  it('refuses a change that is begun after it', async () => {
    const { store } = await sharedStore();
    await store.close();
    await expect(store.rotateStoreKey(context, { key: STORE_KEY })).rejects.toMatchObject({
      code: 'CLIENT_CLOSED',
    });
    await expect(store.transact(context, () => {})).rejects.toMatchObject({ code: 'CLIENT_CLOSED' });
  });
});

it('the secret is not changed where no record decrypts: the records are whole and the key is not theirs', async () => {
  const path = storeDirectory();
  const provider = onFile(path, { key: STORE_KEY });
  await provider.generateKey(spec);
  const database = open<Buffer, string>({ path, noSubdir: false, encoding: 'binary' });
  const header = database.getBinary('header');
  const records = [...database.getKeys()].filter((place) => place !== 'header');
  database.transactionSync(() => {
    for (const place of records) database.putSync(place, Buffer.alloc(100));
  });
  await expect(provider.rotateStoreKey({ key: Buffer.alloc(32, 9) })).rejects.toMatchObject({
    code: 'KEY_STORE',
    message: expect.stringContaining('nothing was changed'),
  });
  expect(database.getBinary('header')).toEqual(header);
  await database.close();
});
