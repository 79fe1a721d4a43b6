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

/** What is known of a signature without a call: that it is valid, or what did not make it. */
type Known =
  | true
  | {
      /** Full names of the versions that it is not by. */
      readonly notBy: ReadonlySet<string>;
      /** Whether these are all that may have made it, by what is in the caches. */
      readonly isAll: boolean;
    };

const NOTHING: Known = { notBy: new Set(), isAll: false };

/**
 * What is known without a call. It comes at once when the signature is by the version in use, as it mostly is, and its
 * public key is in the cache.
 */
export function verifyWarm(
  core: KmsCore,
  observation: Observation | undefined,
  reference: KeyReference,
  signed: SignedMessage,
): Known | Promise<Known> {
  const name = inUse(core, reference);
  if (name === undefined) return verifyOn(core, observation, { reference, signed });
  const key = core.publicKeys.peek(name);
  if (key === undefined) return NOTHING;
  const valid = verifySignature(key, signed.data, signed.signature);
  if (valid === true) observation?.uses(verifierOf(name, key));
  return valid === true || verifyOn(core, observation, { reference, signed, tried: { name, key, valid } });
}

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
): Promise<Known> {
  const { reference, signed, tried } = left;
  const notBy = new Set<string>();
  if (tried !== undefined) {
    if (await tried.valid) {
      observation?.uses(verifierOf(tried.name, tried.key));
      return true;
    }
    notBy.add(tried.name);
  }
  for (const name of others(core, reference)) {
    const key = core.publicKeys.peek(name);
    if (key === undefined) return { notBy, isAll: false };
    if (await verifySignature(key, signed.data, signed.signature)) {
      observation?.uses(verifierOf(name, key));
      return true;
    }
    notBy.add(name);
  }
  return { notBy, isAll: notBy.size > 0 };
}

/** A signature that is not known to be valid, and how much of an effort it is worth. */
export interface Doubtful {
  readonly reference: KeyReference;
  readonly signed: SignedMessage;
  readonly known: Exclude<Known, true>;
  /** Reads that had begun when it came. What begins later knows the version that made it. */
  readonly reads: number;
  readonly newVersions: 'look' | 'ignore';
}

/** Whether it is false without any further call. */
export function isSettled(core: KmsCore, { reference, known, reads, newVersions }: Doubtful): boolean {
  if (!known.isAll) return false;
  if (newVersions === 'ignore' || isFixed(core, reference)) return true;
  return !core.newerVersions.mayHave(reference.key, reads);
}

/** The verdict, with public keys fetched where need be, and versions looked for that were made a moment ago. */
export async function verifyCold(core: KmsCore, operation: Operation, doubtful: Doubtful): Promise<boolean> {
  const { reference, signed, known, reads, newVersions } = doubtful;
  const search = new Search(core, operation, { reference, signed, notBy: new Set(known.notBy) });
  if (isFixed(core, reference)) {
    const usable = await core.resolver.resolve(operation, reference, ['ASYMMETRIC_SIGN']);
    return (await search.finds([{ usable, fetchable: true }])) || search.givesUp();
  }
  const { key } = reference;
  const snapshot = known.isAll ? undefined : await core.resolver.snapshot(operation, key);
  if (snapshot !== undefined && (await search.finds(candidatesOf(core, snapshot)))) return true;
  const wasReadNow = snapshot !== undefined && snapshot.read > reads;
  if (newVersions === 'ignore' || wasReadNow) return search.givesUp();
  const newer = await core.newerVersions.since(operation, key, reads);
  return (newer !== undefined && (await search.finds(candidatesOf(core, newer)))) || search.givesUp();
}

/** The search for the version that made a signature. */
class Search {
  readonly #core: KmsCore;
  readonly #operation: Operation;
  readonly #reference: KeyReference;
  readonly #signed: SignedMessage;
  readonly #notBy: Set<string>;
  #unreadable: unknown;

  constructor(
    core: KmsCore,
    operation: Operation,
    wanted: Pick<Doubtful, 'reference' | 'signed'> & { readonly notBy: Set<string> },
  ) {
    this.#core = core;
    this.#operation = operation;
    this.#reference = wanted.reference;
    this.#signed = wanted.signed;
    this.#notBy = wanted.notBy;
  }

  /** Whether one of them made it; those that are known not to have are not tried again. */
  async finds(candidates: readonly Candidate[]): Promise<boolean> {
    const { data, signature } = this.#signed;
    let tried = 0;
    for (const candidate of candidates) {
      if (tried === MAX_VERIFICATION_CANDIDATES) break;
      const { name } = candidate.usable;
      if (!this.#notBy.has(name)) {
        const found = await publicKeyOf(this.#core, this.#operation, this.#reference, candidate);
        if (!found.ok) {
          this.#unreadable ??= found.reason;
          continue;
        }
        if (await verifySignature(found.key, data, signature)) {
          this.#operation.observation?.uses(verifierOf(name, found.key));
          return true;
        }
        this.#notBy.add(name);
      }
      tried += 1;
    }
    return false;
  }

  /** @throws NoUsableVersionError when there was nothing to try. */
  givesUp(): false {
    if (this.#notBy.size > 0) return false;
    const context = this.#operation.context(this.#unreadable);
    throw new NoUsableVersionError(context, 'no version has a public key that can be read.');
  }
}

/** A version that may have made a signature. */
interface Candidate {
  readonly usable: UsableVersion;
  readonly fetchable: boolean;
}

type FoundKey =
  | { readonly ok: true; readonly key: VerificationKey }
  | { readonly ok: false; readonly reason?: unknown };

/** The public key, unless it cannot be had any more. That of a version that was asked for by its name has to be had. */
async function publicKeyOf(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  { usable, fetchable }: Candidate,
): Promise<FoundKey> {
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
  if (isFixed(core, reference)) return [];
  const snapshot = core.resolver.peek(reference.key);
  if (snapshot === undefined) return [];
  // Each of these is in the cache, or the rest is left to `verifyCold`, which counts the keys that there are.
  return inOrder(core, snapshot)
    .slice(0, MAX_VERIFICATION_CANDIDATES)
    .filter((version) => version.name !== snapshot.current?.name)
    .map((version) => version.name);
}

/** Whether it can be by one version only, which does not change. */
const isFixed = (core: KmsCore, reference: KeyReference): boolean =>
  reference.kind === 'version' || core.resolver.isPinned(reference.key);

function candidatesOf(core: KmsCore, snapshot: KeySnapshot): readonly Candidate[] {
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
