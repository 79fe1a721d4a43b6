/** Who is asked for evidence: the providers that an exchange has opened, and its audit trail. */

import type { Clock } from '../clock.js';
import { KMSClient } from '../kms/kms-client.js';
import type { SoftwareKeyProvider } from '../software/software-key-provider.js';
import type { ComplianceSources, KmsEvidenceSource } from './compliance-report.js';
import type { AuditTrailState } from './process-findings.js';

export function complianceSources(
  providers: readonly (KMSClient | SoftwareKeyProvider)[],
  auditTrail: { state(): AuditTrailState } | undefined,
  clock: Clock,
): ComplianceSources {
  return {
    kms: providers.filter((provider) => provider instanceof KMSClient).map(toSource),
    software: providers.filter((provider) => !(provider instanceof KMSClient)),
    auditTrail: auditTrail?.state(),
    now: () => clock.now(),
  };
}

const toSource = (client: KMSClient): KmsEvidenceSource => ({
  keyRing: client.keyRing,
  endpoint: client.stats().endpoint,
  listKeys: (options) => client.listKeys(options),
  getKey: (keyId, options) => client.getKey(keyId, options),
  listKeyVersions: (keyId, options) => client.listKeyVersions(keyId, options),
  attestKey: async (keyVersion, options) => {
    const { verdict, checks, hsm, evidence } = await client.attestKey(keyVersion, options);
    return { verdict, checks, ...(hsm && { hsm }), roots: evidence.roots };
  },
  listAccess: (keyId, options) =>
    keyId === undefined ? client.listKeyRingAccess(options) : client.listAccess(keyId, options),
});
