/** A process that puts public keys into an archive, over and over, until it is killed or has put as many as it was told. */

import { generateKeyPairSync } from 'node:crypto';
import { FilePublicKeyArchive } from '../../src/archive/file-archive.js';

const [directory = '', own = '', puts = '0'] = process.argv.slice(2);
const archive = new FilePublicKeyArchive({ directory });
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ownPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
const keyName = 'projects/p/locations/global/keyRings/r/cryptoKeys/raced';

for (let count = 1; count <= Number(puts); count++) {
  await archive.put({
    keyVersion: `${keyName}/cryptoKeyVersions/${own}`,
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
    pem: process.env['SHARED_PEM'] ?? ownPem,
    notBefore: new Date(0),
    // Each time a later end, so that each time the file is written.
    notAfter: new Date(count * 1_000),
  });
  if (count === 1) process.send?.('under way');
}
process.disconnect?.();
