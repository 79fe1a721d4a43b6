/** Resource names, taken apart. A name that is not of its form is INVALID_ARGUMENT, before anything is looked up. */

import { invalidArgument } from '../request-fields.js';

const RESOURCE_ID = /^[a-zA-Z0-9_-]{1,63}$/;
const PROJECT_AND_LOCATION = 'projects\\/[^/]+\\/locations\\/[a-z][a-z0-9-]*';
const LOCATION = new RegExp(`^${PROJECT_AND_LOCATION}$`);
const ID = '[a-zA-Z0-9_-]{1,63}';
const KEY_RING = new RegExp(`^${PROJECT_AND_LOCATION}\\/keyRings\\/${ID}$`);
const CRYPTO_KEY = new RegExp(`^${PROJECT_AND_LOCATION}\\/keyRings\\/${ID}\\/cryptoKeys\\/${ID}$`);
const VERSION = new RegExp(
  `^(${PROJECT_AND_LOCATION}\\/keyRings\\/${ID}\\/cryptoKeys\\/${ID})\\/cryptoKeyVersions\\/([0-9]{1,15})$`,
);
const RETIRED_RESOURCE = new RegExp(`^${PROJECT_AND_LOCATION}\\/retiredResources\\/${ID}$`);
const IMPORT_JOB = new RegExp(`^${PROJECT_AND_LOCATION}\\/keyRings\\/${ID}\\/importJobs\\/${ID}$`);

export function requireLocation(name: string): string {
  if (!LOCATION.test(name)) throw malformed(name, 'a location');
  return name;
}

export function requireKeyRing(name: string): string {
  if (!KEY_RING.test(name)) throw malformed(name, 'a KeyRing');
  return name;
}

export function requireCryptoKey(name: string): string {
  if (!CRYPTO_KEY.test(name)) throw malformed(name, 'a CryptoKey');
  return name;
}

export function requireImportJob(name: string): string {
  if (!IMPORT_JOB.test(name)) throw malformed(name, 'an ImportJob');
  return name;
}

export function requireRetiredResource(name: string): string {
  if (!RETIRED_RESOURCE.test(name)) throw malformed(name, 'a RetiredResource');
  return name;
}

export function requireVersion(name: string): { readonly key: string; readonly number: number } {
  const [, key, number] = VERSION.exec(name) ?? [];
  if (key === undefined || number === undefined) throw malformed(name, 'a CryptoKeyVersion');
  return { key, number: Number(number) };
}

export function requireId(id: string, field: string): string {
  if (!RESOURCE_ID.test(id))
    throw invalidArgument(
      `Invalid ${field}: ${JSON.stringify(id.slice(0, 100))} does not match [a-zA-Z0-9_-]{1,63}.`,
    );
  return id;
}

/** The location a resource is in. */
export function locationOf(name: string): string {
  return name.split('/').slice(0, 4).join('/');
}

const malformed = (name: string, what: string) =>
  invalidArgument(`Malformed name: ${JSON.stringify(name.slice(0, 300))} is not the name of ${what}.`);
