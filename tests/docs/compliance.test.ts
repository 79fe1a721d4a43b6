/** docs/compliance.md: no claim without somebody who provides it and a check that exists. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { toFinding } from '../../src/compliance/checks.js';
import type { ComplianceCheck } from '../../src/compliance/report.js';
import * as api from '../../src/index.js';

const text = readFileSync('docs/compliance.md', 'utf8');
const rows = [...text.matchAll(/^\| ((?:PCI-DSS|FIPS 140|SOC 2)[^|]*) \|([^|]*)\|([^|]*)\|(.*)\|$/gm)].map(
  ([, control = '', asks = '', provider = '', check = '']) => ({
    control: control.trim(),
    asks: asks.trim(),
    provider: provider.trim(),
    check: check.trim(),
  }),
);

const methods = new Set([
  ...Object.keys(api),
  ...[api.A2AKeyExchange, api.KMSClient, api.KeyHierarchy].flatMap(({ prototype }) =>
    Object.getOwnPropertyNames(prototype),
  ),
]);

describe('each row of docs/compliance.md', () => {
  it('is found', () => {
    expect(rows.length).toBeGreaterThan(30);
  });

  it.each(rows)('names a provider and a check: $control', ({ asks, provider, check }) => {
    expect(asks).not.toBe('');
    const names = provider.split(', ').map((name) => name.toLowerCase());
    expect(names.every((name) => ['google', 'this library', 'the user'].includes(name))).toBe(true);
    expect(check).toMatch(/`[A-Za-z]+\(\)`|`gcloud |`node |console/);
  });

  it.each(rows)('names only what the public API has: $control', ({ check }) => {
    const commands = [...check.matchAll(/`([A-Za-z]+)\(\)`/g)].map(([, name = '']) => name);
    expect(commands.filter((name) => !methods.has(name))).toEqual([]);
  });

  it('is there for every control that a finding names', () => {
    const checks = [
      ...['endpoint', 'key-ring', 'key', 'protection-level', 'attestation', 'rotation', 'destruction'],
      ...['access-members', 'access-roles', 'separation-of-duties', 'inherited-access', 'cloud-audit-logs'],
      ...['software-store', 'audit-trail'],
    ] as const satisfies readonly ComplianceCheck[];
    const controls = checks.flatMap(
      (check) =>
        toFinding({
          check: check as ComplianceCheck,
          subject: '',
          result: 'passed',
          detail: '',
          evidence: {},
        }).controls,
    );
    const documented = rows.map(({ control }) => control);
    expect([...new Set(controls)].filter((control) => !documented.includes(control))).toEqual([]);
    for (const check of checks) expect(text).toContain(`\`${check}\``);
  });
});
