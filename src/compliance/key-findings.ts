/** What a key and its versions show: where they are, how old they are, and what is to become of them. */

import type { AttestationVerdict } from '../attestation/verify-attestation.js';
import type { KeyMetadata, KeyVersionMetadata } from '../keys/key-provider.js';
import { POLICY_LABEL, parsePolicy, rotationDueTime } from '../keys/rotation-policy.js';
import type { Observed } from './checks.js';
import type { ReportedKey, ReportedVersion } from './report.js';

/** A key as it was read. */
export interface KeyEvidence {
  readonly key: KeyMetadata;
  readonly versions: readonly KeyVersionMetadata[];
  readonly agentId: string | undefined;
  readonly provider: 'kms' | 'software';
  /** Whether an emulator said all this, which protects nothing. */
  readonly isEmulated: boolean;
}

/** What `attestKey` said of a version, or why it could not be asked. */
export type AttestationEvidence =
  | AttestationVerdict
  | { readonly verdict: 'not-checked'; readonly errorCode: string };

const DAY_MS = 86_400_000;
/** A key whose versions go sooner after a destruction by mistake is hard to save. Seven days, in seconds. */
const SHORT_DELAY_SECONDS = 604_800;

const HAS_MATERIAL: readonly string[] = ['ENABLED', 'DISABLED', 'DESTROY_SCHEDULED'];

export function describeKey(
  evidence: KeyEvidence,
  attestations: ReadonlyMap<string, AttestationEvidence>,
  now: Date,
): ReportedKey {
  const { key, versions, agentId, provider } = evidence;
  const inUse = versions.find(({ name }) => name === key.primary);
  const due = dueTime(evidence);
  return {
    name: key.name,
    provider,
    purpose: key.purpose,
    ...(agentId !== undefined && { agentId }),
    keyVersion: key.primary,
    ageDays: inUse && ageDays(inUse, now),
    ...(due && { rotationDueTime: due.toISOString() }),
    versions: versions.map((version): ReportedVersion => {
      const attestation = attestations.get(version.name)?.verdict;
      return {
        name: version.name,
        state: version.state,
        protectionLevel: version.protectionLevel,
        algorithm: version.algorithm,
        createTime: version.createTime.toISOString(),
        ...(version.destroyTime && { destroyTime: version.destroyTime.toISOString() }),
        ...(attestation && { attestation }),
      };
    }),
  };
}

export function keyFindings(
  evidence: KeyEvidence,
  attestations: ReadonlyMap<string, AttestationEvidence>,
  now: Date,
): readonly Observed[] {
  return [
    ...evidence.versions
      .filter(({ state }) => HAS_MATERIAL.includes(state))
      .map((version) => protection(evidence, version)),
    ...[...attestations].map(([subject, attested]) => attestation(evidence, subject, attested)),
    rotation(evidence, now),
    ...destruction(evidence),
  ];
}

function protection(
  { isEmulated }: KeyEvidence,
  { name, protectionLevel, state, algorithm }: KeyVersionMetadata,
): Observed {
  const common = {
    check: 'protection-level',
    subject: name,
    evidence: { protectionLevel, state, algorithm },
  } as const;
  if (isEmulated) {
    const detail = `an emulator says that its protection level is ${protectionLevel}: the key material is in an ordinary process.`;
    return { ...common, result: 'failed', detail };
  }
  const isHsm = protectionLevel === 'HSM' || protectionLevel === 'HSM_SINGLE_TENANT';
  return {
    ...common,
    result: isHsm ? 'passed' : 'failed',
    detail: isHsm
      ? `Cloud KMS says that its protection level is ${protectionLevel}; what shows it is the check attestation.`
      : `the key material is not in an HSM of Cloud KMS: its protection level is ${protectionLevel}.`,
  };
}

/** What stands by the verdict and is for a person to judge. */
const CAVEATS: Readonly<Record<string, string>> = {
  'certificate-validity': 'certificates of the HSM are not valid any more, or not yet (certificate-validity)',
  'fips-mode': 'the HSM is not shown to be in FIPS mode (fips-mode)',
};

function attestation({ isEmulated }: KeyEvidence, subject: string, attested: AttestationEvidence): Observed {
  if (attested.verdict === 'not-checked') {
    return {
      check: 'attestation',
      subject,
      result: 'not-checked',
      detail: `not checked: the statement of the HSM could not be read (${attested.errorCode}).`,
      evidence: { errorCode: attested.errorCode },
    };
  }
  const { verdict, checks, hsm } = attested;
  const common = {
    check: 'attestation',
    subject,
    evidence: {
      verdict,
      checks: checks.map(({ name, outcome }) => `${name}: ${outcome}`),
      ...(hsm && { hsm }),
    },
  } as const;
  if (isEmulated) {
    return {
      ...common,
      result: 'failed',
      detail: 'the statement is by an emulator, whose key anybody can read.',
    };
  }
  const failed = checks.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);
  if (verdict === 'invalid') {
    const detail = `the statement of the HSM is missing or does not hold: ${failed.join(', ')}.`;
    return { ...common, result: 'failed', detail };
  }
  const said = {
    valid: 'the HSM states that the key was made in it and cannot leave it',
    'valid-unbound':
      'the HSM states of a key that it was made in it and cannot leave it; that it is this one, a symmetric key, was not compared and is the word of Cloud KMS',
    imported: 'the key was made outside of the HSM and imported: how it was kept before is not known here',
  } as const;
  const caveats = failed.flatMap((name) => CAVEATS[name] ?? []);
  return {
    ...common,
    result: verdict === 'valid' && caveats.length === 0 ? 'passed' : 'warning',
    detail: `${[said[verdict], ...caveats].join('; ')}.`,
  };
}

function rotation(evidence: KeyEvidence, now: Date): Observed {
  const { key, versions } = evidence;
  const common = { check: 'rotation', subject: key.name } as const;
  const inUse = versions.find(({ name }) => name === key.primary);
  if (inUse === undefined) {
    const detail = 'no version of the key is in use.';
    return { ...common, result: 'warning', detail, evidence: { keyVersion: null } };
  }
  const due = dueTime(evidence);
  const age = ageDays(inUse, now);
  const facts = { keyVersion: inUse.name, createTime: inUse.createTime.toISOString(), ageDays: age };
  if (due === undefined) {
    const detail = `the version in use is ${age} days old, and the key has no readable rotation policy or schedule.`;
    return { ...common, result: 'warning', detail, evidence: facts };
  }
  const day = due.toISOString().slice(0, 10);
  return {
    ...common,
    result: due < now ? 'failed' : 'passed',
    detail:
      due < now
        ? `overdue: the version in use is ${age} days old and was to be replaced by ${day}.`
        : `the version in use is ${age} days old and is to be replaced by ${day}.`,
    evidence: { ...facts, rotationDueTime: due.toISOString() },
  };
}

function destruction({ key, versions }: KeyEvidence): readonly Observed[] {
  const { destroyScheduledDurationSeconds } = key;
  const delay: Observed = {
    check: 'destruction',
    subject: key.name,
    result: destroyScheduledDurationSeconds < SHORT_DELAY_SECONDS ? 'warning' : 'passed',
    detail: `a version is destroyed ${destroyScheduledDurationSeconds / 86_400} days after that was asked for.`,
    evidence: { destroyScheduledDurationSeconds },
  };
  const scheduled = versions.flatMap(({ name, state, destroyTime }): Observed[] =>
    state === 'DESTROY_SCHEDULED'
      ? [
          {
            check: 'destruction',
            subject: name,
            result: 'passed',
            detail: `it will be destroyed on ${destroyTime?.toISOString() ?? 'a day that was not given'}.`,
            evidence: { state, destroyTime: destroyTime?.toISOString() ?? null },
          },
        ]
      : [],
  );
  return [delay, ...scheduled];
}

/** By the rotation policy of an agent's key, or by the schedule of Cloud KMS; undefined when there is neither. */
function dueTime({ key, versions }: KeyEvidence): Date | undefined {
  const label = key.labels[POLICY_LABEL];
  const policy = label === undefined ? undefined : parsePolicy(label);
  const inUse = versions.find(({ name }) => name === key.primary);
  if (policy?.ok && inUse !== undefined) return rotationDueTime(key.labels, inUse, policy.value);
  return key.nextRotationTime;
}

const ageDays = ({ createTime, generateTime }: KeyVersionMetadata, now: Date): number =>
  Math.floor((now.getTime() - (generateTime ?? createTime).getTime()) / DAY_MS);
