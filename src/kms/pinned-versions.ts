/** The versions that the configuration names, to be used without looking them up. */

import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { InvalidConfigError } from '../errors/input.js';
import { findAlgorithm } from '../keys/algorithms.js';
import { type KeyRingName, keyVersion, parseKeyReference } from '../keys/resource-name.js';
import type { UsableVersion } from './version-resolver.js';

/** @throws InvalidConfigError naming the first one that is no version of the key ring. */
export function parsePinned(config: ResolvedKMSConfig, keyRing: KeyRingName): UsableVersion[] {
  return config.pinnedVersions.map((pinned, index) => {
    const parsed = parseKeyReference(pinned.name, keyRing);
    const algorithm = findAlgorithm(pinned.algorithm);
    if (!parsed.ok || parsed.value.kind !== 'version' || algorithm === undefined) {
      const problem = parsed.ok ? 'is not the full name of a key version' : parsed.problem;
      throw new InvalidConfigError([{ field: `pinnedVersions.${index}.name`, problem }]);
    }
    const { key, version } = parsed.value;
    return { ...keyVersion(key, version.number), key, algorithm, protectionLevel: pinned.protectionLevel };
  });
}
