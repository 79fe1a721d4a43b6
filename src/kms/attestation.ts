/**
 * Attestation of keys in Cloud KMS: fetches what the HSM stated when it made a version, and checks it against the key that
 * Cloud KMS gives out. With `requireAttestation` a version is used only after its statement was found to be valid.
 */

import {
  type AttestationRoots,
  CLOUD_HSM_ROOTS,
  fingerprintsOf,
  type RootFingerprints,
} from '../attestation/roots.js';
import {
  type AttestationCertificateChains,
  type AttestationVerdict,
  attestedKeyOf,
  verifyAttestation,
} from '../attestation/verify-attestation.js';
import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { AttestationFailedError } from '../errors.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type { CryptoKeyName } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import { RefreshingCache } from '../provider/refreshing-cache.js';
import type { KeyReader } from './key-reader.js';
import type { PublicKeys } from './public-keys.js';
import type { RpcCaller } from './rpc-caller.js';
import type { UsableVersion } from './version-resolver.js';

/** The verdict about one version, and the evidence that it rests on. It is JSON: file it as it is. */
export interface KeyAttestation extends AttestationVerdict {
  /** Full name of the version. */
  readonly keyVersion: string;
  readonly algorithm: string;
  readonly protectionLevel: string;
  /** When it was judged, ISO 8601. */
  readonly judgedAt: string;
  readonly evidence: {
    /** `KeyOperationAttestation.format`; empty when Cloud KMS has no statement for the version. */
    readonly format: string;
    /** As Cloud KMS gave it, Base64. */
    readonly content: string;
    readonly certChains: AttestationCertificateChains;
    /** PEM of the public key that was compared; absent for symmetric keys. */
    readonly publicKey?: string;
    /** SHA-256 of the trusted roots, DER, in hexadecimal. */
    readonly roots: RootFingerprints;
  };
}

interface AttestationServices {
  readonly caller: RpcCaller;
  readonly reader: KeyReader;
  readonly publicKeys: PublicKeys;
  readonly config: ResolvedKMSConfig;
}

export class Attestations {
  readonly #services: AttestationServices;
  readonly #roots: AttestationRoots;
  /** Versions whose statement is valid. It cannot become invalid: neither the key nor the statement can change. */
  readonly #valid: RefreshingCache<KeyAttestation>;

  constructor(services: AttestationServices) {
    this.#services = services;
    const { attestationRoots, cache, clock } = services.config;
    this.#roots = attestationRoots ?? CLOUD_HSM_ROOTS;
    this.#valid = new RefreshingCache({ maxEntries: cache.maxPublicKeys, clock });
  }

  /** Fetches the statement about a version and checks it. */
  async attest(operation: Operation, version: UsableVersion): Promise<KeyAttestation> {
    const { caller, config } = this.#services;
    const { name, algorithm, protectionLevel } = version;
    const answer = await caller.call(operation, {
      rpc: 'getCryptoKeyVersion',
      request: { name },
      routeBy: ['name', name],
    });
    const { format, content, certChains } = answer.attestation ?? {};
    const pem =
      'key' in algorithm ? (await this.#services.publicKeys.get(operation, version)).pem : undefined;
    const input = {
      format: typeof format === 'string' ? format : '',
      content: content instanceof Uint8Array ? content : new Uint8Array(0),
      certChains: {
        caviumCerts: certChains?.caviumCerts ?? [],
        googleCardCerts: certChains?.googleCardCerts ?? [],
        googlePartitionCerts: certChains?.googlePartitionCerts ?? [],
      },
    };
    const at = new Date(config.clock.now());
    const verdict = verifyAttestation({
      ...input,
      key: pem === undefined ? { kind: 'secret' } : attestedKeyOf(pem),
      roots: this.#roots,
      at,
    });
    return {
      keyVersion: name,
      algorithm: algorithm.name,
      protectionLevel,
      judgedAt: at.toISOString(),
      ...verdict,
      evidence: {
        format: input.format,
        content: Buffer.from(input.content).toString('base64'),
        certChains: input.certChains,
        ...(pem !== undefined && { publicKey: pem }),
        roots: fingerprintsOf(this.#roots),
      },
    };
  }

  get isRequired(): boolean {
    return this.#services.config.requireAttestation;
  }

  /**
   * As `require`, of every ENABLED version of a symmetric key: which of them decrypts is in the ciphertext, and Cloud KMS
   * does not say.
   */
  async requireAll(operation: Operation, key: CryptoKeyName): Promise<void> {
    if (!this.isRequired) return;
    for (const { name, number, metadata } of await this.#services.reader.listVersions(operation, key)) {
      const algorithm = findAlgorithm(metadata.algorithm);
      if (metadata.state !== 'ENABLED' || algorithm === undefined) continue;
      const { protectionLevel } = metadata;
      await this.require(operation, { key, name, number, algorithm, protectionLevel });
    }
  }

  /** @throws AttestationFailedError when attestation is required and the version's is not valid. */
  async require(operation: Operation, version: UsableVersion): Promise<void> {
    if (!this.isRequired) return;
    await operation.waitFor(
      Promise.resolve(
        this.#valid.get(version.name, () =>
          this.#services.reader.detached(operation, async (own) => {
            const attested = await this.attest(own, version);
            if (attested.verdict === 'valid') return attested;
            throw new AttestationFailedError(own.context(), version.name, {
              verdict: attested.verdict,
              failedChecks: attested.checks
                .filter(({ name, outcome }) => outcome === 'failed' && name !== 'certificate-validity')
                .map(({ name }) => name),
            });
          }),
        ),
      ),
    );
  }
}
