/** What each check is about: the controls that it bears on, and the command that looks at the same thing without this library. */

import { isSoftwareVersionName } from '../keys/software-version-name.js';
import type { ComplianceCheck, ComplianceFinding } from './report.js';

const CONTROLS = {
  endpoint: ['PCI-DSS 3.6.1.2', 'FIPS 140 Level 3', 'SOC 2 CC6.1'],
  'key-ring': ['PCI-DSS 12.3.3', 'SOC 2 CC6.1'],
  key: ['PCI-DSS 12.3.3', 'SOC 2 CC6.1'],
  'protection-level': ['PCI-DSS 3.6.1.2', 'PCI-DSS 3.7.3', 'FIPS 140 Level 3', 'SOC 2 CC6.1'],
  attestation: ['PCI-DSS 3.6.1.2', 'PCI-DSS 3.7.1', 'FIPS 140 Level 3'],
  rotation: ['PCI-DSS 3.7.4', 'SOC 2 CC6.1'],
  destruction: ['PCI-DSS 3.7.5', 'SOC 2 CC6.5'],
  'access-members': ['PCI-DSS 3.6.1', 'PCI-DSS 7.2.5', 'SOC 2 CC6.3', 'SOC 2 CC6.6'],
  'access-roles': ['PCI-DSS 3.6.1', 'PCI-DSS 7.2.5', 'SOC 2 CC6.3'],
  'separation-of-duties': ['PCI-DSS 3.7.7', 'SOC 2 CC6.3'],
  'inherited-access': ['PCI-DSS 3.6.1', 'PCI-DSS 7.2.5', 'SOC 2 CC6.3'],
  'cloud-audit-logs': ['PCI-DSS 10.2.1', 'PCI-DSS 10.5.1', 'SOC 2 CC7.2'],
  'software-store': ['PCI-DSS 3.6.1.2', 'PCI-DSS 3.6.1.4', 'FIPS 140 Level 3'],
  'audit-trail': ['PCI-DSS 10.2.1', 'PCI-DSS 10.3.2', 'PCI-DSS 10.3.4', 'SOC 2 CC7.2'],
} as const satisfies Record<ComplianceCheck, readonly string[]>;

/** A finding without what its check alone decides. */
export type Observed = Omit<ComplianceFinding, 'controls' | 'verifyWith'>;

export function toFinding(observed: Observed): ComplianceFinding {
  return {
    ...observed,
    controls: controlsOf(observed),
    verifyWith: commandFor(observed.check, observed.subject),
  };
}

/** Other checks find keys that are in no module at all; that one is, only the HSM itself shows. */
function controlsOf({ check, result }: Observed): readonly string[] {
  const isShown = result !== 'passed' || check === 'attestation';
  return CONTROLS[check].filter((control) => control !== 'FIPS 140 Level 3' || isShown);
}

interface Names {
  readonly project: string;
  readonly location: string;
  readonly keyRing: string;
  readonly key: string | undefined;
  readonly version: string | undefined;
}

const NAME =
  /^projects\/([^/]+)\/locations\/([^/]+)\/keyRings\/([^/]+)(?:\/cryptoKeys\/([^/]+)(?:\/cryptoKeyVersions\/([^/]+))?)?$/;

function namesIn(subject: string): Names | undefined {
  const [, project, location, keyRing, key, version] = NAME.exec(subject) ?? [];
  if (project === undefined || location === undefined || keyRing === undefined) return undefined;
  return { project, location, keyRing, key, version };
}

function commandFor(check: ComplianceCheck, subject: string): string {
  if (check === 'endpoint') return ENDPOINT;
  if (isSoftwareVersionName(subject)) return SOFTWARE_KEY;
  const names = namesIn(subject);
  if (names === undefined) return check === 'audit-trail' ? AUDIT_TRAIL : SOFTWARE_STORE;
  const { project, location, keyRing, key, version } = names;
  const ring = `--keyring=${keyRing} --location=${location} --project=${project}`;
  switch (check) {
    case 'access-members':
    case 'access-roles':
    case 'separation-of-duties':
      return key === undefined
        ? `gcloud kms keyrings get-iam-policy ${keyRing} --location=${location} --project=${project}`
        : `gcloud kms keys get-iam-policy ${key} ${ring}`;
    case 'inherited-access':
      return `gcloud projects get-ancestors-iam-policy ${project}`;
    case 'cloud-audit-logs':
      return `gcloud projects get-iam-policy ${project} --format='json(auditConfigs)'`;
    case 'attestation':
      return `gcloud kms keys versions describe ${version} --key=${key} ${ring} --attestation-file=attestation.dat && gcloud kms keys versions get-certificate-chain ${version} --key=${key} ${ring}`;
    case 'software-store':
      return SOFTWARE_STORE;
    case 'key-ring':
      return `gcloud kms keys list ${ring}`;
    default:
      if (version !== undefined) return `gcloud kms keys versions describe ${version} --key=${key} ${ring}`;
      return key === undefined
        ? `gcloud kms keys list ${ring}`
        : `gcloud kms keys describe ${key} ${ring} && gcloud kms keys versions list --key=${key} ${ring}`;
  }
}

const ENDPOINT = 'look at apiEndpoint, emulatorHost and KMS_EMULATOR_HOST of the process';
const SOFTWARE_KEY =
  'getKey and listKeyVersions of a SoftwareKeyProvider over the same store, by the name without @software';
const SOFTWARE_STORE = 'look at ENABLE_HSM_KEYS, USE_SOFTWARE_KEYS and softwareKeyStore of the process';
const AUDIT_TRAIL = 'verifyAuditTrail over a copy of the trail that the process cannot write to';
