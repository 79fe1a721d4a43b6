/** Where the calls go, and whose roots statements of HSMs lead up to: what all other evidence of a key ring rests on. */

import { CLOUD_HSM_ROOTS, fingerprintsOf, type RootFingerprints } from '../attestation/roots.js';
import type { AttestationVerdict } from '../attestation/verify-attestation.js';
import type { Observed } from './checks.js';
import type { ReportedKey } from './report.js';

/** Where the calls of a key ring go. */
export interface EvidenceEndpoint {
  readonly kind: 'cloud' | 'emulator';
  readonly address: string;
  readonly port: number;
}

/** A statement of an HSM with what it was judged by. */
export interface AttestedEvidence extends AttestationVerdict {
  readonly roots: RootFingerprints;
}

/** Hosts of Google's: global, regional (`rep`), by mTLS, and those of Private Service Connect (`p`). */
const GOOGLE = /^(?:[a-z0-9-]+\.)+googleapis\.com$/i;

export function endpointFinding(subject: string, endpoint: EvidenceEndpoint): Observed {
  const { kind, address, port } = endpoint;
  const check = 'endpoint';
  const evidence = { emulator: kind === 'emulator', address, port };
  if (kind === 'emulator') {
    const detail =
      'AN EMULATOR PROTECTS NOTHING: the keys are in the memory of an ordinary process, and what it says of protection levels, attestation and access proves nothing.';
    return { check, subject, result: 'failed', detail, evidence };
  }
  if (!GOOGLE.test(address)) {
    const detail = `calls go to ${address}, which is no host under googleapis.com: whoever answers there may see what is signed and decrypted, and what it says of keys and access proves nothing.`;
    return { check, subject, result: 'failed', detail, evidence };
  }
  const detail = `calls go to ${address} over TLS; the certificate authorities that this process trusts were not looked at.`;
  return { check, subject, result: 'passed', detail, evidence };
}

/** What was found of a key. */
interface Found {
  readonly keys: readonly ReportedKey[];
  readonly findings: readonly Observed[];
}

/** The same with the roots that statements were judged by; other roots than the pinned ones prove what their owner wants. */
export function judgedByRoots(found: Found, rootsOf: ReadonlyMap<string, RootFingerprints>): Found {
  const isByOthers = (version: string): boolean => {
    const roots = rootsOf.get(version);
    return roots !== undefined && !arePinned(roots);
  };
  return {
    keys: found.keys.map((key) => ({
      ...key,
      versions: key.versions.map((version) =>
        version.attestation?.startsWith('valid') && isByOthers(version.name)
          ? { ...version, attestation: 'valid-by-other-roots' }
          : version,
      ),
    })),
    findings: found.findings.map((finding) => {
      const roots = rootsOf.get(finding.subject);
      if (finding.check !== 'attestation' || roots === undefined) return finding;
      const evidence = { ...finding.evidence, roots };
      if (!isByOthers(finding.subject)) return { ...finding, evidence };
      const detail = `${finding.detail} It was judged by roots of the configuration (attestationRoots), not by the pinned ones.`;
      const result = finding.result === 'passed' ? 'warning' : finding.result;
      return { ...finding, result, detail, evidence };
    }),
  };
}

const arePinned = ({ manufacturer, google }: RootFingerprints): boolean => {
  const pinned = fingerprintsOf(CLOUD_HSM_ROOTS);
  return (
    manufacturer.every((root) => pinned.manufacturer.includes(root)) &&
    google.every((root) => pinned.google.includes(root))
  );
};
