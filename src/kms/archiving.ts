/** Puts the public key of a version into the archive while it can still be read. */

import { FailedPreconditionError } from '../errors/keys.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import type { PublicKey } from './public-keys.js';
import type { KeyRecord, VersionRecord } from './resources.js';
import type { UsableVersion } from './version-resolver.js';

/** Whether what the version signed can be verified after it is gone; if not, why. */
type ArchivingOutcome = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/**
 * Archives the public key of a version that is about to be disabled or destroyed. Versions that do not sign need none.
 * @throws ArchiveError when the archive does not take it.
 */
export async function archivePublicKey(
  core: KmsCore,
  operation: Operation,
  target: { readonly key: KeyRecord; readonly version: VersionRecord },
): Promise<ArchivingOutcome> {
  const { key, version } = target;
  const { metadata } = version;
  const algorithm = findAlgorithm(metadata.algorithm);
  if (algorithm?.purpose !== 'ASYMMETRIC_SIGN') return { ok: true };
  const archive = core.config.publicKeyArchive;
  if (archive === undefined) return { ok: false, reason: 'there is no archive of public keys' };
  const { name, number } = version;
  let publicKey: PublicKey | undefined;
  if (metadata.state === 'ENABLED') {
    const { protectionLevel } = key;
    const usable = { name, number, key: key.name, algorithm, protectionLevel };
    publicKey = await publicKeyOf(core, operation, usable);
  } else {
    if ((await archive.get(name)) !== undefined) return { ok: true };
    publicKey = core.publicKeys.peek(name);
  }
  if (publicKey === undefined) {
    return { ok: false, reason: 'it is not ENABLED, and its public key was not archived before' };
  }
  await archive.put({
    keyVersion: name,
    algorithm: algorithm.name,
    protectionLevel: metadata.protectionLevel,
    pem: publicKey.pem,
    notBefore: metadata.generateTime ?? metadata.createTime,
    notAfter: new Date(core.config.clock.now()),
  });
  return { ok: true };
}

/** The key, unless another process has disabled the version, or scheduled its destruction, since it was looked at. */
async function publicKeyOf(
  core: KmsCore,
  operation: Operation,
  version: UsableVersion,
): Promise<PublicKey | undefined> {
  try {
    return await core.publicKeys.get(operation, version);
  } catch (error) {
    if (error instanceof FailedPreconditionError) return undefined;
    throw error;
  }
}
