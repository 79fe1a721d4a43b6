/**
 * The public keys of an agent that whoever verifies without this library needs: of every version whose signatures are to
 * verify now or soon. A set that lacks some is never given out as a whole one.
 */

import { mapBounded } from '../bounded.js';
import { FailedPreconditionError } from '../errors/keys.js';
import { signingAlgorithm } from '../hierarchy/agent-key-spec.js';
import type { SigningAlgorithm } from '../keys/algorithm-types.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import { versionLifecycles } from '../keys/version-history.js';

/** Public keys that are read at once. */
const READ_CONCURRENCY = 4;

/** A public key of an agent, and where its private key is. */
export interface LocatedPublicKey {
  /** Full name of the key ring. */
  readonly keyRing: string;
  /** Full name of the version. */
  readonly keyVersion: string;
  /** Cloud KMS name, as `toPublicJwk` takes it. */
  readonly algorithm: SigningAlgorithm;
  /** `prepared`: not used yet; `active`: it signs; `retiring`: it was replaced, and what it signed verifies. */
  readonly lifecycle: PublishedLifecycle;
  /** SubjectPublicKeyInfo, PEM. */
  readonly pem: string;
}

/** What becomes of a version whose public key is published. */
export type PublishedLifecycle = 'prepared' | 'active' | 'retiring';

const isPublished = (lifecycle: string): lifecycle is PublishedLifecycle =>
  lifecycle === 'prepared' || lifecycle === 'active' || lifecycle === 'retiring';

/**
 * Of the ENABLED versions of a key in one key ring, in ascending order of their numbers.
 * @throws UnsupportedAlgorithmError for a version whose algorithm this library does not know: nothing could verify by it.
 */
export async function publishedKeysOf(
  provider: KeyProvider,
  key: KeyMetadata,
  options?: CallOptions,
): Promise<readonly LocatedPublicKey[]> {
  const keyRing = key.name.slice(0, key.name.indexOf('/cryptoKeys/'));
  const versions = await provider.listKeyVersions(key.name, options);
  const published = versionLifecycles(key, versions).flatMap(({ version, lifecycle }) =>
    isPublished(lifecycle) ? [{ version, lifecycle }] : [],
  );
  const keys = await mapBounded(published, READ_CONCURRENCY, async ({ version, lifecycle }) => {
    const { name: keyVersion } = version;
    const context = { operation: 'getPublicKeys', resource: keyVersion };
    const algorithm = signingAlgorithm(context, version.algorithm).name;
    const pem = await pemIfEnabled(provider, version, options);
    return pem === undefined ? undefined : { keyRing, keyVersion, algorithm, lifecycle, pem };
  });
  return keys.filter((found) => found !== undefined);
}

/** Undefined for a version that was disabled after it was listed: it is not to be published any more. */
async function pemIfEnabled(
  provider: KeyProvider,
  { name }: KeyVersionMetadata,
  options: CallOptions | undefined,
): Promise<string | undefined> {
  try {
    return (await provider.getPublicKey(name, options)).toString('utf8');
  } catch (error) {
    if (error instanceof FailedPreconditionError) return undefined;
    throw error;
  }
}
