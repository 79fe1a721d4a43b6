/** Two genuine statements of Cloud HSM with their certificates, and the public keys that they are about. */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { AttestationCertificateChains } from '../../src/attestation/attestation-input.js';

const folder = new URL('../vectors/attestation/', import.meta.url);

export interface GenuineAttestation {
  readonly content: Buffer;
  readonly certChains: AttestationCertificateChains;
  readonly publicKey: KeyObject;
}

/** Offset and length of the attested public value within the statement, read off by hand. */
const PUBLIC_VALUES = {
  'p256-hsm': { marker: Buffer.from('0000012000000041', 'hex') },
  'rsa2048-hsm': { marker: Buffer.from('0000012000000100', 'hex') },
} as const;

export type GenuineName = keyof typeof PUBLIC_VALUES;
export const GENUINE: readonly GenuineName[] = ['p256-hsm', 'rsa2048-hsm'];

export function genuineAttestation(name: GenuineName): GenuineAttestation {
  const content = readFileSync(new URL(`${name}.attestation.gz`, folder));
  const pems = readFileSync(new URL(`${name}.chains.pem`, folder), 'utf8').match(
    /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g,
  );
  const [makerRoot = '', makerCard = '', makerPartition = '', root = '', card = '', partition = ''] =
    pems ?? [];
  const { marker } = PUBLIC_VALUES[name];
  const statement = gunzipSync(content);
  const value = statement.subarray(statement.indexOf(marker) + marker.length);
  return {
    content,
    certChains: {
      caviumCerts: [makerPartition, makerCard, makerRoot],
      googleCardCerts: [card, root],
      googlePartitionCerts: [partition, root],
    },
    publicKey: createPublicKey({
      format: 'jwk',
      key:
        name === 'p256-hsm'
          ? {
              kty: 'EC',
              crv: 'P-256',
              x: value.subarray(1, 33).toString('base64url'),
              y: value.subarray(33, 65).toString('base64url'),
            }
          : { kty: 'RSA', n: value.subarray(0, 256).toString('base64url'), e: 'AQAB' },
    }),
  };
}
