/** What is found in IAM policies. */

import { describe, expect, it } from 'vitest';
import { accessFindings } from '../../src/compliance/access-findings.js';

const KEY = 'projects/p/locations/l/keyRings/r/cryptoKeys/k';
const signer = { member: 'serviceAccount:bot@p.iam.gserviceaccount.com', role: 'roles/cloudkms.signer' };

const resultsOf = (...parameters: Parameters<typeof accessFindings>): string[] =>
  accessFindings(...parameters).map(({ check, result }) => `${check} ${result}`);

describe('the policy of a key', () => {
  it('with one identity that may sign passes', () => {
    expect(resultsOf(KEY, [signer])).toEqual([
      'access-members passed',
      'access-roles passed',
      'separation-of-duties passed',
    ]);
  });

  it.each([
    ['allUsers', 'failed'],
    ['allAuthenticatedUsers', 'failed'],
    ['domain:example.com', 'warning'],
    ['group:ops@example.com', 'warning'],
    ['projectEditor:p', 'warning'],
    ['principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/x/*', 'warning'],
    ['deleted:user:old@example.com?uid=1', 'warning'],
    ['user:alice@example.com', 'passed'],
  ])('with the member %s is %s', (member, result) => {
    expect(resultsOf(KEY, [signer, { ...signer, member }])[0]).toBe(`access-members ${result}`);
  });

  it.each([
    ['roles/owner', 'failed'],
    ['roles/editor', 'failed'],
    ['roles/cloudkms.admin', 'warning'],
    ['roles/cloudkms.cryptoOperator', 'warning'],
    ['roles/cloudkms.viewer', 'passed'],
    ['roles/iam.securityAdmin', 'not-checked'],
    ['projects/p/roles/a2aSigner', 'not-checked'],
  ])('with the role %s is %s', (role, result) => {
    expect(resultsOf(KEY, [{ member: 'user:alice@example.com', role }])[1]).toBe(`access-roles ${result}`);
  });

  it('finds who administers it by the policy of the key ring and uses it by its own', () => {
    const admin = { member: signer.member, role: 'roles/cloudkms.admin' };
    const [finding] = accessFindings(KEY, [signer], [admin]).filter(
      ({ check }) => check === 'separation-of-duties',
    );
    expect(finding).toMatchObject({
      result: 'failed',
      detail: `${signer.member} can both administer and use it.`,
      evidence: { administers: ['roles/cloudkms.admin'], uses: ['roles/cloudkms.signer'] },
    });
  });

  it("knows this library's custom roles by their names when it looks for duties that are not apart", () => {
    const own = ['a2aSigner', 'a2aRotator'].map((id) => ({ ...signer, role: `projects/p/roles/${id}` }));
    expect(resultsOf(KEY, own)).toEqual([
      'access-members passed',
      'access-roles not-checked',
      'access-roles not-checked',
      'separation-of-duties failed',
    ]);
  });

  it('finds that a basic role administers and uses', () => {
    expect(resultsOf(KEY, [{ member: 'user:alice@example.com', role: 'roles/owner' }])).toContain(
      'separation-of-duties failed',
    );
  });

  it('does not say that duties are apart when a role is not known', () => {
    expect(resultsOf(KEY, [signer], [{ ...signer, role: 'projects/p/roles/anything' }])).toContain(
      'separation-of-duties not-checked',
    );
  });

  it('does not say that duties are apart when the policy of the key ring is not known', () => {
    expect(resultsOf(KEY, [signer], 'unknown')[2]).toBe('separation-of-duties not-checked');
  });

  it('names the condition of an entry in the evidence', () => {
    const [finding] = accessFindings(KEY, [{ ...signer, condition: { expression: 'false' } }]);
    expect(finding?.evidence).toEqual({ entries: [`${signer.member} ${signer.role} if false`] });
  });
});
