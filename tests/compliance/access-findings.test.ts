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
      'separation-of-duties not-checked',
    ]);
  });

  const duties = (...parameters: Parameters<typeof accessFindings>) =>
    accessFindings(...parameters).filter(({ check }) => check === 'separation-of-duties');
  const adminOf = (member: string) => ({ member, role: 'roles/cloudkms.admin' });
  const importerOf = (member: string) => ({ member, role: 'roles/cloudkms.importer' });

  it.each([
    'group:admins@example.com',
    'domain:example.com',
    'projectOwner:p',
    'principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/x/*',
  ])('does not say that duties are apart when %s administers, whoever that is', (member) => {
    for (const findings of [
      duties(KEY, [signer], [importerOf(member)]),
      duties(KEY, [importerOf(signer.member), { ...signer, member }]),
    ])
      expect(findings).toMatchObject([
        { result: 'not-checked', detail: expect.stringContaining(member), evidence: { sets: [member] } },
      ]);
    expect(duties(KEY, [{ ...signer, member }], [adminOf(member)])).toMatchObject([
      { result: 'failed', evidence: { member } },
    ]);
  });

  it('says that duties are apart when a group has one and nobody the other', () => {
    expect(duties(KEY, [{ ...signer, member: 'group:bots@example.com' }])).toMatchObject([
      { result: 'passed' },
    ]);
    expect(duties(KEY, [importerOf('group:a@example.com'), importerOf('group:b@example.com')])).toMatchObject(
      [{ result: 'passed' }],
    );
  });

  it.each(['allUsers', 'allAuthenticatedUsers'])(
    'finds that everybody (%s) has the duty that others have not',
    (member) => {
      expect(duties(KEY, [{ ...signer, member }], [importerOf('user:a@example.com')])).toMatchObject([
        { result: 'failed', detail: `everybody (${member}) can use it, those who administer it too.` },
      ]);
      expect(duties(KEY, [importerOf(member)], [signer])).toMatchObject([
        { result: 'failed', detail: `everybody (${member}) can administer it, those who use it too.` },
      ]);
      expect(duties(KEY, [{ ...signer, member }])).toMatchObject([{ result: 'passed' }]);
    },
  );

  it('takes members for the same whatever the case of their email', () => {
    const own = [{ ...signer, member: 'user:Alice@Example.com' }, importerOf('user:alice@example.com')];
    expect(duties(KEY, own)).toMatchObject([{ result: 'failed' }]);
    const pool =
      'principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/x/subject/';
    expect(duties(KEY, [{ ...signer, member: `${pool}A` }, importerOf(`${pool}a`)])).toMatchObject([
      { result: 'passed' },
    ]);
  });

  it.each(['roles/cloudkms.admin', 'projects/p/roles/a2aAdministrator'])(
    'leaves it to a person that whoever has %s can give itself a role that signs',
    (role) => {
      const [first] = duties(KEY, [signer, { member: 'user:a@example.com', role }]);
      expect(first).toMatchObject({
        result: 'warning',
        detail: 'user:a@example.com can say who may use it, and so give itself a role that uses it.',
        evidence: { grants: [role] },
      });
    },
  );

  it('says which policies it speaks of', () => {
    expect(duties(KEY, [signer])[0]?.detail).toContain('in its policy and that of its key ring no identity');
    expect(duties('projects/p/locations/l/keyRings/r', [signer])[0]?.detail).toContain(
      'in its policy no identity',
    );
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
