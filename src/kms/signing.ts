/** Signs in the HSM: the digest or the message, as the algorithm of the version demands, with checksums both ways. */

import { createHash } from 'node:crypto';
import {
  DataTooLargeError,
  IntegrityError,
  InvalidArgumentError,
  UnsupportedAlgorithmError,
} from '../errors.js';
import { algorithmsOf, type ProtectionLevel, type SigningAlgorithmEntry } from '../keys/algorithms.js';
import type { SignatureDetails } from '../keys/key-provider.js';
import type { KeyReference } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import { checkedBytes, checksumOf, requireEqual, requireVerified, withIntegrityRetry } from './integrity.js';
import { withUsableVersion } from './usable-version.js';
import type { UsableVersion } from './version-resolver.js';

/** The message, or its digest that the caller computed. */
export type SigningPayload =
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  | { readonly kind: 'digest'; readonly bytes: Uint8Array };

/** What goes over the wire. */
type WirePayload =
  | { readonly field: 'digest'; readonly digest: 'sha256' | 'sha384' | 'sha512'; readonly bytes: Uint8Array }
  | { readonly field: 'data'; readonly bytes: Uint8Array };

/** Signs with the version that the reference means. */
export function signWith(
  core: KmsCore,
  operation: Operation,
  reference: KeyReference,
  payload: SigningPayload,
): Promise<SignatureDetails> {
  return withUsableVersion(core, operation, { reference, purposes: ['ASYMMETRIC_SIGN'] }, (version) => {
    const { algorithm } = version;
    // The resolver checked the purpose; this narrows the type.
    if (algorithm.purpose !== 'ASYMMETRIC_SIGN') {
      throw new UnsupportedAlgorithmError(
        operation.context(),
        `${algorithm.name} does not sign.`,
        algorithmsOf('ASYMMETRIC_SIGN'),
      );
    }
    const wire = toWire(operation, algorithm, payload);
    return withIntegrityRetry(() => signOnce(core, operation, { version, algorithm, wire }));
  });
}

function toWire(
  operation: Operation,
  algorithm: SigningAlgorithmEntry,
  payload: SigningPayload,
): WirePayload {
  const { input } = algorithm;
  if (payload.kind === 'digest') {
    if (input.kind === 'data') {
      throw new InvalidArgumentError(
        operation.context(),
        `${algorithm.name} signs messages, not digests; pass the message to sign.`,
      );
    }
    if (payload.bytes.length !== input.sizeBytes) {
      throw new InvalidArgumentError(
        operation.context(),
        `${algorithm.name} takes a ${input.digest} digest of ${input.sizeBytes} bytes, got ${payload.bytes.length} bytes.`,
      );
    }
    return { field: 'digest', digest: input.digest, bytes: payload.bytes };
  }
  if (input.kind === 'digest') {
    return {
      field: 'digest',
      digest: input.digest,
      bytes: createHash(input.digest).update(payload.bytes).digest(),
    };
  }
  if (payload.bytes.length > input.maxBytes) {
    throw new DataTooLargeError(
      operation.context(),
      {
        what: `a message for ${algorithm.name}`,
        sizeBytes: payload.bytes.length,
        limitBytes: input.maxBytes,
      },
      'Use an algorithm that signs a digest, which has no limit, or sign a digest of the message as the message.',
    );
  }
  return { field: 'data', bytes: payload.bytes };
}

async function signOnce(
  core: KmsCore,
  operation: Operation,
  input: {
    readonly version: UsableVersion;
    readonly algorithm: SigningAlgorithmEntry;
    readonly wire: WirePayload;
  },
): Promise<SignatureDetails> {
  const { version, algorithm, wire } = input;
  const { name } = version;
  const answer = await core.caller.call(operation, {
    rpc: 'asymmetricSign',
    request:
      wire.field === 'digest'
        ? { name, digest: { [wire.digest]: wire.bytes }, digestCrc32c: checksumOf(wire.bytes) }
        : { name, data: wire.bytes, dataCrc32c: checksumOf(wire.bytes) },
    routeBy: ['name', name],
  });
  requireEqual(operation, 'the name of the version that signed', { expected: name, actual: answer.name });
  requireEqual(operation, 'the protection level', {
    expected: version.protectionLevel,
    actual: answer.protectionLevel,
  });
  requireVerified(
    operation,
    wire.field,
    wire.field === 'digest' ? answer.verifiedDigestCrc32c : answer.verifiedDataCrc32c,
  );
  const signature = checkedBytes(operation, 'the signature', {
    bytes: answer.signature,
    checksum: answer.signatureCrc32c,
  });
  return {
    signature,
    keyVersion: name,
    algorithm: algorithm.name,
    protectionLevel: toProtectionLevel(operation, version.protectionLevel),
    encoding: algorithm.signatureEncoding,
  };
}

function toProtectionLevel(operation: Operation, level: string): ProtectionLevel {
  if (level === 'HSM' || level === 'SOFTWARE') return level;
  throw new IntegrityError(
    operation.context(),
    `the protection level ${level} is not one this library works with`,
  );
}
