import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SoftwareKeyStoreConfig } from '../../src/config/software-config.js';
import { algorithmsOf } from '../../src/keys/algorithms.js';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';
import { CalendarClock } from '../support/lifecycle.js';
import { STORE_KEY } from '../support/software-provider.js';
import { describeKeyProvider } from './key-provider-contract.js';

const stores: readonly { name: string; store: (folder: string) => SoftwareKeyStoreConfig }[] = [
  { name: 'in memory', store: () => ({ type: 'memory' }) },
  { name: 'in a file', store: (folder) => ({ type: 'file', path: join(folder, 'keys'), key: STORE_KEY }) },
];

/** What is done with RSA keys does not depend on the store, and generating them takes seconds. */
const RSA = algorithmsOf('ASYMMETRIC_SIGN').filter((algorithm) => algorithm.startsWith('RSA_'));
/** The same code runs for another size or hash; tests/software/signing.test.ts has all of them sign with one key. */
const SAME_AS_OTHERS = RSA.filter((algorithm) => /4096_SHA256|RAW_PKCS1_4096|_3072/.test(algorithm));

for (const { name, store } of stores) {
  describeKeyProvider(`SoftwareKeyProvider ${name}`, {
    protectionLevel: 'SOFTWARE',
    // Node 20 has none of them.
    unsupported: ['PQ_SIGN_ML_DSA_44', 'PQ_SIGN_ML_DSA_65', 'PQ_SIGN_ML_DSA_87', 'PQ_SIGN_SLH_DSA_SHA2_128S'],
    without: name === 'in memory' ? SAME_AS_OTHERS : RSA,
    make: async () => {
      const folder = mkdtempSync(join(tmpdir(), 'a2a-kms-contract-'));
      const clock = new CalendarClock();
      const provider = new SoftwareKeyProvider({
        ...{ ...KEY_RING, clock },
        softwareKeyStore: store(folder),
        logger: silentLogger,
      });
      return { provider, clock, close: async () => rmSync(folder, { recursive: true, force: true }) };
    },
  });
}
