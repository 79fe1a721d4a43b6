/**
 * Attestation of keys in Cloud KMS: fetches what the HSM stated when it made a version, and checks it against the key that
 * Cloud KMS gives out. With `requireAttestation` a version is used only after its statement was found to be valid; whether a
 * statement that nothing binds to the key is enough for a symmetric key, `unboundAttestation` says.
 */

import type { KeyAttestation } from '../attestation/key-attestation.js';
import { type AttestationRoots, CLOUD_HSM_ROOTS, fingerprintsOf } from '../attestation/roots.js';
import { attestedKeyOf, REPORTING_CHECKS, verifyAttestation } from '../attestation/verify-attestation.js';
import type { ResolvedKMSConfig } from '../config/kms-config.js';
import type { ErrorContext } from '../errors/base.js';
import { UnsupportedAlgorithmError } from '../errors/input.js';
import { AttestationFailedError } from '../errors/keys.js';
import { algorithmsOf, findAlgorithm } from '../keys/algorithms.js';
import type { Operation } from '../provider/operation.js';
import { RefreshingCache } from '../provider/refreshing-cache.js';
import { requireEqual, withIntegrityRetry } from './integrity.js';
import type { KeyReader } from './key-reader.js';
import type { PublicKeys } from './public-keys.js';
import type { VersionRecord } from './resources.js';
import type { KmsMessages } from './rpc.js';
import type { RpcCaller } from './rpc-caller.js';
import type { UsableVersion } from './version-resolver.js';

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
  /** Versions by the full name of their key, as of a listing that is believed as long as which version is in use. */
  readonly #listings: RefreshingCache<readonly VersionRecord[]>;

  constructor(services: AttestationServices) {
    this.#services = services;
    const { attestationRoots, cache, clock } = services.config;
    this.#roots = attestationRoots ?? CLOUD_HSM_ROOTS;
    this.#valid = new RefreshingCache({ maxEntries: cache.maxPublicKeys, clock });
    this.#listings = new RefreshingCache({
      maxEntries: cache.maxKeys,
      ttlMs: cache.keyVersionTtlMs,
      clock,
    });
  }

  /** Fetches the statement about a version and checks it. */
  async attest(operation: Operation, version: UsableVersion): Promise<KeyAttestation> {
    const { config } = this.#services;
    const { name, algorithm, protectionLevel } = version;
    const answer = await withIntegrityRetry(() => this.#fetch(operation, version));
    const { format, content, certChains } = answer.attestation ?? {};
    const isPair = 'key' in algorithm && algorithm.key.kind !== 'pqc';
    const pem = isPair ? (await this.#services.publicKeys.get(operation, version)).pem : undefined;
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
      key: pem === undefined ? { kind: 'key' in algorithm ? 'post-quantum' : 'secret' } : attestedKeyOf(pem),
      keyVersion: name,
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
   * @param version the one in use; a listing without it is out of date.
   * @throws UnsupportedAlgorithmError for a version that nothing is known of, which may be the one that decrypts.
   */
  async requireAll(operation: Operation, version: UsableVersion): Promise<void> {
    if (!this.isRequired) return;
    const { key } = version;
    for (const { name, number, metadata } of await this.#versionsOf(operation, version)) {
      if (metadata.state !== 'ENABLED') continue;
      const algorithm = findAlgorithm(metadata.algorithm);
      if (algorithm === undefined) {
        throw new UnsupportedAlgorithmError(
          operation.context(),
          `${name} is ENABLED and its algorithm ${metadata.algorithm} is not known to this library, so it cannot be attested.`,
          algorithmsOf('ENCRYPT_DECRYPT'),
        );
      }
      const { protectionLevel } = metadata;
      await this.require(operation, { key, name, number, algorithm, protectionLevel });
    }
  }

  /** @throws AttestationFailedError when attestation is required and the version's is not valid. */
  async require(operation: Operation, version: UsableVersion): Promise<void> {
    if (!this.isRequired) return;
    const { unboundAttestation } = this.#services.config;
    const isEnough = ({ verdict }: KeyAttestation): boolean =>
      verdict === 'valid' || (verdict === 'valid-unbound' && unboundAttestation === 'accepted');
    await operation.waitFor(
      Promise.resolve(
        this.#valid.get(version.name, () =>
          this.#services.reader.detached(operation, async (own) => {
            const attested = await this.attest(own, version);
            if (isEnough(attested)) return attested;
            throw attestationFailed(own.context(), attested);
          }),
        ),
      ),
    );
  }

  async #versionsOf(operation: Operation, { key, name }: UsableVersion): Promise<readonly VersionRecord[]> {
    const { reader } = this.#services;
    const load = (): Promise<readonly VersionRecord[]> =>
      reader.detached(operation, (own) => reader.listVersions(own, key));
    const listed = await operation.waitFor(Promise.resolve(this.#listings.get(key, load)));
    if (listed.some((each) => each.name === name)) return listed;
    this.#listings.invalidate(key);
    return operation.waitFor(Promise.resolve(this.#listings.get(key, load)));
  }

  async #fetch(operation: Operation, version: UsableVersion): Promise<KmsMessages['CryptoKeyVersion']> {
    const { name, algorithm, protectionLevel } = version;
    const answer = await this.#services.caller.call(operation, {
      rpc: 'getCryptoKeyVersion',
      request: { name },
      routeBy: ['name', name],
    });
    requireEqual(operation, 'the name of the version', { expected: name, actual: answer.name });
    requireEqual(operation, 'the algorithm', { expected: algorithm.name, actual: answer.algorithm });
    requireEqual(operation, 'the protection level', {
      expected: protectionLevel,
      actual: answer.protectionLevel,
    });
    return answer;
  }
}

/** The refusal of a version whose statement is not what is required. */
export function attestationFailed(context: ErrorContext, attested: KeyAttestation): AttestationFailedError {
  const { keyVersion, verdict, checks } = attested;
  return new AttestationFailedError(context, keyVersion, {
    verdict,
    failedChecks: checks
      .filter(({ name, outcome }) => outcome === 'failed' && !REPORTING_CHECKS.includes(name))
      .map(({ name }) => name),
  });
}
