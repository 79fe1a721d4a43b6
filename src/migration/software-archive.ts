/** One archive for both kinds of keys: what the software provider archives is told apart from HSM keys by its name. */

import type { ArchivedPublicKey, PublicKeyArchive } from '../keys/public-key-archive.js';
import {
  fromSoftwareVersionName,
  isSoftwareVersionName,
  toSoftwareVersionName,
} from '../keys/software-version-name.js';

/** The archive as the software provider sees it. */
export class SoftwareArchive implements PublicKeyArchive {
  readonly #archive: PublicKeyArchive;

  constructor(archive: PublicKeyArchive) {
    this.#archive = archive;
  }

  put(key: ArchivedPublicKey): Promise<void> {
    return this.#archive.put({ ...key, keyVersion: toSoftwareVersionName(key.keyVersion) });
  }

  async get(keyVersion: string): Promise<ArchivedPublicKey | undefined> {
    const key = await this.#archive.get(toSoftwareVersionName(keyVersion));
    return key && { ...key, keyVersion };
  }

  async list(keyName?: string): Promise<readonly ArchivedPublicKey[]> {
    const keys = await this.#archive.list(keyName);
    return keys
      .filter(({ keyVersion }) => isSoftwareVersionName(keyVersion))
      .map((key) => ({ ...key, keyVersion: fromSoftwareVersionName(key.keyVersion) }));
  }
}
