/** The compliance report: evidence for an auditor, never a verdict of compliance. What could not be looked at says so. */

import type { KeyVersionState } from '../keys/key-provider.js';

/**
 * `passed`: looked at, as it should be. `failed`: not as it should be. `warning`: for a person to judge. `not-checked`: could
 * not be looked at, so nothing is known.
 */
export type FindingResult = 'passed' | 'failed' | 'warning' | 'not-checked';

/** What a finding is about. docs/compliance.md says what each check looks at. */
export type ComplianceCheck =
  | 'endpoint'
  | 'key-ring'
  | 'key'
  | 'protection-level'
  | 'attestation'
  | 'rotation'
  | 'destruction'
  | 'access-members'
  | 'access-roles'
  | 'separation-of-duties'
  | 'inherited-access'
  | 'cloud-audit-logs'
  | 'software-store'
  | 'audit-trail';

/** One thing that was looked at. */
export interface ComplianceFinding {
  readonly check: ComplianceCheck;
  /**
   * Full name of what was looked at: a key ring, a key, a version; `configuration` for this process. Names of software keys
   * and of their versions end in `@software`, because the keys in Cloud KMS that take their place have the same names.
   */
  readonly subject: string;
  readonly result: FindingResult;
  readonly detail: string;
  /** What the result rests on: plain data, no secrets. */
  readonly evidence: Readonly<Record<string, unknown>>;
  /** The controls that it bears on, as docs/compliance.md lists them. */
  readonly controls: readonly string[];
  /** How to look at it without this library. */
  readonly verifyWith: string;
}

/** A key version in the report. */
export interface ReportedVersion {
  /** Full CryptoKeyVersion name; of a software key with `@software` at its end. */
  readonly name: string;
  readonly state: KeyVersionState;
  readonly protectionLevel: string;
  readonly algorithm: string;
  /** ISO 8601, like all times of a report. */
  readonly createTime: string;
  /** When the material will be destroyed; only while that is scheduled. */
  readonly destroyTime?: string;
  /**
   * Of an ENABLED HSM version: what `attestKey` said of it. `valid-by-other-roots`: by roots that `attestationRoots` put in
   * place of the pinned ones.
   */
  readonly attestation?:
    | 'valid'
    | 'valid-by-other-roots'
    | 'valid-unbound'
    | 'imported'
    | 'invalid'
    | 'not-checked';
}

/** A key in the report. */
export interface ReportedKey {
  /** Full CryptoKey name; of a software key with `@software` at its end. */
  readonly name: string;
  /** Where it is kept: Cloud KMS, or the software store of this process. */
  readonly provider: 'kms' | 'software';
  readonly purpose: string;
  /** Of an agent's key. */
  readonly agentId?: string;
  /** Full name of the version in use. */
  readonly keyVersion: string | undefined;
  /** Whole days since the version in use was made. */
  readonly ageDays: number | undefined;
  /** When it is to be replaced, by its rotation policy or schedule. */
  readonly rotationDueTime?: string;
  readonly versions: readonly ReportedVersion[];
}

/** Evidence about the key rings of a configuration: facts and what they rest on, never a verdict of compliance. */
export interface ComplianceReport {
  /** When it was made, ISO 8601. */
  readonly createdAt: string;
  /** True: the keys are in an emulator, which protects nothing, whatever else the report says. */
  readonly emulator: boolean;
  /** Full names. */
  readonly keyRings: readonly string[];
  /** How many findings have which result. */
  readonly summary: Readonly<Record<FindingResult, number>>;
  /** In order of their names. */
  readonly keys: readonly ReportedKey[];
  /** In order of subject and check. */
  readonly findings: readonly ComplianceFinding[];
}

/** The same order on every machine: by code units. */
export const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Puts a report together. */
export function assembleReport(parts: {
  readonly createdAt: Date;
  readonly emulator: boolean;
  readonly keyRings: readonly string[];
  readonly keys: readonly ReportedKey[];
  readonly findings: readonly ComplianceFinding[];
}): ComplianceReport {
  const count = (result: FindingResult): number =>
    parts.findings.filter((finding) => finding.result === result).length;
  return {
    createdAt: parts.createdAt.toISOString(),
    emulator: parts.emulator,
    keyRings: parts.keyRings,
    summary: {
      failed: count('failed'),
      warning: count('warning'),
      'not-checked': count('not-checked'),
      passed: count('passed'),
    },
    keys: parts.keys.toSorted((a, b) => byText(a.name, b.name) || byText(a.provider, b.provider)),
    findings: parts.findings.toSorted(
      (a, b) => byText(a.subject, b.subject) || byText(a.check, b.check) || byText(a.detail, b.detail),
    ),
  };
}
