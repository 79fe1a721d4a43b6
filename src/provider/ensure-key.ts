/** Makes sure of a key at the start of a process, which has to start while a location is down. */

import { ReplicationIncompleteError } from '../errors/replication.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeySpec } from '../keys/key-provider.js';
import type { Logger } from '../logger.js';
import { isLocationFailure } from './location-failure.js';

/** A key that is there. */
export interface EnsuredKey {
  readonly key: KeyMetadata;
  /** Full names of key rings that could not be reached, where the key may be missing. */
  readonly unreached: readonly string[];
}

/**
 * Makes the key in every key ring, or finds it. Key rings that cannot be reached are left out and logged, as long as
 * another one has the key: the next start makes up for them.
 * @throws ReplicationIncompleteError when a key ring could be reached and refused: for a permission, or with another key.
 */
export async function ensureKey(
  provider: Pick<KeyProvider, 'generateKey' | 'getKey'>,
  spec: KeySpec,
  start: { readonly options: CallOptions | undefined; readonly logger: Pick<Logger, 'warn'> },
): Promise<EnsuredKey> {
  const { options, logger } = start;
  try {
    return { key: await provider.generateKey(spec, options), unreached: [] };
  } catch (error) {
    if (!(error instanceof ReplicationIncompleteError)) throw error;
    const { completed, failures } = error;
    if (!failures.every(({ cause }) => isLocationFailure(cause))) throw error;
    const key = await provider.getKey(spec.name, options);
    const unreached = failures.map(({ keyRing }) => keyRing);
    logger.warn(
      { event: 'key-ring-not-reached', keyId: spec.name, completed, unreached },
      'a key ring could not be reached at the start; whether it has the key is checked at the next one',
    );
    return { key, unreached };
  }
}
