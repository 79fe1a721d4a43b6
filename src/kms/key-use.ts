/** The methods of `KMSClient` that use keys, behind the class that documents them. */

import type { KeyAttestation } from '../attestation/key-attestation.js';
import { OperationAbortedError } from '../errors/service.js';
import type { KeyPurpose } from '../keys/algorithm-types.js';
import type { CallOptions, EncryptionOptions, VerifyOptions } from '../keys/call-options.js';
import type { KeyVersionInUse, SignatureDetails } from '../keys/key-provider.js';
import { encryptionOptions, parseOptions, requireBytes, verifyOptions } from '../provider/call-input.js';
import type { SigningPayload } from '../provider/signing-input.js';
import { type ClientCalls, contextOf, nameOf } from './client-calls.js';
import { decryptWith, encryptWith } from './encryption.js';
import { signWith } from './signing.js';
import { isSettled, type SignedMessage, verifyCold, verifyWarm } from './verify.js';

const NO_DATA = new Uint8Array(0);
const NO_OPTIONS: VerifyOptions = {};
const ANY_PURPOSE = [
  'ENCRYPT_DECRYPT',
  'ASYMMETRIC_SIGN',
  'ASYMMETRIC_DECRYPT',
  'RAW_ENCRYPT_DECRYPT',
  'MAC',
  'KEY_ENCAPSULATION',
] as const satisfies readonly KeyPurpose[];

/** @throws at once what is wrong with the input; `ClientCalls.observed` makes a rejection of it. */
export function sign(
  calls: ClientCalls,
  name: string,
  payload: SigningPayload & { readonly keyId: string },
  options: CallOptions | undefined,
): Promise<SignatureDetails> {
  const { keyId, kind, bytes } = payload;
  const reference = calls.reference(name, keyId);
  requireBytes(contextOf(name, keyId), kind === 'digest' ? 'digest' : 'data', bytes);
  const operation = calls.open(name, nameOf(reference), options);
  return operation.run(() => signWith(calls.core, operation, reference, payload));
}

export async function verify(
  calls: ClientCalls,
  message: SignedMessage & { readonly keyId: string },
  options: VerifyOptions | undefined,
): Promise<boolean> {
  const { core, observation } = calls;
  const context = contextOf('verify', message.keyId);
  const reference = calls.reference('verify', message.keyId);
  const signed = {
    data: requireBytes(context, 'data', message.data),
    signature: requireBytes(context, 'signature', message.signature),
  };
  // The usual case, at no cost.
  const parsed = options === undefined ? NO_OPTIONS : parseOptions(context, verifyOptions, options);
  if (parsed.signal?.aborted) throw new OperationAbortedError({ ...context, cause: parsed.signal.reason });
  const { reads } = core.resolver;
  const warm = verifyWarm(core, observation, reference, signed);
  const known = warm instanceof Promise ? await warm : warm;
  if (known === true) return true;
  const { newVersions = 'look', ...rest } = parsed;
  const doubtful = { reference, signed, known, reads, newVersions };
  if (isSettled(core, doubtful)) return false;
  const operation = calls.open('verify', nameOf(reference), rest);
  return operation.run(() => verifyCold(core, operation, doubtful));
}

export async function encryption(
  calls: ClientCalls,
  name: 'encrypt' | 'decrypt',
  input: { readonly keyId: string; readonly bytes: Uint8Array },
  options: EncryptionOptions | undefined,
): Promise<Buffer> {
  const { keyId, bytes } = input;
  const context = contextOf(name, keyId);
  const reference = calls.reference(name, keyId);
  requireBytes(context, name === 'encrypt' ? 'plaintext' : 'ciphertext', bytes);
  const { additionalAuthenticatedData = NO_DATA, ...rest } = parseOptions(
    context,
    encryptionOptions,
    options,
  );
  const operation = calls.open(name, nameOf(reference), rest);
  const work = name === 'encrypt' ? encryptWith : decryptWith;
  return operation.run(() => work(calls.core, operation, reference, { bytes, additionalAuthenticatedData }));
}

export async function resolveKeyVersion(
  calls: ClientCalls,
  keyId: string,
  options: CallOptions | undefined,
): Promise<KeyVersionInUse> {
  const reference = calls.reference('resolveKeyVersion', keyId);
  const operation = calls.open('resolveKeyVersion', nameOf(reference), options);
  return operation.run(async () => {
    const version = await calls.core.resolver.resolve(operation, reference, ANY_PURPOSE);
    const { name: keyVersion, algorithm, protectionLevel } = version;
    return { keyVersion, algorithm: algorithm.name, protectionLevel };
  });
}

export async function getPublicKey(
  calls: ClientCalls,
  keyId: string,
  options: CallOptions | undefined,
): Promise<Buffer> {
  const reference = calls.reference('getPublicKey', keyId);
  const operation = calls.open('getPublicKey', nameOf(reference), options);
  return operation.run(async () => {
    const { attestations, publicKeys, resolver } = calls.core;
    const version = await resolver.resolve(operation, reference, ['ASYMMETRIC_SIGN', 'ASYMMETRIC_DECRYPT']);
    // Encryption is done with it elsewhere, out of sight: this is the last place where it can be refused.
    if (version.algorithm.purpose === 'ASYMMETRIC_DECRYPT') await attestations.require(operation, version);
    return Buffer.from((await publicKeys.get(operation, version)).pem, 'utf8');
  });
}

export async function attestKey(
  calls: ClientCalls,
  keyId: string,
  options: CallOptions | undefined,
): Promise<KeyAttestation> {
  const reference = calls.reference('attestKey', keyId);
  const operation = calls.open('attestKey', nameOf(reference), options);
  return operation.run(async () => {
    const { attestations, resolver } = calls.core;
    return attestations.attest(operation, await resolver.resolve(operation, reference, ANY_PURPOSE));
  });
}
