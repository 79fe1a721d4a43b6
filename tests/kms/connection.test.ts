import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { KMSClient } from '../../src/index.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';

/** A client of Cloud KMS itself, with an endpoint on this machine. */
const cloudClient = (rest: { readonly apiEndpoint?: string; readonly credentialsPath: string }): KMSClient =>
  new KMSClient({
    ...KEY_RING,
    logger: silentLogger,
    retry: { maxAttempts: 1 },
    deadlines: { operationMs: 5_000 },
    ...rest,
  });

describe('a connection to Cloud KMS', () => {
  let folder: string;
  let credentialsPath: string;
  beforeAll(() => {
    vi.stubEnv('KMS_EMULATOR_HOST', undefined);
    folder = mkdtempSync(join(tmpdir(), 'a2a-kms-'));
    credentialsPath = join(folder, 'credentials.json');
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    writeFileSync(
      credentialsPath,
      JSON.stringify({
        type: 'service_account',
        project_id: 'test',
        private_key: privateKey,
        client_email: 'agent@test.iam.gserviceaccount.com',
      }),
    );
  });
  afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  it('says that there are no credentials, instead of leaving a rejection unhandled', async () => {
    await using client = cloudClient({ credentialsPath: join(folder, 'missing.json') });
    await expect(client.initialize()).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      attempts: 0,
      cause: expect.any(Error),
    });
  });

  it('goes to port 443 of an endpoint without a port', async () => {
    await using client = cloudClient({ credentialsPath, apiEndpoint: '127.0.0.1' });
    await expect(client.initialize()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('127.0.0.1:443'),
    });
  });

  it('goes to the endpoint and port of the configuration, with TLS only', async () => {
    let firstByte: number | undefined;
    const server = createServer((socket) => {
      socket.once('data', (data) => {
        firstByte = data[0];
        socket.destroy();
      });
    });
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
    await using client = cloudClient({ credentialsPath, apiEndpoint: `127.0.0.1:${port}` });
    await expect(client.initialize()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    // A TLS handshake record (RFC 8446 section 5.1), not the HTTP/2 preface in clear.
    expect(firstByte).toBe(22);
    await new Promise((resolve) => server.close(resolve));
  });
});
