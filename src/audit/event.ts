/** What a call of a provider becomes in the audit trail. Names, times and digests; never the data. */

import { createHash } from 'node:crypto';
import { agentOfKeyId } from '../keys/agent-key-name.js';
import { fromSoftwareVersionName, isSoftwareVersionName } from '../keys/software-version-name.js';
import type { ObservedCall, ObservedOutcome } from '../provider/observer.js';
import type { AuditEvent, LineBody } from './line.js';

/** Above it a hash is made off the event loop. */
const ASYNC_HASH_BYTES = 262_144;

/** SHA-256 in hex; without a promise for what is short. */
export function digestOf(data: Uint8Array | undefined): string | undefined | Promise<string> {
  if (data === undefined) return undefined;
  if (data.length <= ASYNC_HASH_BYTES) return createHash('sha256').update(data).digest('hex');
  return crypto.subtle.digest('SHA-256', data).then((digest) => Buffer.from(digest).toString('hex'));
}

/** A call that has begun. */
interface BegunCall {
  readonly call: ObservedCall;
  readonly requestId: string;
  readonly startedAt: number;
  readonly subjectSha256: string | undefined;
}

interface EventContext {
  readonly endedAt: number;
  readonly productSha256: string | undefined;
  readonly configuration: AuditEvent['configuration'];
  /** Whose key it is, by what the facade knows. */
  readonly agentOf: (keyId: string) => string | undefined;
}

export function toEvent(begun: BegunCall, outcome: ObservedOutcome, context: EventContext): LineBody {
  const { call, requestId, startedAt, subjectSha256 } = begun;
  const { endedAt, productSha256, configuration, agentOf } = context;
  const key = keyOf(call);
  const keyId = key?.slice(key.lastIndexOf('/') + 1);
  const agent = keyId === undefined ? undefined : (agentOf(keyId) ?? agentOfKeyId(keyId));
  const { version, status, errorCode, verdict, attempts } = outcome;
  const { keyRing, method: operation, reason, correlationId } = call;
  const present = Object.entries({
    ...{ key, agent, subjectSha256, productSha256, errorCode, verdict, reason, correlationId },
    ...{ keyVersion: version?.keyVersion, algorithm: version?.algorithm },
    protectionLevel: version?.protectionLevel,
  }).filter(([, value]) => value !== undefined);
  return {
    type: 'event',
    time: new Date(endedAt).toISOString(),
    ...{ requestId, operation, keyRing, outcome: status, attempts, configuration },
    // A clock may be set back.
    durationMs: Math.max(0, endedAt - startedAt),
    ...Object.fromEntries(present),
  };
}

/**
 * Full name of the key. What is no name of a key of the key ring is left out: it may be anything, also what was passed by
 * mistake in place of a key id.
 */
function keyOf({ keyId, keyRing }: ObservedCall): string | undefined {
  const name = isSoftwareVersionName(keyId) ? fromSoftwareVersionName(keyId) : keyId;
  const [, short, full] =
    /^(?:([A-Za-z0-9_-]{1,63})|(projects\/.+\/cryptoKeys\/[A-Za-z0-9_-]{1,63})(?:\/cryptoKeyVersions\/[0-9]{1,15})?)$/.exec(
      name,
    ) ?? [];
  if (short !== undefined) return `${keyRing}/cryptoKeys/${short}`;
  return full?.startsWith(`${keyRing}/cryptoKeys/`) ? full : undefined;
}
