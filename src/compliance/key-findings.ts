/** What a key and its versions show: where they are, how old they are, and what is to become of them. */

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
}

/** What `attestKey` said of a version, or why it could not be asked. */
export type AttestationEvidence =
  | {
      readonly verdict: 'valid' | 'imported' | 'invalid';
      readonly checks: readonly {
        readonly name: string;
        readonly outcome: string;
        readonly detail: string;
      }[];
    }
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
    ...evidence.versions.filter(({ state }) => HAS_MATERIAL.includes(state)).map(protection),
    ...[...attestations].map(([subject, attested]) => attestation(subject, attested)),
    rotation(evidence, now),
    ...destruction(evidence),
  ];
}

function protection({ name, protectionLevel, state, algorithm }: KeyVersionMetadata): Observed {
  const isHsm = protectionLevel === 'HSM' || protectionLevel === 'HSM_SINGLE_TENANT';
  return {
    check: 'protection-level',
    subject: name,
    result: isHsm ? 'passed' : 'failed',
    detail: isHsm
      ? `the key material is in an HSM (${protectionLevel}).`
      : `the key material is not in an HSM of Cloud KMS: its protection level is ${protectionLevel}.`,
    evidence: { protectionLevel, state, algorithm },
  };
}

function attestation(subject: string, attested: AttestationEvidence): Observed {
  if (attested.verdict === 'not-checked') {
    return {
      check: 'attestation',
      subject,
      result: 'not-checked',
      detail: `not checked: the statement of the HSM could not be read (${attested.errorCode}).`,
      evidence: { errorCode: attested.errorCode },
    };
  }
  const { verdict, checks } = attested;
  const failed = checks.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);
  const details = {
    valid: 'the HSM states that the key was made in it and cannot leave it.',
    imported: 'the key was made outside of the HSM and imported: how it was kept before is not known here.',
    invalid: `the statement of the HSM is missing or does not hold: ${failed.join(', ')}.`,
  };
  const results = { valid: 'passed', imported: 'warning', invalid: 'failed' } as const;
  const evidence = { verdict, checks: checks.map(({ name, outcome }) => `${name}: ${outcome}`) };
  return { check: 'attestation', subject, result: results[verdict], detail: details[verdict], evidence };
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
