/**
 * Names of the versions of software keys where there are HSM keys beside them. A software key and the HSM key that takes
 * its place have the same CryptoKey name, and both have a version 1, with different keys. So that a version name always
 * means one key, a version of a software key gets a suffix that no name in Cloud KMS can have.
 */

const SUFFIX = '@software';

/** The name of a version of a software key. */
export function toSoftwareVersionName(versionName: string): string {
  return isSoftwareVersionName(versionName) ? versionName : `${versionName}${SUFFIX}`;
}

export function isSoftwareVersionName(name: string): boolean {
  return name.endsWith(SUFFIX);
}

/** The name as the software provider itself has it; anything else as it is. */
export function fromSoftwareVersionName(name: string): string {
  return isSoftwareVersionName(name) ? name.slice(0, -SUFFIX.length) : name;
}
