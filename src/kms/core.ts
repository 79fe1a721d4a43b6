/** What the operations on keys work with: one set per client. */

import type { ResolvedKMSConfig } from '../config/kms-config.js';
import type { KeyRingName } from '../keys/resource-name.js';
import type { CallCounts } from '../provider/stats.js';
import type { Attestations } from './attestation.js';
import type { KeyReader } from './key-reader.js';
import type { KeyReferences } from './key-references.js';
import type { LateChecks } from './late-checks.js';
import type { NewerVersions } from './newer-versions.js';
import type { PublicKeys } from './public-keys.js';
import type { RpcCaller } from './rpc-caller.js';
import type { VersionResolver } from './version-resolver.js';

export interface KmsCore {
  readonly attestations: Attestations;
  readonly config: ResolvedKMSConfig;
  readonly keyRing: KeyRingName;
  readonly caller: RpcCaller;
  readonly reader: KeyReader;
  readonly references: KeyReferences;
  readonly resolver: VersionResolver;
  readonly newerVersions: NewerVersions;
  readonly publicKeys: PublicKeys;
  readonly lateChecks: LateChecks;
  readonly counts: CallCounts;
}
