/** Puts public keys into the archive before their versions are disabled or destroyed, where there is an archive. */

import { entryOf, type NamedKey, PROTECTION_LEVEL, versionName } from './key-records.js';
import type { SoftwareCore } from './software-calls.js';
import type { StoredVersion } from './store/stored-key.js';

/**
 * Archives the public keys of versions that sign.
 * @throws ArchiveError when the archive does not take one.
 */
export async function archivePublicKeys(
  core: SoftwareCore,
  key: NamedKey,
  versions: readonly StoredVersion[],
): Promise<void> {
  const archive = core.publicKeyArchive;
  if (archive === undefined) return;
  for (const version of versions) {
    const { publicKeyPem: pem, algorithm } = version;
    if (pem === undefined || entryOf(algorithm).purpose !== 'ASYMMETRIC_SIGN') continue;
    await archive.put({
      keyVersion: versionName(key, version),
      algorithm,
      protectionLevel: PROTECTION_LEVEL,
      pem,
      notBefore: new Date(version.createTimeMs),
      notAfter: new Date(core.clock.now()),
    });
  }
}
