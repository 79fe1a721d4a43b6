/** What is left of a software key: a key that is gone for good keeps nobody from anything, and is not used again. */

import { agentOfLabels } from '../keys/agent-key-name.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata } from '../keys/key-provider.js';
import type { SoftwareKeys } from './software-keys.js';
import { standingOf } from './standing.js';

/** `kept`: a version is ENABLED or DISABLED. `scheduled`: what there is can only be restored. `destroyed`: nothing. */
export type Remains = 'kept' | 'scheduled' | 'destroyed';

export async function remainsOf(
  software: SoftwareKeys,
  keyName: string,
  options?: CallOptions,
): Promise<Remains> {
  const states = (await software.listKeyVersions(keyName, options)).map(({ state }) => state);
  if (states.some((state) => state === 'ENABLED' || state === 'DISABLED')) return 'kept';
  return states.includes('DESTROY_SCHEDULED') ? 'scheduled' : 'destroyed';
}

/** A software key whose private key is still needed: no HSM key has taken over all that it does. */
export interface LeftKey {
  readonly key: KeyMetadata;
  readonly remains: Exclude<Remains, 'destroyed'>;
}

/**
 * The software keys that were not migrated. Those that stand in for an HSM key are among them where they decrypt: what was
 * encrypted to them while HSM keys were switched off is readable in the HSM only when they were migrated.
 */
export async function listLeftKeys(
  software: SoftwareKeys,
  options?: CallOptions,
): Promise<readonly LeftKey[]> {
  const left: LeftKey[] = [];
  for (const key of await software.listKeys(options)) {
    const { kind } = standingOf(key);
    if (kind === 'migrated') continue;
    if (kind === 'standby' && agentOfLabels(key.labels)?.role !== 'encryption') continue;
    const remains = await remainsOf(software, key.name, options);
    if (remains !== 'destroyed') left.push({ key, remains });
  }
  return left;
}
