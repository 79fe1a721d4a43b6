import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import { KMSClient, type KMSConfig } from '../../src/index.js';
import {
  isRepeatable,
  isTransient,
  leavesOpen,
  setUpError,
  toRpcFailure,
} from '../../src/kms/service-errors.js';
import { KEY_RING, newClient, silentLogger, startTestEmulator } from '../support/emulator.js';
import {
  credentialsFile,
  externalAccount,
  giveToken,
  tlsFront,
  tokenEndpoint,
} from '../support/tls-front.js';

vi.hoisted(() => {
  process.env['GRPC_DEFAULT_SSL_ROOTS_FILE_PATH'] =
    `${import.meta.dirname}/../support/localhost-certificate.pem`;
});

let emulator: KmsEmulator;
beforeAll(async () => {
  emulator = await startTestEmulator();
});
afterAll(() => emulator.close());

/** A client that takes the emulator for Google Cloud. */
async function cloudClient(credentialsPath: string, rest: Partial<KMSConfig> = {}): Promise<KMSClient> {
  return new KMSClient({
    ...KEY_RING,
    logger: silentLogger,
    apiEndpoint: await tlsFront(emulator),
    credentialsPath,
    retry: { maxAttempts: 2, initialDelayMs: 1, maxDelayMs: 2 },
    ...rest,
  });
}

const serviceAccount = { type: 'service_account', client_email: 'a@p.iam.gserviceaccount.com' };

describe('credentials that give no token', () => {
  it.each<[string, () => string | object]>([
    ['an empty file', () => ''],
    ['a file that is not JSON', () => 'hello'],
    ['a file without fields', () => ({})],
    ['a private key that is none', () => ({ ...serviceAccount, private_key: 'nokey' })],
    ['a token file that is missing', () => externalAccount('http://127.0.0.1:1/token', '/nonexistent/token')],
  ])('are what is wrong, at once, not Cloud KMS: %s', async (_, content) => {
    await using client = await cloudClient(credentialsFile(content()));
    await expect(client.initialize()).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      attempts: 1,
      message: expect.stringMatching(
        /no access token could be obtained: .*\. Nothing was sent to Cloud KMS\. Check credentialsPath/,
      ),
      cause: expect.any(Error),
    });
  });

  it('are told apart from a token endpoint that refuses them', async () => {
    const url = await tokenEndpoint((response) => {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end('{"error":"invalid_grant","error_description":"The audience is wrong"}');
    });
    await using client = await cloudClient(credentialsFile(externalAccount(url)));
    await expect(client.initialize()).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      attempts: 1,
      message: expect.stringContaining('invalid_grant: The audience is wrong. Nothing'),
    });
  });
});

describe('a token endpoint that is out of reach', () => {
  it('is asked again, and named in the end', async () => {
    await using client = await cloudClient(credentialsFile(externalAccount('http://127.0.0.1:1/token')));
    await expect(client.initialize()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      attempts: 2,
      message: expect.stringMatching(/the token endpoint could not be reached.*ECONNREFUSED/),
    });
  });

  it('for a moment is no reason to look whether a call that must not be repeated had an effect', async () => {
    await using owner = newClient(emulator);
    await owner.initialize();
    const { name } = await owner.generateKey({
      name: 'sign',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
    });
    let drops = 0;
    const url = await tokenEndpoint((response) => {
      if (drops-- > 0) response.socket?.destroy();
      else giveToken(response);
    });
    const attempts: string[] = [];
    await using client = await cloudClient(credentialsFile(externalAccount(url)), {
      observers: [
        {
          begin: () => ({
            attempt: ({ rpc }) => {
              attempts.push(rpc);
              // The auth library asks three times by itself.
              if (rpc === 'createCryptoKeyVersion' && attempts.filter((each) => each === rpc).length === 1)
                drops = 3;
              return () => {};
            },
            end: () => {},
          }),
        },
      ],
    });
    await client.rotateKey(name);
    const from = attempts.indexOf('createCryptoKeyVersion');
    expect(attempts.slice(from, from + 2)).toEqual(['createCryptoKeyVersion', 'createCryptoKeyVersion']);
    expect(emulator.requests.count('CreateCryptoKeyVersion')).toBe(1);
  });
});

/** What gRPC rejects with. */
const failure = (code: number, details: string) =>
  toRpcFailure(Object.assign(new Error(`${code} ${details}`), { code, details }));
const plugin = (code: number, problem: string) =>
  failure(code, `Getting metadata from plugin failed with error: ${problem}`);

describe('the failure of a token', () => {
  it.each([
    ['a name that is not resolved', 2, 'request to https://t/token failed, reason: getaddrinfo ENOTFOUND t'],
    ['a resolver that is down', 2, 'getaddrinfo EAI_AGAIN t'],
    ['a timeout', 2, 'connect ETIMEDOUT 10.0.0.1:443'],
    ['attempts to several addresses', 2, 'request to https://t/token failed, reason: '],
    ['HTTP 503', 503, 'upstream connect error'],
    ['HTTP 429', 429, 'slow down'],
    ['UNAVAILABLE', 14, 'no connection'],
  ])('passes: %s', (_, code, problem) => {
    const found = plugin(code, problem);
    expect(found).toMatchObject({ status: 'UNAVAILABLE', origin: 'token' });
    expect(isTransient(found)).toBe(true);
    expect(leavesOpen(found)).toBe(false);
    expect(isRepeatable('createCryptoKeyVersion', found)).toBe(true);
  });

  it.each([
    ['HTTP 400', 400, 'invalid_grant: Invalid JWT Signature.'],
    ['HTTP 403 that speaks of a network', 403, 'ECONNREFUSED'],
    ['a key', 2, 'error:1E08010C:DECODER routines::unsupported'],
  ])('does not pass: %s', (_, code, problem) => {
    const found = plugin(code, problem);
    expect(found).toMatchObject({ status: 'UNAUTHENTICATED', origin: 'token', message: problem });
    expect(isRepeatable('asymmetricSign', found)).toBe(false);
  });

  it('is one without a text too', () => {
    expect(plugin(2, '')).toMatchObject({ status: 'UNAUTHENTICATED', message: 'no reason was given' });
  });

  it('is known also by a code that gRPC does not let a plugin give', () => {
    const details =
      'Invalid status from control plane: 5 NOT_FOUND Getting metadata from plugin failed with error: gone';
    expect(failure(13, details)).toMatchObject({ status: 'UNAUTHENTICATED', message: 'gone' });
  });

  it('is nothing that a server could say', () => {
    const details = 'Key k: Getting metadata from plugin failed with error: ECONNREFUSED';
    expect(failure(9, details)).toMatchObject({ status: 'FAILED_PRECONDITION', origin: 'service' });
  });
});

describe('a secret in the text', () => {
  const SECRET = 'c2VjcmV0LW1hdGVyaWFs';
  const texts = [
    `Unexpected token '-', ..."ate_key": ${SECRET}"... is not valid JSON`,
    `The executable returned an invalid response: {"id_token": "${SECRET}"`,
    `The executable failed with exit code: 1 and error message: ${SECRET}.`,
    `The output file contained an invalid response: ${SECRET}`,
    `no key: -----BEGIN PRIVATE KEY-----\n${SECRET}\n-----END PRIVATE KEY-----\n`,
    `refused eyJhbGciOiJSUzI1NiJ9.${SECRET}.${SECRET}`,
    `refused ya29.${SECRET}`,
    `refused 1//0${SECRET}`,
  ];

  it.each(texts)('is in no message and no cause: %s', (text) => {
    const { message, cause } = plugin(2, text);
    const error = setUpError({ operation: 'o', resource: 'r', cause: new Error(text) });
    for (const told of [message, String(cause), error.message, String(error.cause)]) {
      expect(told).not.toContain(SECRET);
      expect(told).toMatch(/not valid JSON|The executable|The output file|no key|refused/);
    }
  });

  it('is no reason to lose another cause', () => {
    const cause = new Error('The file is not there');
    expect(setUpError({ operation: 'o', resource: 'r', cause })).toMatchObject({
      cause,
      message: expect.stringContaining('The file is not there. Check'),
    });
  });

  it('is not found in a page, of which the beginning is told', () => {
    expect(plugin(502, 'x'.repeat(10_000)).message).toBe(`${'x'.repeat(300)}…`);
  });
});
