import { generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import type { ArchivedPublicKey, PublicKeyArchive } from '../../src/index.js';
import { SoftwareArchive } from '../../src/migration/software-archive.js';

const keyName = 'projects/p/locations/global/keyRings/r/cryptoKeys/k';
const keyOf = (keyVersion: string): ArchivedPublicKey => ({
  keyVersion,
  algorithm: 'EC_SIGN_P256_SHA256',
  protectionLevel: 'SOFTWARE',
  pem: generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString(),
  notBefore: new Date(0),
});

class MapArchive implements PublicKeyArchive {
  readonly keys = new Map<string, ArchivedPublicKey>();
  async put(key: ArchivedPublicKey): Promise<void> {
    this.keys.set(key.keyVersion, key);
  }
  async get(keyVersion: string): Promise<ArchivedPublicKey | undefined> {
    return this.keys.get(keyVersion);
  }
  async list(): Promise<readonly ArchivedPublicKey[]> {
    return [...this.keys.values()];
  }
}

it('a software key and the HSM key that takes its place are two keys in one archive', async () => {
  const archive = new MapArchive();
  const software = new SoftwareArchive(archive);
  const version = `${keyName}/cryptoKeyVersions/1`;
  const [old, born] = [keyOf(version), keyOf(version)];
  await software.put(old);
  await archive.put(born);
  expect([...archive.keys.keys()]).toEqual([`${version}@software`, version]);
  expect(await software.get(version)).toEqual(old);
  expect(await archive.get(version)).toEqual(born);
  expect(await software.list(keyName)).toEqual([old]);
  expect(await software.get(`${keyName}/cryptoKeyVersions/2`)).toBeUndefined();
});
