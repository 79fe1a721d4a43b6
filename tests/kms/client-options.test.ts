import { IAMCredentialsClient } from '@google-cloud/iam-credentials';
import { KeyManagementServiceClient } from '@google-cloud/kms';
import { afterEach, expect, it, vi } from 'vitest';
import { cloudOptions } from '../../src/kms/client-options.js';

afterEach(() => vi.unstubAllEnvs());

it('calls go to googleapis.com, whatever universe the environment names, unless the configuration names a host', () => {
  vi.stubEnv('GOOGLE_CLOUD_UNIVERSE_DOMAIN', 'kms-proxy.example');
  const endpoint = { kind: 'cloud', apiEndpoint: undefined, credentialsPath: undefined } as const;
  expect(new KeyManagementServiceClient(cloudOptions(endpoint)).apiEndpoint).toBe('cloudkms.googleapis.com');
  expect(new IAMCredentialsClient(cloudOptions(endpoint)).apiEndpoint).toBe('iamcredentials.googleapis.com');
  const regional = { ...endpoint, apiEndpoint: 'cloudkms.europe-west3.rep.googleapis.com' };
  expect(cloudOptions(regional)).toMatchObject({ apiEndpoint: regional.apiEndpoint });
});
