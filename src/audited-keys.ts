/** The audit trail of a configuration with agents: one trail for all providers that it opens. */

import type { AuditRecorder } from './audit/audit-recorder.js';
import { createAuditTrail, withTrail } from './audit/create-audit-trail.js';
import { shownIdentity } from './config/access-config.js';
import type { ResolvedAgentConfig } from './config/agent-config.js';
import { attestationInForce } from './config/attestation-config.js';
import type { ResolvedAuditConfig } from './config/audit-config.js';
import { endpointOf, shownEndpoint } from './config/endpoint.js';
import type { KeySource } from './config/flags.js';
import type { KMSConfig } from './config/kms-config.js';
import type { SoftwareKeyStoreConfig } from './config/software-config.js';
import type { ProtectionLevel } from './keys/algorithm-types.js';

interface AuditedKeys {
  /** With the trail among its observers. */
  readonly kms: KMSConfig;
  readonly trail: AuditRecorder | undefined;
  /** Of the key that signs the trail: in software where nothing else is, and its checkpoints say so. */
  readonly auditKeyLevel: ProtectionLevel;
}

export function withAudit(
  config: {
    readonly kms: KMSConfig;
    readonly agents: ResolvedAgentConfig;
    readonly source: KeySource<SoftwareKeyStoreConfig>;
    readonly audit: ResolvedAuditConfig | undefined;
  },
  agentOf: (keyId: string) => string | undefined,
): AuditedKeys {
  const { kms, agents, source, audit } = config;
  const auditKeyLevel = source.kind === 'software' ? 'SOFTWARE' : 'HSM';
  if (audit === undefined) return { kms, trail: undefined, auditKeyLevel };
  const { clock, logger, protectionLevel, replicas } = agents;
  const configuration = {
    hsmKeys: source.kind !== 'software',
    softwareKeys: source.kind === 'software' || (source.kind === 'migration' && source.phase < 3),
    ...(source.kind === 'migration' && { migrationPhase: source.phase }),
    protectionLevel,
    ...attestationInForce(kms),
    ...(replicas.length > 0 && { replicas: replicas.length }),
    ...shownIdentity({ ...kms, impersonateAgents: agents.impersonateAgents }),
    ...shownEndpoint(endpointOf(kms)),
  };
  const trail = createAuditTrail(audit, { clock, logger, configuration, agentOf });
  return { kms: { ...kms, observers: withTrail(kms.observers ?? [], trail) }, trail, auditKeyLevel };
}
