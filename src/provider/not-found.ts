/**
 * What to do about a resource that does not exist: which call makes it. A key that is made by another call than its own
 * lacks the labels by which it is recognised, and Cloud KMS never gives the name of a key out again.
 */

import type { ErrorContext } from '../errors/base.js';
import { NotFoundError } from '../errors/keys.js';
import { MASTER_KEY_IDS } from '../keys/master-key-name.js';

/** For a key or a version, named in full or by its short id in `context.resource`. */
export function resourceNotFound(context: ErrorContext): NotFoundError {
  const { resource } = context;
  if (resource.includes('/cryptoKeyVersions/')) {
    return new NotFoundError(context, {
      what: 'it does not exist.',
      next: 'Check project, location, key ring and key; listKeyVersions shows the versions that a key has.',
    });
  }
  const [, keyId = resource] = /\/cryptoKeys\/([^/]+)/.exec(resource) ?? [];
  const option = masterOption(keyId);
  if (option === undefined) return new NotFoundError(context);
  return new NotFoundError(context, {
    what: 'it does not exist.',
    next: `Set ${option} in the configuration and call initialize, which makes it. Do not make it with generateKey: initialize would not take it for its own.`,
  });
}

/** For a call that works in a key ring which is not there. */
export function keyRingNotFound(context: ErrorContext): NotFoundError {
  const [keyRing] = context.resource.split('/cryptoKeys/');
  return new NotFoundError(context, {
    what: `the key ring ${keyRing} does not exist.`,
    next: 'Check project, location and key ring, or create it with initialize.',
  });
}

/** The option with which `initialize` makes a key; undefined for a key that it never makes. */
function masterOption(keyId: string): string | undefined {
  if (keyId === MASTER_KEY_IDS.audit) return '`audit`';
  return keyId === MASTER_KEY_IDS.root || keyId === MASTER_KEY_IDS.kek ? '`hierarchy: {}`' : undefined;
}
