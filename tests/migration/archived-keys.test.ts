/** The archive as one kind of keys reads what the other one has put there. */

import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import type { ArchivedPublicKey, KeyProvider } from '../../src/index.js';
import { ArchivedKeys } from '../../src/migration/archived-keys.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';
import { softwareProvider } from '../support/software-provider.js';

const message = Buffer.from('pay 10 EUR to alice');
const keyName = 'projects/test-project/locations/global/keyRings/agents/cryptoKeys/invoices';

function world() {
  let nowMs = 1_000_000;
  const clock = { ...systemClock, now: () => nowMs };
  const archive = new MemoryPublicKeyArchive();
  let reads = 0;
  const list = archive.list.bind(archive);
  archive.list = (name) => {
    reads += 1;
    return list(name);
  };
  const archived = new ArchivedKeys({ archive, clock, maxVersions: 10 });
  const set = (byMs: number): void => {
    nowMs += byMs;
  };
  return { set, archive, archived, reads: () => reads };
}

function archivedKey(rest: Partial<ArchivedPublicKey> = {}) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const entry: ArchivedPublicKey = {
    keyVersion: `${keyName}/cryptoKeyVersions/1`,
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
    pem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    notBefore: new Date(0),
    ...rest,
  };
  return { entry, signature: sign('sha256', message, privateKey) };
}

const HSM = { keyName, kind: 'hsm' } as const;

describe('verification by the archive', () => {
  it('knows nothing of a key whose only entry is one that is encrypted to', async () => {
    const { archive, archived } = world();
    const { entry, signature } = archivedKey({ algorithm: 'RSA_DECRYPT_OAEP_3072_SHA256' });
    await archive.put(entry);
    expect(await archived.verify(HSM, message, signature)).toBeUndefined();
    expect(await archived.has(keyName, 'hsm')).toBe(true);
    expect(await archived.has(keyName, 'software')).toBe(false);
  });

  it('says so when the archive has something else for a post-quantum key, and not that the signature is wrong', async () => {
    const { archive, archived } = world();
    await archive.put(archivedKey({ algorithm: 'PQ_SIGN_ML_DSA_65' }).entry);
    await expect(archived.verify(HSM, message, Buffer.alloc(3_309))).rejects.toMatchObject({
      code: 'ARCHIVE',
      message: expect.stringContaining('ML_DSA_65'),
    });
  });

  it('reads the archive again for what is not there, and not more often than each ten seconds (D4)', async () => {
    const { archive, archived, set, reads } = world();
    const { entry, signature } = archivedKey();
    const verify = () => archived.verify(HSM, message, signature);
    for (let forgeries = 0; forgeries < 20; forgeries++) expect(await verify()).toBeUndefined();
    expect(reads()).toBe(1);
    await archive.put(entry);
    expect(await verify()).toBeUndefined();
    set(10_000);
    expect(await verify()).toBe(true);
    expect(reads()).toBe(2);
    for (let times = 0; times < 20; times++) await verify();
    expect(reads()).toBe(2);
  });

  it('reads it again when the clock was set back: how old the last reading is nobody knows', async () => {
    const { archive, archived, set } = world();
    const { entry, signature } = archivedKey();
    expect(await archived.verify(HSM, message, signature)).toBeUndefined();
    await archive.put(entry);
    set(-60_000);
    expect(await archived.verify(HSM, message, signature)).toBe(true);
  });
});

it('a version that the provider does not list is not taken for archived', async () => {
  const { archive, archived } = world();
  const provider = softwareProvider();
  const key = await provider.generateKey({
    name: 'invoices',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'SOFTWARE',
  });
  const version = key.primary ?? '';
  let listed = false;
  const late: KeyProvider = Object.create(provider, {
    getPublicKey: { value: provider.getPublicKey.bind(provider) },
    listKeyVersions: { value: async (name: string) => (listed ? provider.listKeyVersions(name) : []) },
  });
  await expect(archived.ensure(late, version)).rejects.toMatchObject({
    code: 'NOT_FOUND',
    resource: version,
  });
  listed = true;
  await archived.ensure(late, version);
  expect(archive.keys.has(version)).toBe(true);
});
