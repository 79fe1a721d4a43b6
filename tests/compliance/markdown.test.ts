/** The report for people: frozen, and safe against names that come from elsewhere. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { toFinding } from '../../src/compliance/checks.js';
import { renderComplianceReport } from '../../src/compliance/markdown.js';
import { assembleReport, type ComplianceReport } from '../../src/compliance/report.js';

const RING = 'projects/p/locations/europe-west3/keyRings/agents';
const KEY = `${RING}/cryptoKeys/agent-alice-signing-key`;

const sample = (emulator: 'emulator' | 'cloud'): ComplianceReport =>
  assembleReport({
    createdAt: new Date('2026-05-01T00:00:00Z'),
    emulator: emulator === 'emulator',
    keyRings: [RING],
    keys: [
      {
        name: KEY,
        provider: 'kms',
        purpose: 'ASYMMETRIC_SIGN',
        agentId: 'alice',
        keyVersion: `${KEY}/cryptoKeyVersions/2`,
        ageDays: 31,
        rotationDueTime: '2026-06-30T00:00:00.000Z',
        versions: [
          {
            name: `${KEY}/cryptoKeyVersions/1`,
            state: 'DESTROY_SCHEDULED',
            protectionLevel: 'HSM',
            algorithm: 'EC_SIGN_P384_SHA384',
            createTime: '2026-03-01T00:00:00.000Z',
            destroyTime: '2026-06-01T00:00:00.000Z',
          },
          {
            name: `${KEY}/cryptoKeyVersions/2`,
            state: 'ENABLED',
            protectionLevel: 'HSM',
            algorithm: 'EC_SIGN_P384_SHA384',
            createTime: '2026-03-31T00:00:00.000Z',
            attestation: 'valid',
          },
        ],
      },
      {
        name: `${RING}/cryptoKeys/old`,
        provider: 'software',
        purpose: 'ASYMMETRIC_SIGN',
        keyVersion: undefined,
        ageDays: undefined,
        versions: [],
      },
    ],
    findings: [
      toFinding({
        check: 'attestation',
        subject: `${KEY}/cryptoKeyVersions/2`,
        result: 'passed',
        detail: 'the HSM states that the key was made in it and cannot leave it.',
        evidence: { verdict: 'valid' },
      }),
      toFinding({
        check: 'access-members',
        subject: KEY,
        result: 'failed',
        detail: 'everybody (allUsers) has roles/cloudkms.signer.',
        evidence: { member: 'allUsers', role: 'roles/cloudkms.signer' },
      }),
      toFinding({
        check: 'inherited-access',
        subject: RING,
        result: 'not-checked',
        detail: 'not checked: the policies above.',
        evidence: {},
      }),
    ],
  });

describe('a report in Markdown', () => {
  it('is the frozen sample', () => {
    const frozen = readFileSync(new URL('../vectors/compliance-report.md', import.meta.url), 'utf8');
    expect(renderComplianceReport(sample('cloud'))).toBe(frozen);
  });

  it('is the same after the way through JSON', () => {
    const report = sample('cloud');
    expect(renderComplianceReport(JSON.parse(JSON.stringify(report)))).toBe(renderComplianceReport(report));
  });

  it('says first of all that an emulator protects nothing', () => {
    const [title, , warning] = renderComplianceReport(sample('emulator')).split('\n');
    expect(title).toBe('# Compliance report');
    expect(warning).toContain('AN EMULATOR PROTECTS NOTHING');
  });

  it('keeps names from ending a line, a cell or a code span', () => {
    const report = sample('cloud');
    const [key] = report.keys;
    if (key === undefined) throw new Error('there is no key');
    const hostile = 'a\n# Passed | `b` <script>\u2028';
    const text = renderComplianceReport({
      ...report,
      keys: [{ ...key, agentId: hostile, purpose: hostile }],
    });
    expect(text).not.toMatch(/^# Passed/m);
    expect(text).toContain('``a # Passed | `b` <script> ``');
  });
});
