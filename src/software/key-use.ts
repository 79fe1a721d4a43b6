/** The methods of `SoftwareKeyProvider` that use keys, behind the class that documents them. */

import { InvalidArgumentError } from '../errors/input.js';
import { NoUsableVersionError } from '../errors/keys.js';
import type { CallOptions, EncryptionOptions, VerifyOptions } from '../keys/call-options.js';
import type { KeyVersionInUse, SignatureDetails } from '../keys/key-provider.js';
import type { KeyReference } from '../keys/resource-name.js';
import { encryptionOptions, parseOptions, requireBytes, verifyOptions } from '../provider/call-input.js';
import type { Operation } from '../provider/operation.js';
import { MAX_VERIFICATION_CANDIDATES, verifySignature } from '../provider/signature-check.js';
import type { SigningPayload } from '../provider/signing-input.js';
import { decryptWith, encryptWith } from './encryption.js';
import { readMaterial } from './key-objects.js';
import {
  addressOf,
  currentVersion,
  entryOf,
  hasMaterial,
  PROTECTION_LEVEL,
  versionName,
} from './key-records.js';
import { requireEnabled, resolve, wrongPurpose, wrongState } from './key-versions.js';
import { prepareSignature } from './signing.js';
import { contextOf, nameOf, type SoftwareCalls, type SoftwareCore } from './software-calls.js';
import { findVersion, readKey } from './stored-keys.js';

const NO_DATA = new Uint8Array(0);

export async function sign(
  calls: SoftwareCalls,
  method: string,
  payload: SigningPayload & { readonly keyId: string },
  options: CallOptions | undefined,
): Promise<SignatureDetails> {
  const { keyId, kind, bytes } = payload;
  const { core } = calls;
  const reference = calls.reference(method, keyId);
  requireBytes(contextOf(method, keyId), kind === 'digest' ? 'digest' : 'data', bytes);
  return calls.run({ name: method, resource: nameOf(reference), options }, async (operation) => {
    const found = await resolve(core, operation, reference);
    const { algorithm, key, version, name } = found;
    if (algorithm.purpose !== 'ASYMMETRIC_SIGN') throw wrongPurpose(operation, found, ['ASYMMETRIC_SIGN']);
    const signWith = prepareSignature(operation, algorithm, payload);
    requireEnabled(core, operation, found);
    const privateKey = core.keyObjects.secret(operation, addressOf(key, version));
    return {
      signature: await signWith(privateKey),
      keyVersion: name,
      algorithm: algorithm.name,
      protectionLevel: PROTECTION_LEVEL,
      encoding: algorithm.signatureEncoding,
    };
  });
}

export async function verify(
  calls: SoftwareCalls,
  message: { readonly keyId: string; readonly data: Uint8Array; readonly signature: Uint8Array },
  options: VerifyOptions | undefined,
): Promise<boolean> {
  const { core } = calls;
  const context = contextOf('verify', message.keyId);
  const reference = calls.reference('verify', message.keyId);
  const data = requireBytes(context, 'data', message.data);
  const signature = requireBytes(context, 'signature', message.signature);
  // The store is read each time, so that it has no versions to look for.
  const { newVersions: _, ...rest } = parseOptions(context, verifyOptions, options);
  return calls.run({ name: 'verify', resource: nameOf(reference), options: rest }, async (operation) => {
    for (const { algorithm, name, version } of await verifiersOf(core, operation, reference)) {
      const keyObject = core.keyObjects.publicKey(name, version.publicKeyPem);
      const key = { algorithm, material: { kind: 'key-object', keyObject } } as const;
      if (await verifySignature(key, data, signature)) {
        const { observation } = operation;
        observation?.uses({ keyVersion: name, algorithm: algorithm.name, protectionLevel: undefined });
        return true;
      }
    }
    return false;
  });
}

export async function encryption(
  calls: SoftwareCalls,
  method: 'encrypt' | 'decrypt',
  input: { readonly keyId: string; readonly bytes: Uint8Array },
  options: EncryptionOptions | undefined,
): Promise<Buffer> {
  const { keyId, bytes } = input;
  const { core } = calls;
  const context = contextOf(method, keyId);
  const reference = calls.reference(method, keyId);
  requireBytes(context, method === 'encrypt' ? 'plaintext' : 'ciphertext', bytes);
  const parsed = parseOptions(context, encryptionOptions, options);
  const { additionalAuthenticatedData = NO_DATA, ...rest } = parsed;
  return calls.run({ name: method, resource: nameOf(reference), options: rest }, async (operation) => {
    const found = await resolve(core, operation, reference);
    const work = method === 'encrypt' ? encryptWith : decryptWith;
    return work(core, operation, found, { bytes, additionalAuthenticatedData });
  });
}

export async function resolveKeyVersion(
  calls: SoftwareCalls,
  keyId: string,
  options: CallOptions | undefined,
): Promise<KeyVersionInUse> {
  const reference = calls.reference('resolveKeyVersion', keyId);
  return calls.run({ name: 'resolveKeyVersion', resource: nameOf(reference), options }, async (operation) => {
    const { name, algorithm } = await resolve(calls.core, operation, reference);
    return { keyVersion: name, algorithm: algorithm.name, protectionLevel: PROTECTION_LEVEL };
  });
}

export async function getPublicKey(
  calls: SoftwareCalls,
  keyId: string,
  options: CallOptions | undefined,
): Promise<Buffer> {
  const reference = calls.reference('getPublicKey', keyId);
  return calls.run({ name: 'getPublicKey', resource: nameOf(reference), options }, async (operation) => {
    const found = await resolve(calls.core, operation, reference);
    const { publicKeyPem } = found.version;
    if (publicKeyPem === undefined) {
      throw wrongPurpose(operation, found, ['ASYMMETRIC_SIGN', 'ASYMMETRIC_DECRYPT']);
    }
    return Buffer.from(publicKeyPem, 'utf8');
  });
}

export async function withPrivateKey<T>(
  calls: SoftwareCalls,
  loan: { readonly keyVersion: string; readonly work: (secret: Buffer) => Promise<T> },
  options: CallOptions | undefined,
): Promise<T> {
  const { key: keyName, version } = calls.oneVersion('withPrivateKey', loan.keyVersion);
  const { core } = calls;
  const { work } = loan;
  if (typeof work !== 'function') {
    throw new InvalidArgumentError(contextOf('withPrivateKey', loan.keyVersion), 'work must be a function.');
  }
  const secret = await calls.run(
    { name: 'withPrivateKey', resource: version.name, options },
    async (operation) => {
      const key = await readKey(core, operation, keyName);
      // A secret that is read after the call was given up would be wiped by nobody.
      operation.throwIfEnded();
      const stored = findVersion(operation, key, version);
      if (!hasMaterial(stored)) throw wrongState(operation, versionName(key, stored), stored);
      return readMaterial(core.store, operation, addressOf(key, stored));
    },
  );
  // Outside of the operation: what the caller does with the key has a deadline of its own, and when it passes the buffer
  // must not be wiped under work that still runs.
  try {
    return await work(secret);
  } finally {
    secret.fill(0);
  }
}

/** The versions a signature may be by, the one in use first, then newest first. */
async function verifiersOf(core: SoftwareCore, operation: Operation, reference: KeyReference) {
  const key = await readKey(core, operation, reference.key);
  const current = currentVersion(key);
  const versions =
    reference.kind === 'version'
      ? [findVersion(operation, key, reference.version)]
      : [
          ...(current === undefined ? [] : [current]),
          ...key.versions.filter((version) => version.number !== current?.number).toReversed(),
        ];
  const verifiers = versions.slice(0, MAX_VERIFICATION_CANDIDATES).flatMap((version) => {
    const algorithm = entryOf(version.algorithm);
    const { publicKeyPem } = version;
    const name = versionName(key, version);
    if (algorithm.purpose !== 'ASYMMETRIC_SIGN' || publicKeyPem === undefined) return [];
    return [{ algorithm, name, version: { ...version, publicKeyPem } }];
  });
  if (verifiers.length === 0) {
    throw new NoUsableVersionError(operation.context(), 'no version has a public key to verify with.');
  }
  return verifiers;
}
