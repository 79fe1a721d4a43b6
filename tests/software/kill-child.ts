/**
 * The process that tests/software/kill.test.ts kills: it makes keys and versions in a store as fast as it can, or changes
 * the key of the store to and fro, and writes one line for each change that was acknowledged. The line is written
 * synchronously, so that a kill loses none.
 */

import { writeSync } from 'node:fs';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';

const [path, lane] = process.argv.slice(2);
if (path === undefined || lane === undefined) throw new Error('usage: kill-child PATH LANE');

const acknowledged = (what: string, version: string | undefined): number =>
  writeSync(1, `${what} ${version}\n`);

const providerWith = (fill: number): SoftwareKeyProvider =>
  new SoftwareKeyProvider({
    projectId: 'test-project',
    locationId: 'global',
    keyRingId: 'agents',
    softwareKeyStore: { type: 'file', path, key: Buffer.alloc(32, fill) },
  });

acknowledged('loaded', lane);
await (lane === 'secret' ? changeSecrets() : makeKeys(providerWith(7), lane));

async function makeKeys(provider: SoftwareKeyProvider, name: string): Promise<never> {
  await provider.initialize();
  acknowledged('opened', name);
  for (let round = 0; ; round++) {
    const own = await provider.generateKey({
      name: `k-${process.pid}-${name}-${round}`,
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
      protectionLevel: 'SOFTWARE',
    });
    acknowledged('key', own.primary);
    acknowledged('key', (await provider.rotateKey(own.name)).primary);
    const shared = await provider.generateKey({
      name: `shared-${round % 7}`,
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
      protectionLevel: 'SOFTWARE',
    });
    await provider.updateLabels(shared.name, { [`lane-${name}`]: String(round) });
    acknowledged('shared', shared.primary);
  }
}

async function changeSecrets(): Promise<never> {
  let [fill, other] = [7, 9];
  let provider = providerWith(fill);
  try {
    await provider.initialize();
  } catch {
    [fill, other] = [other, fill];
    provider = providerWith(fill);
    await provider.initialize();
  }
  acknowledged('opened', 'secret');
  for (;;) {
    await provider.rotateStoreKey({ key: Buffer.alloc(32, other) });
    [fill, other] = [other, fill];
    acknowledged('changed', String(fill));
  }
}
