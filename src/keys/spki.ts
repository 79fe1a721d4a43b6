/**
 * SubjectPublicKeyInfo (RFC 5280 section 4.1) for post-quantum public keys, whose encoding is the bytes themselves:
 * ML-DSA (RFC 9881) and SLH-DSA (RFC 9909). Node has no form for them before version 24.
 */

/** DER of `SEQUENCE { OBJECT IDENTIFIER }`, the AlgorithmIdentifier without parameters, by parameter set. */
const ALGORITHM_IDENTIFIERS = {
  // 2.16.840.1.101.3.4.3.17 to .20: the NIST signature algorithms arc.
  'ml-dsa-44': Buffer.from('300b0609608648016503040311', 'hex'),
  'ml-dsa-65': Buffer.from('300b0609608648016503040312', 'hex'),
  'ml-dsa-87': Buffer.from('300b0609608648016503040313', 'hex'),
  'slh-dsa-sha2-128s': Buffer.from('300b0609608648016503040314', 'hex'),
} as const;

/** FIPS 204 table 2, FIPS 205 table 2. */
const PUBLIC_KEY_BYTES = {
  'ml-dsa-44': 1312,
  'ml-dsa-65': 1952,
  'ml-dsa-87': 2592,
  'slh-dsa-sha2-128s': 32,
} as const satisfies Record<keyof typeof ALGORITHM_IDENTIFIERS, number>;

/** Whether there is an algorithm identifier for the parameter set. */
export function hasSpki(parameterSet: string): parameterSet is keyof typeof ALGORITHM_IDENTIFIERS {
  return Object.hasOwn(ALGORITHM_IDENTIFIERS, parameterSet);
}

/** The DER of the SubjectPublicKeyInfo that holds a raw post-quantum public key. */
export function postQuantumSpki(
  parameterSet: keyof typeof ALGORITHM_IDENTIFIERS,
  publicKey: Uint8Array,
): Buffer {
  const bitString = Buffer.concat([derHeader(0x03, publicKey.length + 1), Buffer.from([0]), publicKey]);
  const algorithm = ALGORITHM_IDENTIFIERS[parameterSet];
  return Buffer.concat([derHeader(0x30, algorithm.length + bitString.length), algorithm, bitString]);
}

/** The raw public key inside the DER of a SubjectPublicKeyInfo, if it is one of that parameter set. */
function postQuantumBytes(parameterSet: string, der: Uint8Array): Buffer | undefined {
  if (!hasSpki(parameterSet)) return undefined;
  const bytes = Buffer.from(der).subarray(-PUBLIC_KEY_BYTES[parameterSet]);
  return postQuantumSpki(parameterSet, bytes).equals(der) ? bytes : undefined;
}

/** As `postQuantumBytes`, of the SubjectPublicKeyInfo in PEM (RFC 7468). */
export const postQuantumBytesOfPem = (parameterSet: string, pem: string): Buffer | undefined =>
  postQuantumBytes(parameterSet, Buffer.from(pem.replace(/-----[A-Z ]+-----/g, ''), 'base64'));

/** DER as PEM with 64 characters a line (RFC 7468). */
export function toPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** Tag and length of a DER element (ITU-T X.690 section 8.1.3), up to 65,535 bytes of content. */
function derHeader(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.from([tag, length]);
  if (length < 0x100) return Buffer.from([tag, 0x81, length]);
  return Buffer.from([tag, 0x82, length >> 8, length & 0xff]);
}
