/**
 * Verifies a signature against the versions it may be by: the pinned one, or the version in use and then the others,
 * newest first. A public key is fetched only when its turn comes; those of versions that are not ENABLED any more come
 * from the cache and the archive.
 */

import { FailedPreconditionError, NotFoundError, NoUsableVersionError } from '../errors/keys.js';
import { findAlgorithm } from '../keys/algorithms.js';
import type { KeyReference } from '../keys/resource-name.js';
import type { Observation, ObservedVersion } from '../provider/observer.js';
import type { Operation } from '../provider/operation.js';
import {
  MAX_VERIFICATION_CANDIDATES,
  type VerificationKey,
  verifySignature,
} from '../provider/signature-check.js';
import type { KmsCore } from './core.js';
import type { VersionRecord } from './resources.js';
import type { KeySnapshot, UsableVersion } from './version-resolver.js';

/** A signature over a message. */
export interface SignedMessage {
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * The verdict if it needs no call: every public key that has to be tried is in the cache. It comes at once when the
 * signature is by the version in use, as it mostly is.
 */
export function verifyWarm(
  core: KmsCore,
  observation: Observation | undefined,
  reference: KeyReference,
  signed: SignedMessage,
): Verdict | Promise<Verdict> {
  const name = inUse(core, reference);
  if (name === undefined) return verifyOn(core, observation, { reference, signed });
  const key = core.publicKeys.peek(name);
  if (key === undefined) return undefined;
  const valid = verifySignature(key, signed.data, signed.signature);
  if (valid === true) observation?.uses(verifierOf(name, key));
  return valid === true || verifyOn(core, observation, { reference, signed, tried: { name, key, valid } });
}

type Verdict = boolean | undefined;

/** What is left when the signature is not known at once to be by the version in use. */
async function verifyOn(
  core: KmsCore,
  observation: Observation | undefined,
  left: {
    readonly reference: KeyReference;
    readonly signed: SignedMessage;
    readonly tried?: {
      readonly name: string;
      readonly key: VerificationKey;
      readonly valid: false | Promise<boolean>;
    };
  },
): Promise<Verdict> {
  const { reference, signed, tried } = left;
  let verdict = await tried?.valid;
  if (tried !== undefined && verdict) {
    observation?.uses(verifierOf(tried.name, tried.key));
    return true;
  }
  for (const name of others(core, reference)) {
    const key = core.publicKeys.peek(name);
    if (key === undefined) return undefined;
    verdict = await verifySignature(key, signed.data, signed.signature);
    if (verdict) {
      observation?.uses(verifierOf(name, key));
      return true;
    }
  }
  return verdict;
}

/** The verdict, with public keys fetched where need be. */
export async function verifyCold(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  signed: SignedMessage,
): Promise<boolean> {
  let tried = 0;
  let unreadable: unknown;
  for (const { usable, fetchable } of await coldCandidates(core, operation, reference)) {
    const found = await publicKeyOf(core, operation, { reference, usable, fetchable });
    if (!found.ok) {
      unreadable ??= found.reason;
      continue;
    }
    tried += 1;
    if (await verifySignature(found.key, signed.data, signed.signature)) {
      operation.observation?.uses(verifierOf(usable.name, found.key));
      return true;
    }
    if (tried === MAX_VERIFICATION_CANDIDATES) break;
  }
  if (tried === 0) {
    const context = operation.context(unreadable);
    throw new NoUsableVersionError(context, 'no version has a public key that can be read.');
  }
  return false;
}

type FoundKey =
  | { readonly ok: true; readonly key: VerificationKey }
  | { readonly ok: false; readonly reason?: unknown };

/** The public key, unless it cannot be had any more. That of a version that was asked for by its name has to be had. */
async function publicKeyOf(
  core: KmsCore,
  operation: Operation,
  version: {
    readonly reference: KeyReference;
    readonly usable: UsableVersion;
    readonly fetchable: boolean;
  },
): Promise<FoundKey> {
  const { reference, usable, fetchable } = version;
  try {
    const key = fetchable
      ? await core.publicKeys.get(operation, usable)
      : await core.publicKeys.recall(operation, usable);
    return key === undefined ? { ok: false } : { ok: true, key };
  } catch (reason) {
    const isGone = reason instanceof FailedPreconditionError || reason instanceof NotFoundError;
    if (!isGone || reference.kind === 'version') throw reason;
    // It was disabled since the versions were read.
    core.resolver.invalidate(reference.key);
    return { ok: false, reason };
  }
}

const verifierOf = (keyVersion: string, { algorithm }: VerificationKey): ObservedVersion => ({
  keyVersion,
  algorithm: algorithm.name,
  protectionLevel: undefined,
});

function inUse(core: KmsCore, reference: KeyReference): string | undefined {
  if (reference.kind === 'version') return reference.version.name;
  const pinned = core.resolver.resolveWarm(reference);
  if (pinned !== undefined) return pinned.name;
  const current = core.resolver.peek(reference.key)?.current;
  return current !== undefined && isCandidate(core, current) ? current.name : undefined;
}

/** What may have signed besides the version in use. */
function others(core: KmsCore, reference: KeyReference): readonly string[] {
  if (reference.kind === 'version' || core.resolver.isPinned(reference.key)) return [];
  const snapshot = core.resolver.peek(reference.key);
  if (snapshot === undefined) return [];
  // Each of these is in the cache, or the rest is left to `verifyCold`, which counts the keys that there are.
  return inOrder(core, snapshot)
    .slice(0, MAX_VERIFICATION_CANDIDATES)
    .filter((version) => version.name !== snapshot.current?.name)
    .map((version) => version.name);
}

async function coldCandidates(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
): Promise<readonly { readonly usable: UsableVersion; readonly fetchable: boolean }[]> {
  if (reference.kind === 'version' || core.resolver.isPinned(reference.key)) {
    return [
      { usable: await core.resolver.resolve(operation, reference, ['ASYMMETRIC_SIGN']), fetchable: true },
    ];
  }
  const snapshot = await core.resolver.snapshot(operation, reference.key);
  const { name: key, protectionLevel } = snapshot.key;
  return inOrder(core, snapshot).flatMap((version) => {
    const algorithm = findAlgorithm(version.metadata.algorithm);
    if (algorithm === undefined) return [];
    const { name, number } = version;
    return [{ usable: { name, number, key, algorithm, protectionLevel }, fetchable: isFetchable(version) }];
  });
}

/** Cloud KMS gives out the public keys of ENABLED versions only. */
const isFetchable = (version: VersionRecord): boolean => version.metadata.state === 'ENABLED';

function inOrder(core: KmsCore, snapshot: KeySnapshot): readonly VersionRecord[] {
  const { current, versions } = snapshot;
  const others = versions.filter((version) => version.name !== current?.name).toReversed();
  return [...(current === undefined ? [] : [current]), ...others].filter((version) =>
    isCandidate(core, version),
  );
}

const isCandidate = (core: KmsCore, version: VersionRecord): boolean =>
  findAlgorithm(version.metadata.algorithm)?.purpose === 'ASYMMETRIC_SIGN' &&
  (isFetchable(version) || core.publicKeys.mayBeRecalled(version.name));
