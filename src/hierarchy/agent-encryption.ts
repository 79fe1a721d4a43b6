/**
 * Encryption to an agent: made here with its public key, opened with a content key that only the HSM can unwrap. `kid`
 * names the version, so a rotation leaves what is under way readable.
 */

import { z } from 'zod';
import type { Clock } from '../clock.js';
import type { ErrorContext } from '../errors/base.js';
import { DecryptionFailedError, OperationAbortedError } from '../errors/service.js';
import {
  encryptCompactJwe,
  type JweOptions,
  openJwe,
  type ParsedJwe,
  parseCompactJwe,
  requireJwePlaintext,
} from '../identity/jwe.js';
import type { JosePublicKey, PublicKeyInput } from '../identity/jwk.js';
import { type AgentId, agentContext } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { callOptions, parseOptions, purposeOf } from '../provider/call-input.js';
import { Operation } from '../provider/operation.js';
import { type AgentKeys, requireAgentId } from './agent-keys.js';
import type { VersionKey, VersionKeys } from './version-keys.js';

/** Of everything a call may have to look up besides its one decryption; each RPC has the provider's deadline too. */
const TIMEOUT_MS = 60_000;

const mediaType = z.string('must be a media type').optional();
const encryptionOptions = callOptions.extend({ typ: mediaType, cty: mediaType });

/** Options of `encryptForAgent`: those of the call, and the media types in the header of the JWE. */
export interface EncryptForAgentOptions extends CallOptions, JweOptions {}

/** Whom to encrypt to: an agent of this key ring by its id, or anybody by their public key. */
export type Recipient = string | Exclude<PublicKeyInput, string | Uint8Array>;

export interface AgentEncryptionContext {
  readonly provider: KeyProvider;
  readonly agentKeys: AgentKeys;
  readonly versionKeys: VersionKeys;
  readonly clock: Clock;
}

/** Encrypts as compact JWE. No call for a public key, nor for an agent whose key in use is known. */
export async function encryptFor(
  { agentKeys, versionKeys }: AgentEncryptionContext,
  recipient: Recipient,
  plaintext: Uint8Array,
  options: EncryptForAgentOptions = {},
): Promise<string> {
  const context =
    typeof recipient === 'string'
      ? agentContext('encryptForAgent', recipient)
      : { operation: 'encryptForAgent', resource: 'JWK' };
  const { typ, cty, ...forCalls } = parseOptions(context, encryptionOptions, options);
  const { signal } = forCalls;
  if (signal?.aborted) throw new OperationAbortedError({ ...context, cause: signal.reason });
  if (typeof recipient !== 'string') return encryptCompactJwe(recipient, plaintext, { typ, cty });
  const agent = requireAgentId(context, recipient);
  requireJwePlaintext(context, plaintext);
  // The caller may change its bytes while the key is looked up.
  const copy = Buffer.from(plaintext);
  try {
    const keyName = await agentKeys.nameOf(context, agent, 'encryption', forCalls);
    const { key } = await versionKeys.current(context, keyName, forCalls);
    return encryptCompactJwe(key, copy, { typ, cty });
  } finally {
    copy.fill(0);
  }
}

/** Opens a compact JWE with the agent's key: one decryption in the HSM. */
export async function decryptAs(
  services: AgentEncryptionContext,
  agentId: string,
  jwe: string,
  options: CallOptions = {},
): Promise<Buffer> {
  const context = agentContext('decryptAsAgent', agentId);
  const agent = requireAgentId(context, agentId);
  const parsed = parseCompactJwe(context, jwe);
  const { timeoutMs = TIMEOUT_MS, signal, ...forProvider } = parseOptions(context, callOptions, options);
  const operation = new Operation({
    name: context.operation,
    resource: context.resource,
    timeoutMs,
    clock: services.clock,
    signal,
  });
  const controller = new AbortController();
  operation.onEnd(() => controller.abort());
  return operation.run(async () => {
    // What is looked up is shared with other callers, so it goes on when this one ends.
    const { keyVersion, key } = await operation.waitFor(
      versionFor(services, context, { agent, parsed }, purposeOf(options)),
    );
    requireModulusSize(context, key, parsed.encryptedKey);
    const contentKey = await services.provider.decrypt(keyVersion, parsed.encryptedKey, {
      ...forProvider,
      signal: controller.signal,
    });
    try {
      return openJwe(context, parsed, contentKey);
    } finally {
      contentKey.fill(0);
    }
  });
}

/** The version that `kid` names. Without `kid` the one in use: trying all would cost a decryption in the HSM for each. */
async function versionFor(
  { agentKeys, versionKeys }: AgentEncryptionContext,
  context: ErrorContext,
  { agent, parsed }: { readonly agent: AgentId; readonly parsed: ParsedJwe },
  options: CallOptions,
): Promise<VersionKey> {
  const keyName = await agentKeys.nameOf(context, agent, 'encryption', options);
  return parsed.kid === undefined
    ? versionKeys.current(context, keyName, options)
    : versionKeys.versionOf(context, { keyName, kid: parsed.kid }, options);
}

/** RSA ciphertexts have the size of the modulus (RFC 8017 section 7.1.1): others are wrong without asking the HSM. */
function requireModulusSize(context: ErrorContext, key: JosePublicKey, encryptedKey: Uint8Array): void {
  const { key: type } = key.algorithm;
  if (type.kind === 'rsa' && encryptedKey.length !== type.modulusBits / 8) {
    throw new DecryptionFailedError(context);
  }
}
