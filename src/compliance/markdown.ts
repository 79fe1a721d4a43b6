/** A compliance report as Markdown, for people. Names come from elsewhere, so everything is escaped. */

import type { ComplianceFinding, ComplianceReport, FindingResult, ReportedKey } from './report.js';

const RESULTS = {
  failed: 'Failed',
  warning: 'For a person to judge',
  'not-checked': 'Not checked',
  passed: 'Passed',
} as const satisfies Record<FindingResult, string>;
const ORDER = ['failed', 'warning', 'not-checked', 'passed'] as const;

/** Renders a report, also one that was read back from JSON. The same report always gives the same text. */
export function renderComplianceReport(report: ComplianceReport): string {
  const lines = [
    '# Compliance report',
    '',
    ...(report.emulator
      ? [
          '> **AN EMULATOR PROTECTS NOTHING. The keys of this report are in the memory of an ordinary process. It is no evidence of anything.**',
          '',
        ]
      : []),
    `Made ${escaped(report.createdAt)}. It is evidence for a judgement and none itself: what each control needs besides, and who`,
    'provides it, is described in docs/compliance.md.',
    '',
    ...report.keyRings.map((keyRing) => `- Key ring ${code(keyRing)}`),
    '',
    table(
      ['Result', 'Findings'],
      ORDER.map((result) => [RESULTS[result], String(report.summary[result])]),
    ),
    '',
    '## Keys',
    '',
    ...report.keys.flatMap(keySection),
    ...ORDER.flatMap((result) => resultSection(result, report.findings)),
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}

function keySection(key: ReportedKey): string[] {
  const facts = [
    key.provider === 'software' ? '**in a software store**' : 'in Cloud KMS',
    escaped(key.purpose),
    ...(key.agentId === undefined ? [] : [`agent ${code(key.agentId)}`]),
    key.ageDays === undefined ? 'no version in use' : `version in use ${key.ageDays} days old`,
    key.rotationDueTime === undefined
      ? 'no rotation due time'
      : `to be rotated by ${escaped(key.rotationDueTime)}`,
  ];
  return [
    `### ${code(key.name)}`,
    '',
    `${facts.join(', ')}.`,
    '',
    table(
      ['Version', 'State', 'Protection level', 'Algorithm', 'Made', 'Attestation', 'To be destroyed'],
      key.versions.map((version) => [
        version.name.slice(version.name.lastIndexOf('/') + 1) +
          (version.name === key.keyVersion ? ' (in use)' : ''),
        version.state,
        version.protectionLevel,
        version.algorithm,
        version.createTime,
        version.attestation ?? '',
        version.destroyTime ?? '',
      ]),
    ),
    '',
  ];
}

function resultSection(result: FindingResult, all: readonly ComplianceFinding[]): string[] {
  const findings = all.filter((finding) => finding.result === result);
  if (findings.length === 0) return [];
  return [
    `## ${RESULTS[result]}`,
    '',
    ...findings.flatMap(({ check, subject, detail, controls, evidence, verifyWith }) => [
      `- **${escaped(check)}** ${code(subject)}: ${escaped(detail)}`,
      `  - Controls: ${controls.map(escaped).join(', ')}`,
      `  - Evidence: ${code(JSON.stringify(evidence))}`,
      `  - Look yourself: ${code(verifyWith)}`,
    ]),
    '',
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** One line, and nothing that Markdown or HTML would take for more than text. */
const escaped = (text: string): string =>
  oneLine(text).replaceAll(/[\\`*_{}[\]<>#|!]/g, (character) => `\\${character}`);

/** A code span whose fence is longer than any in the text (CommonMark, section 6.1). */
function code(text: string): string {
  const longest = Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));
  const fence = '`'.repeat(longest + 1);
  const pad = text.startsWith('`') || text.endsWith('`') ? ' ' : '';
  return `${fence}${pad}${oneLine(text)}${pad}${fence}`;
}

/** Control characters and line separators, which would end the line. */
const oneLine = (text: string): string => text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, ' ');
