/**
 * The post-quantum schemes, by parameter set: sizes and, loaded on first use, the implementation. The implementation
 * is JavaScript, so that every supported Node version has it; it runs on the event loop.
 */

import type { AsymmetricKeyType } from '../../keys/algorithm-types.js';

export type ParameterSet = Extract<AsymmetricKeyType, { kind: 'pqc' }>['parameterSet'];

/** Raw keys, as the scheme's standard encodes them. */
interface RawKeyPair {
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

type PostQuantumScheme =
  | {
      readonly kind: 'signature';
      keygen(): RawKeyPair;
      /** Randomised ("hedged") signature of the message itself with an empty context. */
      sign(message: Uint8Array, secretKey: Uint8Array): Uint8Array;
    }
  | {
      readonly kind: 'kem';
      keygen(): RawKeyPair;
      decapsulate(ciphertext: Uint8Array, secretKey: Uint8Array): Uint8Array;
    };

interface ParameterSetEntry {
  readonly secretKeyBytes: number;
  readonly publicKeyBytes: number;
  load(): Promise<PostQuantumScheme>;
}

type Implementation<Kind extends PostQuantumScheme['kind']> = Omit<
  Extract<PostQuantumScheme, { kind: Kind }>,
  'kind'
>;

const signature = (scheme: Implementation<'signature'>): PostQuantumScheme => ({
  kind: 'signature',
  keygen: () => scheme.keygen(),
  sign: (message, secretKey) => scheme.sign(message, secretKey),
});
const kem = (scheme: Implementation<'kem'>): PostQuantumScheme => ({
  kind: 'kem',
  keygen: () => scheme.keygen(),
  decapsulate: (ciphertext, secretKey) => scheme.decapsulate(ciphertext, secretKey),
});

const PARAMETER_SETS: Readonly<Record<ParameterSet, ParameterSetEntry>> = {
  // FIPS 204 table 2.
  'ml-dsa-44': {
    secretKeyBytes: 2560,
    publicKeyBytes: 1312,
    load: async () => signature((await import('@noble/post-quantum/ml-dsa.js')).ml_dsa44),
  },
  'ml-dsa-65': {
    secretKeyBytes: 4032,
    publicKeyBytes: 1952,
    load: async () => signature((await import('@noble/post-quantum/ml-dsa.js')).ml_dsa65),
  },
  'ml-dsa-87': {
    secretKeyBytes: 4896,
    publicKeyBytes: 2592,
    load: async () => signature((await import('@noble/post-quantum/ml-dsa.js')).ml_dsa87),
  },
  // FIPS 205 table 2. One signature takes seconds.
  'slh-dsa-sha2-128s': {
    secretKeyBytes: 64,
    publicKeyBytes: 32,
    load: async () => signature((await import('@noble/post-quantum/slh-dsa.js')).slh_dsa_sha2_128s),
  },
  // FIPS 203 table 3.
  'ml-kem-768': {
    secretKeyBytes: 2400,
    publicKeyBytes: 1184,
    load: async () => kem((await import('@noble/post-quantum/ml-kem.js')).ml_kem768),
  },
  'ml-kem-1024': {
    secretKeyBytes: 3168,
    publicKeyBytes: 1568,
    load: async () => kem((await import('@noble/post-quantum/ml-kem.js')).ml_kem1024),
  },
  // draft-connolly-cfrg-xwing-kem section 5: the secret key is a seed.
  'x-wing': {
    secretKeyBytes: 32,
    publicKeyBytes: 1216,
    load: async () => kem((await import('@noble/post-quantum/hybrid.js')).ml_kem768_x25519),
  },
};

/** Sizes of the raw keys of a parameter set, in bytes. */
export function rawKeySizes(parameterSet: ParameterSet): { secretKeyBytes: number; publicKeyBytes: number } {
  const { secretKeyBytes, publicKeyBytes } = PARAMETER_SETS[parameterSet];
  return { secretKeyBytes, publicKeyBytes };
}

/** The implementation of a parameter set. */
export function loadScheme(parameterSet: ParameterSet): Promise<PostQuantumScheme> {
  return PARAMETER_SETS[parameterSet].load();
}
