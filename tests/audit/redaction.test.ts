/** No plaintext, passphrase, token or private key byte reaches a sink, a log line or an error, in any spelling of it. */

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AuditConfig } from '../../src/config/audit-config.js';
import type { KMSConfig } from '../../src/config/kms-config.js';
import type { KeyProvider } from '../../src/keys/key-provider.js';
import type { KMSClient } from '../../src/kms/kms-client.js';
import type { Logger } from '../../src/logger.js';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import { memorySink } from '../support/audit.js';
import { KEY_RING, newClient, startTestEmulator } from '../support/emulator.js';
import { memberOf, serviceAccount, startEnforcingEmulator } from '../support/iam.js';
import { recordingLogger, storeDirectory } from '../support/software-provider.js';

interface Outputs {
  readonly audit: AuditConfig;
  readonly logger: Logger;
  /** Everything that came out, as text. */
  text(): string;
  /** Keeps what a call throws. */
  run(call: () => Promise<unknown>): Promise<void>;
}

function outputs(): Outputs {
  const sink = memorySink();
  const toLogger = recordingLogger();
  const logger = recordingLogger();
  const errors: unknown[] = [];
  return {
    audit: {
      sink: {
        write: (line) => {
          sink.lines.push(line);
          toLogger.info({ audit: JSON.parse(line) }, 'audit');
        },
      },
      failClosed: true,
      checkpointAfterLines: 5,
    },
    logger,
    text: () =>
      [
        ...sink.lines,
        JSON.stringify(toLogger.lines),
        inspect(logger.lines, { depth: 10 }),
        ...errors.map((error) => `${inspect(error, { depth: 10 })} ${JSON.stringify(error)}`),
      ].join('\n'),
    run: async (call) => {
      await call().catch((error: unknown) => errors.push(error));
    },
  };
}

/** How bytes may be spelt: raw, hex, base64 at each alignment, with JSON escapes. */
function spellings(secret: Buffer): string[] {
  const aligned = [0, 1, 2].flatMap((shift) => {
    const base64 = Buffer.concat([Buffer.alloc(shift), secret]).toString('base64');
    const start = Math.ceil((shift * 8) / 6);
    const inner = base64.slice(start, Math.floor(((shift + secret.length) * 8) / 6));
    return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')];
  });
  const texts = [secret.toString('latin1'), secret.toString('utf8')];
  const hex = secret.toString('hex');
  const list = [...secret].join(',');
  return [
    ...texts,
    ...texts.map((text) => JSON.stringify(text).slice(1, -1)),
    hex,
    hex.toUpperCase(),
    list,
    ...aligned,
  ];
}

function expectNone(text: string, secrets: readonly Buffer[]): void {
  for (const secret of secrets) {
    for (const spelling of spellings(secret)) expect(text.includes(spelling)).toBe(false);
  }
}

const bytes = fc.uint8Array({ minLength: 16, maxLength: 64 }).map((array) => Buffer.from(array));

async function makeKeys(keys: KeyProvider, protectionLevel: 'HSM' | 'SOFTWARE'): Promise<void> {
  await keys.initialize();
  const signer = { name: 's', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
  await keys.generateKey({ ...signer, protectionLevel });
  const symmetric = { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' } as const;
  await keys.generateKey({ name: 'e', ...symmetric, protectionLevel });
  const rsa = { purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' } as const;
  await keys.generateKey({ name: 'r', ...rsa, protectionLevel });
}

/** What both providers do with the same data: what succeeds, what fails and what is refused. */
async function useAll(
  keys: KeyProvider,
  out: Outputs,
  { plaintext, aad }: { readonly plaintext: Buffer; readonly aad: Buffer },
): Promise<void> {
  const options = { additionalAuthenticatedData: aad };
  const ciphertext = await keys.encrypt('e', plaintext, options);
  await keys.decrypt('e', ciphertext, options);
  await keys.decrypt('r', await keys.encrypt('r', plaintext));
  const signature = await keys.sign('s', plaintext);
  await keys.verify('s', plaintext, signature);
  for (const call of [
    () => keys.decrypt('e', ciphertext, { additionalAuthenticatedData: plaintext }),
    () => keys.decrypt('e', Buffer.concat([plaintext, plaintext])),
    () => keys.decrypt('r', Buffer.concat([plaintext, plaintext])),
    () => keys.encrypt('e', Buffer.alloc(70_000, plaintext), options),
    () => keys.encrypt('r', Buffer.alloc(300, plaintext)),
    () => keys.encrypt('r', plaintext, options),
    () => keys.encrypt('s', plaintext, options),
    () => keys.encrypt('none', plaintext, options),
    () => keys.sign('e', plaintext),
    () => keys.signDigest('s', plaintext),
    () => keys.verify('s', plaintext, plaintext),
    () => keys.rotateKey('e'),
    () => keys.retire('e'),
  ]) {
    await out.run(call);
  }
}

describe('what the audit trail, the log and errors say', () => {
  it('of HSM keys holds no byte of what was encrypted, or imported', async () => {
    const emulator = await startTestEmulator();
    onTestFinished(() => emulator.close());
    const out = outputs();
    const keys: KMSClient = newClient(emulator, { audit: out.audit, logger: out.logger });
    onTestFinished(() => keys.close());
    await makeKeys(keys, 'HSM');
    let imports = 0;
    await fc.assert(
      fc.asyncProperty(bytes, bytes, async (plaintext, aad) => {
        await useAll(keys, out, { plaintext, aad });
        const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
        const scalar = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
        const imported = {
          name: `i${imports++}`,
          purpose: 'ASYMMETRIC_SIGN',
          protectionLevel: 'HSM',
        } as const;
        await out.run(() => keys.importKey({ ...imported, algorithm: 'EC_SIGN_P256_SHA256' }, pkcs8));
        await out.run(() => keys.importKey({ ...imported, algorithm: 'EC_SIGN_P384_SHA384' }, pkcs8));
        expectNone(out.text(), [plaintext, aad, pkcs8, scalar]);
      }),
      { numRuns: 4 },
    );
  });

  it('of software keys holds no byte of what was encrypted, of a private key, or of a passphrase', async () => {
    const out = outputs();
    const path = storeDirectory();
    const open = (passphrase: string): SoftwareKeyProvider => {
      const keys = new SoftwareKeyProvider({
        ...KEY_RING,
        softwareKeyStore: { type: 'file', path, passphrase },
        audit: out.audit,
        logger: out.logger,
      });
      onTestFinished(() => keys.close());
      return keys;
    };
    const first = 'the first passphrase of the store';
    const keys = open(first);
    await makeKeys(keys, 'SOFTWARE');
    const lent: Buffer[] = [];
    const version = `${keys.keyRing}/cryptoKeys/s/cryptoKeyVersions/1`;
    await keys.withPrivateKey(version, async (pkcs8) => void lent.push(Buffer.from(pkcs8)));
    expect(lent).toHaveLength(1);
    await fc.assert(
      fc.asyncProperty(bytes, bytes, async (plaintext, aad) => {
        await useAll(keys, out, { plaintext, aad });
        expectNone(out.text(), [plaintext, aad, ...lent]);
      }),
      { numRuns: 4 },
    );
    const second = randomBytes(24).toString('base64');
    await keys.rotateStoreKey({ passphrase: second });
    await out.run(() => keys.rotateStoreKey({ passphrase: 'short' }));
    await keys.close();
    await out.run(() => open(first).initialize());
    expect(out.text()).toContain('KEY_STORE_LOCKED');
    expectNone(out.text(), [Buffer.from(first), Buffer.from(second)]);
  });

  it('does not hold what was passed in place of a key id', async () => {
    const out = outputs();
    const emulator = await startTestEmulator();
    onTestFinished(() => emulator.close());
    const keys = newClient(emulator, { audit: out.audit, logger: out.logger });
    onTestFinished(() => keys.close());
    await keys.initialize();
    const secret = 'my secret plaintext / with a slash';
    await expect(keys.encrypt(secret, Buffer.from('e'))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(out.text()).toContain('"outcome":"refused"');
    expect(out.text()).not.toContain('my secret');
  });

  it('holds no access token: not the process’s own, not one that was minted, not one that was refused', async () => {
    const own = randomBytes(24).toString('base64url');
    const unknown = randomBytes(24).toString('base64url');
    const account = serviceAccount('bot');
    const creator = { role: 'roles/iam.serviceAccountTokenCreator', members: [memberOf('host')] };
    const emulator = await startEnforcingEmulator({
      bindings: [{ role: 'roles/owner', members: [memberOf('bot')] }],
      tokens: { [own]: memberOf('host') },
      serviceAccounts: { [account]: [creator] },
    });
    onTestFinished(() => emulator.close());
    const out = outputs();
    const open = (rest: Partial<KMSConfig>): KMSClient => {
      const config = { audit: out.audit, logger: out.logger, emulatorAccessToken: own, ...rest };
      const keys = newClient(emulator, { ...config, retry: { maxAttempts: 1 } });
      onTestFinished(() => keys.close());
      return keys;
    };
    const keys = open({ impersonate: account });
    await makeKeys(keys, 'HSM');
    const plaintext = randomBytes(32);
    await useAll(keys, out, { plaintext, aad: randomBytes(16) });
    for (const refused of [
      open({}),
      open({ emulatorAccessToken: unknown }),
      open({ impersonate: serviceAccount('stranger') }),
      open({ emulatorAccessToken: unknown, impersonate: account }),
    ]) {
      await out.run(() => refused.initialize());
      await out.run(() => refused.sign('s', plaintext));
    }
    const tokens = new Set(
      emulator.requests.entries.flatMap(
        ({ metadata }) => metadata.get('authorization')?.replace(/^Bearer /i, '') ?? [],
      ),
    );
    expect([...tokens]).toEqual(expect.arrayContaining([own, unknown]));
    // And what was minted for the account.
    expect(tokens.size).toBeGreaterThan(2);
    expect(out.text()).toContain('PERMISSION_DENIED');
    expect(out.text()).toContain('UNAUTHENTICATED');
    expect(out.text()).toContain('IMPERSONATION_FAILED');
    expect(out.text()).toContain(`"impersonates":"${account}"`);
    expectNone(
      out.text(),
      [...tokens].map((token) => Buffer.from(token)),
    );
  });
});
