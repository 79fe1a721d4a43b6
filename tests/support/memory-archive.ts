/** An archive that tests can look into, and make fail. */

import { type ArchivedPublicKey, ArchiveError, type PublicKeyArchive } from '../../src/index.js';

export class MemoryPublicKeyArchive implements PublicKeyArchive {
  readonly keys = new Map<string, ArchivedPublicKey>();
  /** How many times `put` still works. */
  putsLeft = Number.POSITIVE_INFINITY;

  async put(key: ArchivedPublicKey): Promise<void> {
    if (this.putsLeft === 0)
      throw new ArchiveError({ operation: 'archive', resource: key.keyVersion }, 'the disk is full.');
    this.putsLeft -= 1;
    this.keys.set(key.keyVersion, key);
  }

  async get(keyVersion: string): Promise<ArchivedPublicKey | undefined> {
    return this.keys.get(keyVersion);
  }

  async list(keyName?: string): Promise<readonly ArchivedPublicKey[]> {
    const keys = [...this.keys.values()];
    const prefix = `${keyName}/cryptoKeyVersions/`;
    return keyName === undefined ? keys : keys.filter(({ keyVersion }) => keyVersion.startsWith(prefix));
  }
}
