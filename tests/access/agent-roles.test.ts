import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AGENT_ROLES, resolveAgentRoles } from '../../src/access/agent-roles.js';

const directory = join(import.meta.dirname, '../../docs/deploy/roles');
const roles = Object.values(AGENT_ROLES);

it('docs/deploy/roles has each role as gcloud takes it, with exactly its permissions', () => {
  const files = readdirSync(directory).filter((name) => name.endsWith('.json'));
  const documented = files.map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')));
  expect(files.toSorted()).toEqual(
    roles.map(({ id }) => `a2a-${id.slice('a2a'.length).toLowerCase()}.json`).toSorted(),
  );
  for (const { title, description, permissions } of roles) {
    expect(documented.find((file) => file.title === title)).toEqual({
      title,
      description,
      stage: 'GA',
      includedPermissions: permissions.toSorted(),
    });
  }
});

it('docs/deploy/roles/roles.tf has the same roles', () => {
  const terraform = readFileSync(join(directory, 'roles.tf'), 'utf8');
  const resources = [
    ...terraform.matchAll(
      /resource "google_project_iam_custom_role" "\w+" \{[^}]*?role_id\s*= "(\w+)"[^}]*?permissions = \[([^\]]*)\]/g,
    ),
  ];
  const documented = resources.map(([, id, list = '']) => ({
    id,
    permissions: [...list.matchAll(/"([^"]+)"/g)].map(([, permission]) => permission),
  }));
  expect(documented).toEqual(
    roles.map(({ id, permissions }) => ({ id, permissions: permissions.toSorted() })),
  );
});

it('roles are those of the project, unless others are configured', () => {
  expect(resolveAgentRoles('my-project', { rotator: 'organizations/1/roles/rotator' })).toEqual({
    signer: 'projects/my-project/roles/a2aSigner',
    verifier: 'projects/my-project/roles/a2aVerifier',
    rotator: 'organizations/1/roles/rotator',
    administrator: 'projects/my-project/roles/a2aAdministrator',
  });
});
