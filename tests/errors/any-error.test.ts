import { expect, it, vi } from 'vitest';
import { isA2AKmsError, PermissionDeniedError } from '../../src/index.js';

const context = { operation: 'sign', resource: 'k', attempts: 1 };
const grant = { permission: 'cloudkms.cryptoKeyVersions.useToSign', role: 'roles/cloudkms.signer' };

it('an error of this library is narrowed by its code to its fields', () => {
  const error: unknown = new PermissionDeniedError(context, grant);
  expect(isA2AKmsError(error) && error.code === 'PERMISSION_DENIED' && error.permission).toBe(
    grant.permission,
  );
});

it('an error of another copy of this library is one, though it is of another class', async () => {
  vi.resetModules();
  const copy = await import('../../src/errors/access.js');
  const error = new copy.PermissionDeniedError(context, grant);
  expect(error).not.toBeInstanceOf(PermissionDeniedError);
  expect(isA2AKmsError(error)).toBe(true);
});

it.each([
  ['nothing', undefined],
  ['text', 'ABORTED'],
  ['an error of Node', Object.assign(new Error('aborted'), { code: 'ABORT_ERR' })],
  ['an error of gRPC with a code in words', Object.assign(new Error('aborted'), { code: 'ABORTED' })],
  ['a code that there is not', { ...context, code: 'NO_SUCH_CODE' }],
])('%s is none', (_, error) => {
  expect(isA2AKmsError(error)).toBe(false);
});
