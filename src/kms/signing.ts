/** Signs in the HSM: the digest or the message, as the algorithm of the version demands, with checksums both ways. */

import { UnsupportedAlgorithmError } from '../errors/input.js';
import { IntegrityError } from '../errors/service.js';
import type { ProtectionLevel, SigningAlgorithmEntry } from '../keys/algorithm-types.js';
import { algorithmsOf } from '../keys/algorithms.js';
import type { SignatureDetails } from '../keys/key-provider.js';
import type { KeyReference } from '../keys/resource-name.js';
import type { Operation } from '../provider/operation.js';
import { type SigningInputBytes, type SigningPayload, toSigningInput } from '../provider/signing-input.js';
import type { KmsCore } from './core.js';
import { checkedBytes, checksumOf, requireEqual, requireVerified, withIntegrityRetry } from './integrity.js';
import type { RpcResponse } from './rpc.js';
import { withUsableVersion } from './usable-version.js';
import type { UsableVersion } from './version-resolver.js';

interface SigningInput {
  readonly version: UsableVersion;
  readonly algorithm: SigningAlgorithmEntry;
  readonly wire: SigningInputBytes;
}

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
        `${algorithm.name} is not a signing algorithm.`,
        algorithmsOf('ASYMMETRIC_SIGN'),
      );
    }
    const wire = toSigningInput(operation, algorithm, payload);
    const signed = (): Promise<SignatureDetails> =>
      withIntegrityRetry(() => signOnce(core, operation, { version, algorithm, wire }));
    return core.attestations.isRequired
      ? core.attestations.require(operation, version).then(signed)
      : signed();
  });
}

function signOnce(core: KmsCore, operation: Operation, input: SigningInput): Promise<SignatureDetails> {
  const { version, wire } = input;
  const { name } = version;
  const answered = core.caller.call(operation, {
    rpc: 'asymmetricSign',
    request:
      wire.field === 'digest'
        ? { name, digest: { [wire.digest]: wire.bytes }, digestCrc32c: checksumOf(wire.bytes) }
        : { name, data: wire.bytes, dataCrc32c: checksumOf(wire.bytes) },
    routeBy: ['name', name],
    uses: version,
  });
  return answered.then((answer) => toSignature(operation, input, answer));
}

/** The signature of an answer that is checked in every field. */
function toSignature(
  operation: Operation,
  { version, algorithm, wire }: SigningInput,
  answer: RpcResponse<'asymmetricSign'>,
): SignatureDetails {
  const { name } = version;
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
