/** The keys at the top of the hierarchy: made once, by whoever comes first. */

import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeySpec } from '../keys/key-provider.js';
import { MASTER_KEY_IDS, masterKeyLabels } from '../keys/master-key-name.js';
import { type EnsuredKey, ensureKey } from '../provider/ensure-key.js';
import { signingAlgorithm } from './agent-key-spec.js';
import type { ParsedHierarchyOptions } from './hierarchy-options.js';

/** The keys at the top of the hierarchy. */
export interface MasterKeys {
  /** Signs endorsements. */
  readonly root: KeyMetadata;
  /** Wraps data keys. */
  readonly kek: KeyMetadata;
}

/** Finds or makes the master keys; safe when several processes do it at once. */
export async function ensureMasterKeys(
  provider: KeyProvider,
  hierarchy: ParsedHierarchyOptions,
  options: CallOptions,
): Promise<MasterKeys> {
  const context = { operation: 'initialize', resource: MASTER_KEY_IDS.root };
  const protectionLevel = hierarchy.masterProtectionLevel;
  const ensure = (spec: KeySpec): Promise<EnsuredKey> =>
    ensureKey(provider, spec, { options, logger: hierarchy.logger });
  const [{ key: root }, { key: foundKek, unreached }] = await Promise.all([
    ensure({
      name: MASTER_KEY_IDS.root,
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: signingAlgorithm(context, hierarchy.rootAlgorithm).name,
      protectionLevel,
      labels: masterKeyLabels('root'),
    }),
    ensure({
      name: MASTER_KEY_IDS.kek,
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
      protectionLevel,
      labels: masterKeyLabels('kek'),
    }),
  ]);
  // Also after a crash between the two calls; a schedule that somebody chose stays, so all key rings have to be seen.
  const { kekRotationPeriodSeconds: rotationPeriodSeconds } = hierarchy;
  const unscheduled = foundKek.rotationPeriodSeconds === undefined && foundKek.nextRotationTime === undefined;
  const kek =
    rotationPeriodSeconds !== null && unscheduled && unreached.length === 0
      ? await provider.setRotationSchedule(foundKek.name, { rotationPeriodSeconds }, options)
      : foundKek;
  return { root, kek };
}
