/**
 * `verifyAttestation`: whether an HSM of Cloud KMS says that a key was made in it and cannot leave it. Works offline, on
 * what Cloud KMS returned or what was filed of it. Each check is reported; none is skipped because another failed unless
 * it has nothing to work on.
 */

import { createPublicKey, createVerify, X509Certificate } from 'node:crypto';
import { InvalidArgumentError } from '../errors/input.js';
import { type AttestationInput, parseAttestationInput } from './attestation-input.js';
import { buildChain, type CertificateChain, hasSameKey, isValidAt } from './certificates.js';
import { decodeContent } from './content.js';
import { type AttestedKey, checkAttributes } from './key-attributes.js';
import { type AttestationRoots, CLOUD_HSM_ROOTS } from './roots.js';
import { ATTESTATION_FORMATS, type AttestationFormat, parseStatement } from './statement.js';

/** The checks that a statement goes through, in this order. docs/attestation.md says what each one compares. */
export type AttestationCheckName =
  | 'format'
  | 'content'
  | 'manufacturer-chain'
  | 'google-card-chain'
  | 'google-partition-chain'
  | 'card-keys'
  | 'partition-keys'
  | 'signature'
  | 'statement'
  | 'object-class'
  | 'not-extractable'
  | 'local'
  | 'never-extractable'
  | 'always-sensitive'
  | 'key'
  | 'version-name'
  | 'fips-mode'
  | 'certificate-validity';

/** The result of one check of a statement. */
export interface AttestationCheck {
  readonly name: AttestationCheckName;
  /** `not-checked`: an earlier check left nothing to work on, or it cannot be checked for this kind of key. */
  readonly outcome: 'passed' | 'failed' | 'not-checked';
  readonly detail: string;
}

/** What a statement proves, and the checks that it rests on. */
export interface AttestationVerdict {
  /**
   * `valid`: this key was made in the HSM, and never was outside of it. `valid-unbound`: the same of a symmetric key, but
   * nothing shows that it is the key in question: all that is known is that Cloud KMS gave this statement for it.
   * `imported`: in the HSM now, but made elsewhere. `invalid`: a check failed. `version-name`, `fips-mode` and
   * `certificate-validity` report and have no part in the verdict.
   */
  readonly verdict: 'valid' | 'valid-unbound' | 'imported' | 'invalid';
  readonly checks: readonly AttestationCheck[];
  /** Names of the HSM and of its partition, by certificates of the maker and of Google; undefined unless both chains are good. */
  readonly hsm?: { readonly card: string; readonly partition: string };
}

type Outcome = Omit<AttestationCheck, 'name'>;

const passed = (detail: string): Outcome => ({ outcome: 'passed', detail });
const failed = (detail: string): Outcome => ({ outcome: 'failed', detail });
const notChecked = (detail: string): Outcome => ({ outcome: 'not-checked', detail });

/** How the names of genuine certificates end: `HSM:SERIAL:PARTN:1, for FIPS mode`. */
const FIPS_MODE = ', for FIPS mode';
/** Issued by a root: the card. In the manufacturer's chain the card's certificate issues that of the partition. */
const MANUFACTURER_PATH_LENGTH = 2;
const GOOGLE_PATH_LENGTH = 1;

/**
 * Checks a statement of Cloud HSM offline, check by check, up to the pinned roots. Whatever is wrong with the statement is in
 * the verdict; nothing in it makes this throw.
 * @throws InvalidArgumentError for what is no statement, no key or no date, and when a root given by the caller is no
 *   certificate.
 */
export function verifyAttestation(given: AttestationInput): AttestationVerdict {
  const input = parseAttestationInput(given);
  const manufacturer = parseRoots('manufacturer', input.roots ?? CLOUD_HSM_ROOTS);
  const google = parseRoots('google', input.roots ?? CLOUD_HSM_ROOTS);
  const checks: AttestationCheck[] = [];
  const report = (name: AttestationCheckName, outcome: Outcome): boolean => {
    checks.push({ name, ...outcome });
    return outcome.outcome === 'passed';
  };
  const chainOf = (
    name: AttestationCheckName,
    chain: {
      readonly certificates: readonly string[];
      readonly roots: readonly X509Certificate[];
      readonly length: number;
    },
  ): CertificateChain | undefined => {
    const built = buildChain(chain.certificates, chain.roots);
    if ('problem' in built) report(name, failed(built.problem));
    else if (built.path.length !== chain.length)
      report(name, failed(`${built.path.length} certificates below the root, expected ${chain.length}`));
    else {
      report(name, passed(`up to ${commonName(built.root.subject)}`));
      return built;
    }
    return undefined;
  };

  const format = ATTESTATION_FORMATS.find((known) => known === input.format);
  report('format', format ? passed(format) : failed(`${input.format} is not a format of the HSMs`));
  const content = decodeContent(input.content);
  report('content', 'problem' in content ? failed(content.problem) : passed('one gzip member'));

  const { caviumCerts, googleCardCerts, googlePartitionCerts } = input.certChains;
  const maker = chainOf('manufacturer-chain', {
    certificates: caviumCerts,
    roots: manufacturer,
    length: MANUFACTURER_PATH_LENGTH,
  });
  const card = chainOf('google-card-chain', {
    certificates: googleCardCerts,
    roots: google,
    length: GOOGLE_PATH_LENGTH,
  });
  const partition = chainOf('google-partition-chain', {
    certificates: googlePartitionCerts,
    roots: google,
    length: GOOGLE_PATH_LENGTH,
  });
  const makerCard = maker?.path[1];
  const isOneCard = report('card-keys', sameKeys(makerCard, card?.path[0], 'card'));
  const isOnePartition = report('partition-keys', sameKeys(maker?.path[0], partition?.path[0], 'partition'));

  const signed = maker !== undefined && !('problem' in content);
  const good =
    signed &&
    createVerify('sha256').update(content.statement).verify(maker.path[0].publicKey, content.signature);
  report(
    'signature',
    signed
      ? good
        ? passed('by the key of the partition')
        : failed('not by the key of the partition')
      : notChecked('no statement, or no certificate of the partition'),
  );
  if (good && format !== undefined) reportAttributes(input, format, content.statement, report);
  else for (const name of checksOf(input)) report(name, notChecked('nothing that a good signature covers'));
  const chains = [maker, card, partition];
  report('fips-mode', fipsMode(chains));
  report('certificate-validity', validity(chains, input.at));

  return {
    verdict: toVerdict(checks),
    checks,
    ...(maker &&
      isOneCard &&
      isOnePartition && {
        hsm: { card: commonName(makerCard?.subject ?? ''), partition: commonName(maker.path[0].subject) },
      }),
  };
}

/**
 * The public key of a version for `AttestationInput.key`.
 * @param pem SubjectPublicKeyInfo.
 * @throws InvalidArgumentError for what is no public key, or one of a kind that this Node.js does not know.
 */
export function attestedKeyOf(pem: string): AttestedKey {
  try {
    return { kind: 'pair', publicKey: createPublicKey(pem) };
  } catch (cause) {
    const context = { operation: 'attestedKeyOf', resource: 'public key', cause };
    throw new InvalidArgumentError(context, 'the PEM is not a public key that can be read.');
  }
}

function parseRoots(whose: keyof AttestationRoots, roots: AttestationRoots): readonly X509Certificate[] {
  return roots[whose].map((pem, index) => {
    try {
      return new X509Certificate(pem);
    } catch (cause) {
      const context = { operation: 'verifyAttestation', resource: `roots.${whose}[${index}]`, cause };
      throw new InvalidArgumentError(context, 'the root is not a certificate in PEM.');
    }
  });
}

const ATTRIBUTE_CHECKS = [
  'statement',
  'object-class',
  'not-extractable',
  'local',
  'never-extractable',
  'always-sensitive',
  'key',
] as const satisfies readonly AttestationCheckName[];

/** The checks that work on the statement. */
const checksOf = ({ keyVersion }: AttestationInput): readonly AttestationCheckName[] =>
  keyVersion === undefined ? ATTRIBUTE_CHECKS : [...ATTRIBUTE_CHECKS, 'version-name'];

function reportAttributes(
  input: AttestationInput,
  format: AttestationFormat,
  statement: Buffer,
  report: (name: AttestationCheckName, outcome: Outcome) => boolean,
): void {
  const { key } = input;
  const objects = parseStatement(format, statement, key.kind === 'secret' ? 'secret' : 'pair');
  if ('problem' in objects) {
    report('statement', failed(objects.problem));
    for (const name of checksOf(input).slice(1)) report(name, notChecked('the statement is malformed'));
    return;
  }
  report('statement', passed(objects.kind === 'pair' ? 'a key pair' : 'a secret key'));
  for (const { name, ...outcome } of checkAttributes(objects, input)) report(name, outcome);
}

/** These report, and have no part in the verdict. */
export const REPORTING_CHECKS: readonly AttestationCheckName[] = [
  'version-name',
  'fips-mode',
  'certificate-validity',
];

function toVerdict(checks: readonly AttestationCheck[]): AttestationVerdict['verdict'] {
  const bad = new Set(
    checks
      .filter(({ name, outcome }) => outcome !== 'passed' && !REPORTING_CHECKS.includes(name))
      .map(({ name }) => name),
  );
  // What cannot be compared from outside for a secret key; the attribute checks name it.
  const incomparable = checks.some(({ name, outcome }) => name === 'key' && outcome === 'not-checked');
  const statementGood = checks.some(({ name, outcome }) => name === 'statement' && outcome === 'passed');
  const isUnbound = incomparable && statementGood;
  if (isUnbound) bad.delete('key');
  if (bad.size === 0) return isUnbound ? 'valid-unbound' : 'valid';
  if (!bad.has('local')) return 'invalid';
  // What was not made in the HSM was not always in it either (PKCS #11, CKA_NEVER_EXTRACTABLE and CKA_ALWAYS_SENSITIVE).
  for (const name of ['local', 'never-extractable', 'always-sensitive'] as const) bad.delete(name);
  return bad.size === 0 ? 'imported' : 'invalid';
}

function sameKeys(
  maker: CertificateChain['root'] | undefined,
  google: CertificateChain['root'] | undefined,
  what: string,
): Outcome {
  if (maker === undefined || google === undefined) return notChecked('a chain is not good');
  return hasSameKey(maker, google)
    ? passed(`both certificates of the ${what} are for one key`)
    : failed(`the two certificates of the ${what} are for different keys`);
}

function validity(chains: readonly (CertificateChain | undefined)[], at: Date): Outcome {
  const when = `judged at ${at.toISOString()}`;
  const good = chains.filter((chain) => chain !== undefined);
  if (good.length < chains.length) return notChecked(`a chain is not good; ${when}`);
  return good.every((chain) => isValidAt(chain, at))
    ? passed(`all certificates are valid, ${when}`)
    : failed(`a certificate is not valid, ${when}`);
}

/** The maker's and Google's certificates of the card and of the partition name the mode that the HSM was set up in. */
function fipsMode(chains: readonly (CertificateChain | undefined)[]): Outcome {
  const good = chains.filter((chain) => chain !== undefined);
  if (good.length < chains.length) return notChecked('a chain is not good');
  const others = good
    .flatMap(({ path }) => path.map(({ subject }) => commonName(subject)))
    .filter((name) => !name.endsWith(FIPS_MODE));
  return others.length === 0
    ? passed('the certificates of card and partition say "for FIPS mode"')
    : failed(`certificates that do not say "for FIPS mode": ${others.join('; ')}`);
}

/** From a subject of one attribute a line, as node:crypto gives it. */
function commonName(subject: string): string {
  return /(?:^|\n)CN=(.*)/.exec(subject)?.[1] ?? subject;
}
