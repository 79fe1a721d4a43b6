/**
 * Collects the evidence for a compliance report: reads every key, its versions, the HSM's statements and the IAM policies.
 * Nothing is changed. A read that fails is a finding `not-checked`, never left out.
 */

import { z } from 'zod';
import type { RootFingerprints } from '../attestation/roots.js';
import { mapBounded } from '../bounded.js';
import { A2AKmsError } from '../errors/base.js';
import { InvalidArgumentError } from '../errors/input.js';
import { ClientClosedError, OperationAbortedError } from '../errors/service.js';
import { ownerOf } from '../hierarchy/agent-keys.js';
import type { CallOptions } from '../keys/call-options.js';
import type { KeyMetadata, KeyProvider, KeyVersionMetadata } from '../keys/key-provider.js';
import { toSoftwareVersionName } from '../keys/software-version-name.js';
import { callShape, parseOptions } from '../provider/call-input.js';
import { accessFindings, accessNotChecked } from './access-findings.js';
import { type Observed, toFinding } from './checks.js';
import { type AttestedEvidence, type EvidenceEndpoint, judgedByRoots } from './endpoint-findings.js';
import { type AttestationEvidence, describeKey, type KeyEvidence, keyFindings } from './key-findings.js';
import type { AccessEvidence } from './known-access.js';
import { type AuditTrailState, keyRingFindings, processFindings } from './process-findings.js';
import { assembleReport, type ComplianceReport, type ReportedKey } from './report.js';

/** Options of `complianceReport`. */
export interface ComplianceReportOptions extends CallOptions {
  /** Keys that are read at once, 1 to 32. Default 4. Each takes up to four calls, and two for each ENABLED HSM version. */
  readonly concurrency?: number | undefined;
}

type Reader = Pick<KeyProvider, 'listKeys' | 'getKey' | 'listKeyVersions'>;

/** A key ring in Cloud KMS. */
export interface KmsEvidenceSource extends Reader {
  readonly keyRing: string;
  readonly endpoint: EvidenceEndpoint;
  attestKey(keyVersion: string, options?: CallOptions): Promise<AttestedEvidence>;
  /** The own IAM policy of a key, or of the key ring when none is named. */
  listAccess(keyId: string | undefined, options?: CallOptions): Promise<readonly AccessEvidence[]>;
}

/** Keys in a software store. */
interface SoftwareEvidenceSource extends Reader {
  readonly keyRing: string;
}

export interface ComplianceSources {
  readonly kms: readonly KmsEvidenceSource[];
  readonly software: readonly SoftwareEvidenceSource[];
  /** Undefined: the configuration has none. */
  readonly auditTrail: AuditTrailState | undefined;
  readonly now: () => number;
}

interface Section {
  readonly keys: readonly ReportedKey[];
  readonly findings: readonly Observed[];
}

const optionsSchema = z.strictObject({
  ...callShape,
  concurrency: z.int('must be 1 to 32').min(1, 'must be 1 to 32').max(32, 'must be 1 to 32').default(4),
});

/** @throws InvalidArgumentError; OperationAbortedError; ClientClosedError. Whatever else fails is a finding. */
export async function createComplianceReport(
  sources: ComplianceSources,
  options?: ComplianceReportOptions,
): Promise<ComplianceReport> {
  const context = { operation: 'complianceReport', resource: 'options' };
  const { concurrency, ...call } = parseOptions(context, optionsSchema, options);
  const now = new Date(sources.now());
  const collector = new Collector(call, concurrency, now);
  const sections: Section[] = [{ keys: [], findings: processFindings(sources) }];
  for (const source of sources.kms) sections.push(await collector.keyRing(source));
  for (const source of sources.software) sections.push(await collector.store(source));
  return assembleReport({
    createdAt: now,
    emulator: sources.kms.some(({ endpoint }) => endpoint.kind === 'emulator'),
    keyRings: [...new Set([...sources.kms, ...sources.software].map(({ keyRing }) => keyRing))],
    keys: sections.flatMap(({ keys }) => keys),
    findings: sections.flatMap(({ findings }) => findings).map(toFinding),
  });
}

type Outcome<T> = { readonly value: T } | { readonly errorCode: string };

class Collector {
  readonly #call: CallOptions;
  readonly #concurrency: number;
  readonly #now: Date;

  constructor(call: CallOptions, concurrency: number, now: Date) {
    this.#call = call;
    this.#concurrency = concurrency;
    this.#now = now;
  }

  async keyRing(source: KmsEvidenceSource): Promise<Section> {
    const { keyRing } = source;
    const policy = await outcomeOf(source.listAccess(undefined, this.#call));
    const access =
      'value' in policy ? accessFindings(keyRing, policy.value) : accessNotChecked(keyRing, policy.errorCode);
    const inherited = 'value' in policy ? policy.value : 'unknown';
    const findings = [...keyRingFindings(source), ...access];
    const listed = await outcomeOf(source.listKeys(this.#call));
    if ('errorCode' in listed)
      return { keys: [], findings: [...findings, unlisted(keyRing, listed.errorCode)] };
    const sections = await mapBounded(listed.value, this.#concurrency, async ({ name }) => {
      const own = await outcomeOf(source.listAccess(name, this.#call));
      const key = await this.#key(source, name, {
        provider: 'kms',
        isEmulated: source.endpoint.kind === 'emulator',
        attest: (version) => source.attestKey(version, this.#call),
      });
      const keyAccess =
        'value' in own ? accessFindings(name, own.value, inherited) : accessNotChecked(name, own.errorCode);
      return { keys: key.keys, findings: [...key.findings, ...keyAccess] };
    });
    return joined([{ keys: [], findings }, ...sections]);
  }

  async store(source: SoftwareEvidenceSource): Promise<Section> {
    const listed = await outcomeOf(source.listKeys(this.#call));
    if ('errorCode' in listed) {
      const { errorCode } = listed;
      const detail = `not checked: the software store could not be read (${errorCode}).`;
      const subject = source.keyRing;
      return {
        keys: [],
        findings: [
          { check: 'software-store', subject, result: 'not-checked', detail, evidence: { errorCode } },
        ],
      };
    }
    const sections = await mapBounded(listed.value, this.#concurrency, async ({ name }) => {
      const key = await this.#key(source, name, { provider: 'software', isEmulated: false });
      const kept: Observed = {
        check: 'software-store',
        subject: toSoftwareVersionName(name),
        result: 'failed',
        detail: 'the key is in a software store: whoever reads the memory of the process has it.',
        evidence: { provider: 'software' },
      };
      return { keys: key.keys, findings: [kept, ...key.findings] };
    });
    const subject = source.keyRing;
    const count = listed.value.length;
    const opened: Observed = {
      check: 'software-store',
      subject,
      result: 'warning',
      detail: `a software store is open in this process and holds ${count} keys.`,
      evidence: { keys: count },
    };
    return joined([{ keys: [], findings: [opened] }, ...sections]);
  }

  async #key(
    source: Reader,
    name: string,
    from: Pick<KeyEvidence, 'provider' | 'isEmulated'> & {
      readonly attest?: (version: string) => ReturnType<KmsEvidenceSource['attestKey']>;
    },
  ): Promise<Section> {
    const { attest, provider, isEmulated } = from;
    const read = await outcomeOf(
      Promise.all([source.getKey(name, this.#call), source.listKeyVersions(name, this.#call)]),
    );
    if ('errorCode' in read) {
      const { errorCode } = read;
      const detail = `not checked: the key or its versions could not be read (${errorCode}).`;
      const subject = provider === 'software' ? toSoftwareVersionName(name) : name;
      return {
        keys: [],
        findings: [{ check: 'key', subject, result: 'not-checked', detail, evidence: { errorCode } }],
      };
    }
    const [asRead] = read.value;
    const agentId = ownerOf(asRead, 'signing') ?? ownerOf(asRead, 'encryption');
    const [key, versions] = provider === 'software' ? namedApart(...read.value) : read.value;
    const evidence: KeyEvidence = { key, versions, agentId, provider, isEmulated };
    const attestations = new Map<string, AttestationEvidence>();
    const roots = new Map<string, RootFingerprints>();
    for (const { name: version, state, protectionLevel } of versions) {
      if (attest === undefined || state !== 'ENABLED' || !protectionLevel.startsWith('HSM')) continue;
      const attested = await outcomeOf(attest(version));
      if ('value' in attested) roots.set(version, attested.value.roots);
      attestations.set(
        version,
        'value' in attested ? attested.value : { verdict: 'not-checked', errorCode: attested.errorCode },
      );
    }
    const found = {
      keys: [describeKey(evidence, attestations, this.#now)],
      findings: keyFindings(evidence, attestations, this.#now),
    };
    return judgedByRoots(found, roots);
  }
}

/** A software key has the name of the key in Cloud KMS that takes its place, and versions of the same numbers. */
function namedApart(
  key: KeyMetadata,
  versions: readonly KeyVersionMetadata[],
): [KeyMetadata, readonly KeyVersionMetadata[]] {
  const { name, primary } = key;
  return [
    {
      ...key,
      name: toSoftwareVersionName(name),
      primary: primary === undefined ? undefined : toSoftwareVersionName(primary),
    },
    versions.map((version) => ({ ...version, name: toSoftwareVersionName(version.name) })),
  ];
}

/** Errors that say that the whole report makes no sense any more are thrown on. */
async function outcomeOf<T>(work: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await work };
  } catch (error) {
    if (!(error instanceof A2AKmsError)) throw error;
    const isOver = [OperationAbortedError, ClientClosedError, InvalidArgumentError].some(
      (type) => error instanceof type,
    );
    if (isOver) throw error;
    return { errorCode: error.code };
  }
}

const unlisted = (keyRing: string, errorCode: string): Observed => ({
  check: 'key-ring',
  subject: keyRing,
  result: 'not-checked',
  detail: `not checked: the keys could not be listed (${errorCode}), so that nothing is known of any of them.`,
  evidence: { errorCode },
});

const joined = (sections: readonly Section[]): Section => ({
  keys: sections.flatMap(({ keys }) => keys),
  findings: sections.flatMap(({ findings }) => findings),
});
