/** From the configuration to a trail, and what a provider or the facade does with it at its beginning and end. */

import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { ResolvedAuditConfig } from '../config/audit-config.js';
import type { ProtectionLevel } from '../keys/algorithm-types.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { auditKeySpec } from '../keys/master-key-name.js';
import type { Logger } from '../logger.js';
import { ensureKey } from '../provider/ensure-key.js';
import type { ProviderObserver } from '../provider/observer.js';
import { AuditRecorder } from './audit-recorder.js';
import { FileSink } from './file-sink.js';
import type { AuditEvent } from './line.js';
import { LineSink, loggerSink, type TrailSink } from './sink.js';

interface AuditContext {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The flags in force. */
  readonly configuration: AuditEvent['configuration'];
  readonly agentOf?: ((keyId: string) => string | undefined) | undefined;
}

export function createAuditTrail(config: ResolvedAuditConfig, context: AuditContext): AuditRecorder {
  const { sink, writerId, ...limits } = config;
  const { clock, logger, configuration, agentOf = () => undefined } = context;
  // Two chains of one name, as of a file that was rotated and the one behind it, could not be told apart.
  const newWriter = (): string => (writerId === undefined ? randomUUID() : `${writerId}/${randomUUID()}`);
  const target: TrailSink =
    'write' in sink
      ? new LineSink(sink)
      : sink.type === 'file'
        ? new FileSink({ ...sink, newWriter })
        : new LineSink(loggerSink(sink.logger));
  return new AuditRecorder({ ...limits, sink: target, newWriter, clock, logger, configuration, agentOf });
}

/** The observers of a provider, the trail among them if there is one. */
export const withTrail = (
  observers: readonly ProviderObserver[],
  trail: AuditRecorder | undefined,
): readonly ProviderObserver[] => (trail === undefined ? observers : [...observers, trail]);

/**
 * Initializes a provider whose calls the trail records: opens the trail before, makes sure of its key behind, and has the
 * beginning signed, so that what is missing shows at the start.
 * @throws AuditWriteError with `failClosed`, when the trail cannot be written or signed; the provider's error for the key.
 */
export async function initializeAudited<T>(
  trail: AuditRecorder | undefined,
  keys: {
    readonly provider: Pick<KeyProvider, 'generateKey' | 'getKey'>;
    readonly protectionLevel: ProtectionLevel;
    readonly options: CallOptions | undefined;
    readonly logger: Logger;
  },
  initialize: () => Promise<T>,
): Promise<T> {
  await trail?.open();
  const result = await initialize();
  if (trail !== undefined) {
    await ensureKey(keys.provider, auditKeySpec(keys.protectionLevel), keys);
    await trail.begun();
  }
  return result;
}
