/**
 * What every provider of keys must do, written once. A provider's test calls `describeKeyProvider` with a way to make
 * one; everything below goes through the `KeyProvider` interface only.
 */

import { createHash, createPublicKey, randomBytes, randomUUID, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  ProtectionLevel,
  SigningAlgorithm,
  SigningAlgorithmEntry,
} from '../../src/keys/algorithm-types.js';
import { algorithmsOf, findAlgorithm } from '../../src/keys/algorithms.js';
import type { KeyProvider, KeySpec } from '../../src/keys/key-provider.js';
import type { CalendarClock } from '../support/lifecycle.js';

export interface ProviderUnderTest {
  readonly provider: KeyProvider;
  /** Of the provider and of what it talks to; absent where time cannot be set forward. */
  readonly clock?: CalendarClock;
  /** Stops what the provider talks to. */
  close(): Promise<void>;
}

export interface ContractOptions {
  readonly make: () => Promise<ProviderUnderTest>;
  readonly protectionLevel: ProtectionLevel;
  /** Signing algorithms to leave out, e.g. where a run against a paid service should stay small. */
  readonly without?: readonly string[];
  /** Signing algorithms of the protection level that the provider does not have: it must refuse them. */
  readonly unsupported?: readonly SigningAlgorithm[];
}

const message = Buffer.from('pay 10 EUR to alice');

export function describeKeyProvider(name: string, options: ContractOptions): void {
  const { protectionLevel, unsupported = [] } = options;
  const signing = algorithmsOf('ASYMMETRIC_SIGN', protectionLevel).filter(
    (algorithm) => !options.without?.includes(algorithm) && !unsupported.some((name) => name === algorithm),
  );

  describe(`${name} keeps the contract of a key provider`, () => {
    let provider: KeyProvider;
    let underTest: ProviderUnderTest;
    beforeAll(async () => {
      underTest = await options.make();
      provider = underTest.provider;
      await provider.initialize();
    });
    afterAll(async () => {
      await provider.close();
      await underTest.close();
    });

    const spec = (rest: Partial<KeySpec> = {}): KeySpec => ({
      name: `contract-${randomUUID()}`,
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
      protectionLevel,
      ...rest,
    });
    const symmetric = (): KeySpec =>
      spec({ purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' });

    describe.each(signing)('signing with %s', (algorithm) => {
      it('generates, signs, verifies here and with node:crypto, and refuses everything else', async () => {
        const entry = signingEntry(algorithm);
        const key = await provider.generateKey(spec({ algorithm: entry.name }));
        expect(key).toMatchObject({ purpose: 'ASYMMETRIC_SIGN', algorithm, protectionLevel });
        expect(key.primary).toBe(`${key.name}/cryptoKeyVersions/1`);

        const signed = await provider.signDetailed(key.name, message);
        expect(signed).toMatchObject({
          keyVersion: key.primary,
          algorithm,
          protectionLevel,
          encoding: entry.signatureEncoding,
        });
        expect(await provider.verify(key.name, message, signed.signature)).toBe(true);
        expect(await provider.verify(key.primary ?? '', message, signed.signature)).toBe(true);

        const flipped = Buffer.from(signed.signature);
        flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1;
        expect(await provider.verify(key.name, message, flipped)).toBe(false);
        expect(await provider.verify(key.name, Buffer.from('pay 99 EUR to alice'), signed.signature)).toBe(
          false,
        );
        expect(await provider.verify(key.name, message, Buffer.alloc(0))).toBe(false);
        expect(await provider.verify(key.name, message, randomBytes(entry.signatureBytes))).toBe(false);

        const pem = await provider.getPublicKey(key.name);
        expect(Buffer.isBuffer(pem)).toBe(true);
        expect(pem.toString()).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
        if (entry.key.kind === 'ec' && entry.input.kind === 'digest') {
          expect(verify(entry.input.digest, message, createPublicKey(pem), signed.signature)).toBe(true);
        }
      });
    });

    if (unsupported.length > 0) {
      it.each(unsupported)(
        'refuses %s, which it does not have, and names those it has',
        async (algorithm) => {
          await expect(provider.generateKey(spec({ algorithm }))).rejects.toMatchObject({
            code: 'UNSUPPORTED_ALGORITHM',
            alternatives: expect.arrayContaining([...signing]),
          });
          const { name } = await provider.generateKey(spec());
          await expect(provider.rotateKey(name, { algorithm })).rejects.toMatchObject({
            code: 'UNSUPPORTED_ALGORITHM',
          });
          expect(await provider.listKeyVersions(name)).toHaveLength(1);
        },
      );
    }

    describe('the version in use', () => {
      it('is named with algorithm and protection level, and is the new one after a rotation', async () => {
        const { name } = await provider.generateKey(spec());
        const inUse = { algorithm: 'EC_SIGN_P256_SHA256', protectionLevel };
        const first = { ...inUse, keyVersion: `${name}/cryptoKeyVersions/1` };
        expect(await provider.resolveKeyVersion(name)).toEqual(first);
        const { primary } = await provider.rotateKey(name);
        expect(await provider.resolveKeyVersion(name)).toEqual({ ...inUse, keyVersion: primary });
        expect(await provider.resolveKeyVersion(first.keyVersion)).toEqual(first);
      });

      it('is told of a key that does not sign, too', async () => {
        const { name, primary } = await provider.generateKey(symmetric());
        expect((await provider.resolveKeyVersion(name)).keyVersion).toBe(primary);
      });

      it('does not exist for a key that does not exist', async () => {
        await expect(provider.resolveKeyVersion('no-such-key')).rejects.toMatchObject({ code: 'NOT_FOUND' });
      });
    });

    describe('signing', () => {
      it('gives the same kind of signature for a digest that the caller computed', async () => {
        const key = await provider.generateKey(spec({ algorithm: 'EC_SIGN_P384_SHA384' }));
        const { signature } = await provider.signDigest(
          key.name,
          createHash('sha384').update(message).digest(),
        );
        expect(await provider.verify(key.name, message, signature)).toBe(true);
      });

      it('refuses a digest of another length before any call', async () => {
        const key = await provider.generateKey(spec({ algorithm: 'EC_SIGN_P384_SHA384' }));
        await expect(
          provider.signDigest(key.name, createHash('sha256').update(message).digest()),
        ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      });

      it('signs an empty message and one of a megabyte', async () => {
        const key = await provider.generateKey(spec());
        for (const data of [Buffer.alloc(0), randomBytes(1 << 20)]) {
          expect(await provider.verify(key.name, data, await provider.sign(key.name, data))).toBe(true);
        }
      });

      it('refuses a key that is not for signing', async () => {
        const key = await provider.generateKey(symmetric());
        await expect(provider.sign(key.name, message)).rejects.toMatchObject({
          code: 'UNSUPPORTED_ALGORITHM',
        });
      });

      it('refuses a string for a message', async () => {
        const key = await provider.generateKey(spec());
        await expect(provider.sign(key.name, JSON.parse('"text"'))).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
        });
      });

      it('says NOT_FOUND for a key that does not exist', async () => {
        await expect(provider.sign('no-such-key', message)).rejects.toMatchObject({
          code: 'NOT_FOUND',
          operation: 'sign',
        });
      });
    });

    describe('generateKey', () => {
      it('gives back the existing key when it is the one asked for', async () => {
        const wanted = spec({ labels: { team: 'billing' } });
        const first = await provider.generateKey(wanted);
        const again = await provider.generateKey(wanted);
        expect(again).toEqual(first);
        expect(again.labels).toMatchObject({ team: 'billing' });
      });

      it.each([
        ['another algorithm', { algorithm: 'EC_SIGN_P384_SHA384' as const }, 'algorithm'],
        [
          'another purpose',
          { purpose: 'ENCRYPT_DECRYPT' as const, algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' as const },
          'purpose',
        ],
      ])('refuses an existing key of %s', async (_, change, field) => {
        const first = spec();
        await provider.generateKey(first);
        await expect(provider.generateKey({ ...first, ...change })).rejects.toMatchObject({
          code: 'KEY_SPEC_MISMATCH',
          differences: expect.arrayContaining([expect.objectContaining({ field })]),
        });
      });

      it.each([undefined, null, 7, 'k', {}])('refuses %j for a key spec, as a rejection', async (wrong) => {
        const generate = (given: unknown) => Reflect.apply(provider.generateKey, provider, [given]);
        await expect(generate(wrong)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      });

      it('does not take a symmetric key for usable whose primary is not ENABLED', async () => {
        const wanted = symmetric();
        const { primary = '' } = await provider.generateKey(wanted);
        await provider.destroyKey(primary, undefined, { force: true });
        await expect(provider.generateKey(wanted)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
        await provider.restoreKey(primary);
        expect((await provider.generateKey(wanted)).primary).toBe(primary);
      });

      it('refuses an algorithm of another purpose and names those that fit', async () => {
        await expect(
          provider.generateKey(spec({ algorithm: 'RSA_DECRYPT_OAEP_3072_SHA256' })),
        ).rejects.toMatchObject({
          code: 'UNSUPPORTED_ALGORITHM',
          alternatives: expect.arrayContaining(['EC_SIGN_P256_SHA256']),
        });
      });

      it('makes one key for callers that race', async () => {
        const wanted = spec();
        const keys = await Promise.all(Array.from({ length: 10 }, () => provider.generateKey(wanted)));
        expect(new Set(keys.map((key) => key.primary)).size).toBe(1);
        expect(await provider.listKeyVersions(wanted.name)).toHaveLength(1);
      });
    });

    describe('encryption', () => {
      it('decrypts what it encrypted, with and without additional authenticated data', async () => {
        const { name: keyName } = await provider.generateKey(symmetric());
        const plaintext = randomBytes(1_000);
        expect(await provider.decrypt(keyName, await provider.encrypt(keyName, plaintext))).toEqual(
          plaintext,
        );
        const additionalAuthenticatedData = Buffer.from('invoice 7');
        const bound = await provider.encrypt(keyName, plaintext, { additionalAuthenticatedData });
        expect(await provider.decrypt(keyName, bound, { additionalAuthenticatedData })).toEqual(plaintext);
        await expect(provider.decrypt(keyName, bound)).rejects.toMatchObject({ code: 'DECRYPTION_FAILED' });
        await expect(
          provider.decrypt(keyName, bound, { additionalAuthenticatedData: Buffer.from('invoice 8') }),
        ).rejects.toMatchObject({ code: 'DECRYPTION_FAILED' });
      });

      it('refuses a ciphertext that is damaged or of another key', async () => {
        const [a, b] = await Promise.all([
          provider.generateKey(symmetric()),
          provider.generateKey(symmetric()),
        ]);
        const ciphertext = await provider.encrypt(a.name, message);
        const damaged = Buffer.from(ciphertext);
        damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
        await expect(provider.decrypt(a.name, damaged)).rejects.toMatchObject({ code: 'DECRYPTION_FAILED' });
        await expect(provider.decrypt(b.name, ciphertext)).rejects.toMatchObject({
          code: 'DECRYPTION_FAILED',
        });
      });

      it('decrypts under a version name too, since the ciphertext names its version (P13)', async () => {
        const key = await provider.generateKey(symmetric());
        const ciphertext = await provider.encrypt(key.primary ?? '', message);
        expect(await provider.decrypt(key.primary ?? '', ciphertext)).toEqual(message);
      });

      it('refuses more than one request may carry, naming limit and way out', async () => {
        const key = await provider.generateKey(symmetric());
        await expect(provider.encrypt(key.name, Buffer.alloc(65_537))).rejects.toMatchObject({
          code: 'DATA_TOO_LARGE',
          sizeBytes: 65_537,
          message: expect.stringContaining('EnvelopeCipher'),
        });
      });

      it('encrypts with the public key and decrypts with the private one', async () => {
        const key = await provider.generateKey(
          spec({ purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_3072_SHA256' }),
        );
        const ciphertext = await provider.encrypt(key.name, message);
        expect(ciphertext).toHaveLength(384);
        expect(await provider.decrypt(key.name, ciphertext)).toEqual(message);
        ciphertext[100] = (ciphertext[100] ?? 0) ^ 1;
        await expect(provider.decrypt(key.name, ciphertext)).rejects.toMatchObject({
          code: 'DECRYPTION_FAILED',
        });
        await expect(provider.encrypt(key.name, Buffer.alloc(319))).rejects.toMatchObject({
          code: 'DATA_TOO_LARGE',
          limitBytes: 318,
        });
        await expect(
          provider.encrypt(key.name, message, { additionalAuthenticatedData: message }),
        ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      });
    });

    describe('rotation', () => {
      it('signs with the new version under the same name, and still verifies what the old one signed (P12)', async () => {
        const key = await provider.generateKey(spec());
        const before = await provider.sign(key.name, message);
        const rotated = await provider.rotateKey(key.name);
        expect(rotated).toMatchObject({ name: key.name, primary: `${key.name}/cryptoKeyVersions/2` });
        const after = await provider.signDetailed(key.name, message);
        expect(after.keyVersion).toBe(rotated.primary);
        expect(await provider.verify(key.name, message, before)).toBe(true);
        expect(await provider.verify(key.name, message, after.signature)).toBe(true);
        expect(await provider.verify(key.primary ?? '', message, after.signature)).toBe(false);
      });

      it('encrypts with the new version and still decrypts what the old one encrypted', async () => {
        const key = await provider.generateKey(symmetric());
        const before = await provider.encrypt(key.name, message);
        const rotated = await provider.rotateKey(key.name);
        expect(rotated).toMatchObject({ name: key.name, primary: `${key.name}/cryptoKeyVersions/2` });
        expect(await provider.decrypt(key.name, before)).toEqual(message);
        expect(await provider.decrypt(key.name, await provider.encrypt(key.name, message))).toEqual(message);
      });

      it('uses version 10 after version 9 (D3)', async () => {
        const key = await provider.generateKey(spec());
        for (let version = 2; version <= 10; version++) await provider.rotateKey(key.name);
        expect((await provider.signDetailed(key.name, message)).keyVersion).toBe(
          `${key.name}/cryptoKeyVersions/10`,
        );
        expect((await provider.listKeyVersions(key.name)).map(({ version }) => version)).toEqual([
          1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
        ]);
      });

      it('signs with the pinned version, whatever is in use', async () => {
        const key = await provider.generateKey(spec());
        await provider.rotateKey(key.name);
        expect((await provider.signDetailed(key.primary ?? '', message)).keyVersion).toBe(key.primary);
      });

      it('refuses to rotate a version', async () => {
        const key = await provider.generateKey(spec());
        await expect(provider.rotateKey(key.primary ?? '')).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
        });
      });
    });

    describe('rotation in two steps', () => {
      it('publishes the new version without using it, and then uses it', async () => {
        const { name } = await provider.generateKey(spec());
        const prepared = await provider.prepareRotation(name);
        expect(prepared).toMatchObject({
          name,
          primary: `${name}/cryptoKeyVersions/1`,
          prepared: `${name}/cryptoKeyVersions/2`,
          disposed: [],
        });
        expect((await provider.signDetailed(name, message)).keyVersion).toBe(prepared.primary);
        expect((await provider.getPublicKey(prepared.prepared ?? '')).toString()).toContain('PUBLIC KEY');
        const activated = await provider.activateRotation(name);
        expect(activated).toMatchObject({ primary: prepared.prepared, prepared: undefined, disposed: [] });
        expect((await provider.signDetailed(name, message)).keyVersion).toBe(prepared.prepared);
      });

      it('changes nothing when a step is repeated', async () => {
        const { name } = await provider.generateKey(spec());
        const first = await provider.prepareRotation(name);
        expect(await provider.prepareRotation(name)).toEqual(first);
        const activated = await provider.activateRotation(name);
        expect(await provider.activateRotation(name)).toEqual(activated);
        expect(await provider.listKeyVersions(name)).toHaveLength(2);
      });

      it('uses the prepared version where rotateKey finds one', async () => {
        const { name } = await provider.generateKey(spec());
        const { prepared } = await provider.prepareRotation(name);
        expect((await provider.rotateKey(name)).primary).toBe(prepared);
        expect(await provider.listKeyVersions(name)).toHaveLength(2);
      });

      it('is the same for symmetric keys', async () => {
        const { name, primary } = await provider.generateKey(symmetric());
        const { prepared } = await provider.prepareRotation(name);
        expect((await provider.getKey(name)).primary).toBe(primary);
        expect((await provider.activateRotation(name)).primary).toBe(prepared);
      });

      it('rotates once for a version that was to be replaced, however often it is asked', async () => {
        const { name, primary } = await provider.generateKey(spec());
        const rotated = await provider.rotateKey(name, { replacing: primary });
        expect(await provider.rotateKey(name, { replacing: primary })).toEqual(rotated);
        expect((await provider.prepareRotation(name, { replacing: primary })).prepared).toBeUndefined();
        expect(await provider.listKeyVersions(name)).toHaveLength(2);
      });

      it('refuses to replace what is not a version of the key', async () => {
        const { name } = await provider.generateKey(spec());
        await expect(provider.rotateKey(name, { replacing: `${name}1` })).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
        });
      });

      it('moves to another algorithm of the purpose, and verifies both', async () => {
        const wanted = spec({ algorithm: 'EC_SIGN_P384_SHA384' });
        const { name } = await provider.generateKey(wanted);
        const before = await provider.sign(name, message);
        await provider.prepareRotation(name, { algorithm: 'EC_SIGN_P256_SHA256' });
        expect(await provider.generateKey(wanted)).toMatchObject({ algorithm: 'EC_SIGN_P384_SHA384' });
        const rotated = await provider.activateRotation(name);
        expect(rotated.algorithm).toBe('EC_SIGN_P256_SHA256');
        const after = await provider.signDetailed(name, message);
        expect(after.algorithm).toBe('EC_SIGN_P256_SHA256');
        expect(await provider.verify(name, message, before)).toBe(true);
        expect(await provider.verify(name, message, after.signature)).toBe(true);
        expect((await provider.rotateKey(name)).algorithm).toBe('EC_SIGN_P256_SHA256');
        await expect(provider.generateKey(wanted)).rejects.toMatchObject({ code: 'KEY_SPEC_MISMATCH' });
        await provider.generateKey({ ...wanted, algorithm: 'EC_SIGN_P256_SHA256' });
      });

      it.each([
        ['of another purpose', 'RSA_DECRYPT_OAEP_3072_SHA256'],
        ['that a prepared version does not have', 'EC_SIGN_P384_SHA384'],
      ] as const)('refuses an algorithm %s', async (_, algorithm) => {
        const { name } = await provider.generateKey(spec());
        await provider.prepareRotation(name);
        await expect(provider.rotateKey(name, { algorithm })).rejects.toMatchObject({
          code: expect.stringMatching(/UNSUPPORTED_ALGORITHM|FAILED_PRECONDITION/),
        });
        expect((await provider.getKey(name)).algorithm).toBe('EC_SIGN_P256_SHA256');
      });
    });

    it('verifies what a version signed that was replaced twenty times, without being told which', async () => {
      const { name } = await provider.generateKey(spec());
      const signature = await provider.sign(name, message);
      for (let rotation = 0; rotation < 20; rotation++) await provider.rotateKey(name);
      expect(await provider.verify(name, message, signature)).toBe(true);
    });

    describe('going back', () => {
      it('uses an earlier version again, and rotates to a new one from there', async () => {
        const { name, primary } = await provider.generateKey(spec());
        const { primary: second } = await provider.rotateKey(name);
        expect((await provider.setPrimaryVersion(name, 1)).primary).toBe(primary);
        expect((await provider.signDetailed(name, message)).keyVersion).toBe(primary);
        expect((await provider.setPrimaryVersion(name, second ?? '')).primary).toBe(second);
        await provider.setPrimaryVersion(name, 1);
        expect((await provider.rotateKey(name)).primary).toBe(`${name}/cryptoKeyVersions/3`);
      });

      it('is the same for symmetric keys', async () => {
        const { name, primary } = await provider.generateKey(symmetric());
        await provider.rotateKey(name);
        expect((await provider.setPrimaryVersion(name, 1)).primary).toBe(primary);
        expect((await provider.rotateKey(name)).primary).toBe(`${name}/cryptoKeyVersions/3`);
      });

      it('refuses a version that is not ENABLED or not there', async () => {
        const { name, primary } = await provider.generateKey(spec());
        await provider.rotateKey(name);
        await provider.destroyKey(primary ?? '');
        for (const version of [1, 3])
          await expect(provider.setPrimaryVersion(name, version)).rejects.toMatchObject({
            code: 'FAILED_PRECONDITION',
          });
        await expect(provider.setPrimaryVersion(name, 'v1')).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
        });
        expect((await provider.getKey(name)).primary).toBe(`${name}/cryptoKeyVersions/2`);
      });
    });

    describe('retirement', () => {
      it('refuses symmetric keys, whose old versions decrypt', async () => {
        const { name } = await provider.generateKey(symmetric());
        await expect(provider.retire(name)).rejects.toMatchObject({ code: 'UNSUPPORTED_ALGORITHM' });
      });

      it('leaves the version in use, a prepared one, and what is in its grace', async () => {
        const { name } = await provider.generateKey(spec());
        await provider.rotateKey(name);
        await provider.prepareRotation(name);
        expect(await provider.retire(name)).toEqual({ name, disabled: [], scheduled: [], kept: [] });
        expect((await provider.listKeyVersions(name)).map(({ state }) => state)).toEqual([
          'ENABLED',
          'ENABLED',
          'ENABLED',
        ]);
      });

      it('disables and schedules versions of a decryption key that were replaced', async () => {
        const { name, primary } = await provider.generateKey(
          spec({ purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' }),
        );
        await provider.rotateKey(name);
        const disabled = await provider.retire(name, { graceSeconds: 0 });
        expect(disabled).toEqual({ name, disabled: [primary], scheduled: [], kept: [] });
        const scheduled = await provider.retire(name, { graceSeconds: 0, keepVersions: 1 });
        expect(scheduled).toEqual({
          name,
          disabled: [],
          scheduled: [{ name: primary, destroyTime: expect.any(Date) }],
          kept: [],
        });
      });
    });

    describe('labels', () => {
      it('are set and removed one by one', async () => {
        const { name } = await provider.generateKey(spec({ labels: { team: 'billing', stage: 'test' } }));
        const changed = await provider.updateLabels(name, { owner: 'alice', stage: null });
        expect(changed.labels).toEqual({ team: 'billing', owner: 'alice' });
        expect((await provider.getKey(name)).labels).toEqual(changed.labels);
      });

      it('leave room for what tells which versions were in use', async () => {
        const labels = (count: number) =>
          Object.fromEntries(Array.from({ length: count }, (_, index) => [`own-${index}`, 'x']));
        await expect(provider.generateKey(spec({ labels: labels(53) }))).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
          message: expect.stringContaining('at most 52 labels'),
        });
        const { name } = await provider.generateKey(spec({ labels: labels(52) }));
        await expect(provider.updateLabels(name, { more: 'x' })).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
          message: expect.stringContaining('53 labels'),
        });
        for (const _ of [2, 3]) await provider.rotateKey(name);
        await provider.setPrimaryVersion(name, 2);
        const { primary } = await provider.rotateKey(name);
        expect(primary).toBe(`${name}/cryptoKeyVersions/4`);
        const changed = await provider.updateLabels(name, { more: 'x', 'own-0': null });
        expect(changed.labels).toMatchObject({ more: 'x' });
      });

      it('of the version in use are not for callers to change', async () => {
        const { name } = await provider.generateKey(spec());
        for (const label of ['a2a-primary', 'a2a-version-1', 'a2a-disabled'])
          await expect(provider.updateLabels(name, { [label]: '1' })).rejects.toMatchObject({
            code: 'INVALID_ARGUMENT',
            attempts: 0,
          });
      });
    });

    describe('the rotation schedule of a symmetric key', () => {
      it('is set and ended', async () => {
        const { name } = await provider.generateKey(symmetric());
        const nextRotationTime = new Date(Date.UTC(2100, 0, 1));
        const scheduled = await provider.setRotationSchedule(name, {
          rotationPeriodSeconds: 86_400,
          nextRotationTime,
        });
        expect(scheduled).toMatchObject({ rotationPeriodSeconds: 86_400, nextRotationTime });
        expect(await provider.setRotationSchedule(name, null)).not.toHaveProperty('nextRotationTime');
      });

      it.each([86_399, 876_000 * 3_600 + 1])('is refused with a period of %i s', async (seconds) => {
        const { name } = await provider.generateKey(symmetric());
        await expect(
          provider.setRotationSchedule(name, { rotationPeriodSeconds: seconds }),
        ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', attempts: 0 });
      });

      it('is refused for a key that signs', async () => {
        const { name } = await provider.generateKey(spec());
        await expect(
          provider.setRotationSchedule(name, { rotationPeriodSeconds: 86_400 }),
        ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      });
    });

    describe('destruction', () => {
      it('schedules all versions, refuses to sign, and restores them to work', async () => {
        const key = await provider.generateKey(spec());
        const signature = await provider.sign(key.name, message);
        const { versions } = await provider.destroyKey(key.name);
        expect(versions).toEqual([{ name: key.primary, destroyTime: expect.any(Date) }]);
        expect((await provider.listKeyVersions(key.name))[0]?.state).toBe('DESTROY_SCHEDULED');
        await expect(provider.sign(key.name, message)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
        const restored = await provider.restoreKey(key.name);
        expect(restored.primary).toBe(key.primary);
        expect(await provider.verify(key.name, message, signature)).toBe(true);
        expect(await provider.verify(key.name, message, await provider.sign(key.name, message))).toBe(true);
      });

      it('schedules one version by its name and leaves the others', async () => {
        const key = await provider.generateKey(spec());
        await provider.rotateKey(key.name);
        await provider.destroyKey(key.primary ?? '');
        expect((await provider.listKeyVersions(key.name)).map(({ state }) => state)).toEqual([
          'DESTROY_SCHEDULED',
          'ENABLED',
        ]);
      });

      it('refuses, untouched, when the key destroys sooner than asked', async () => {
        const key = await provider.generateKey(spec({ destroyScheduledDurationSeconds: 86_400 }));
        await expect(provider.destroyKey(key.name, 86_401)).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
          message: expect.stringContaining('86400'),
        });
        expect((await provider.listKeyVersions(key.name))[0]?.state).toBe('ENABLED');
        await provider.destroyKey(key.name, 86_400);
      });

      it('refuses the version in use by its name, unless it is forced', async () => {
        const key = await provider.generateKey(spec());
        await provider.rotateKey(key.name);
        const inUse = `${key.name}/cryptoKeyVersions/2`;
        await expect(provider.destroyKey(inUse)).rejects.toMatchObject({ code: 'VERSION_IN_USE' });
        expect((await provider.listKeyVersions(key.name))[1]?.state).toBe('ENABLED');
        await provider.destroyKey(inUse, undefined, { force: true });
        expect((await provider.signDetailed(key.name, message)).keyVersion).toBe(key.primary);
      });

      it('brings back a retired version of a key as it was, and ENABLED by its own name', async () => {
        const key = await provider.generateKey(
          spec({ purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' }),
        );
        await provider.rotateKey(key.name);
        await provider.retire(key.name, { graceSeconds: 0 });
        const states = async (): Promise<readonly string[]> =>
          (await provider.listKeyVersions(key.name)).map(({ state }) => state);
        await provider.destroyKey(key.name);
        await provider.restoreKey(key.name);
        expect(await states()).toEqual(['DISABLED', 'ENABLED']);
        await provider.destroyKey(key.name);
        await provider.restoreKey(key.name, { state: 'ENABLED' });
        expect(await states()).toEqual(['ENABLED', 'ENABLED']);
        await provider.destroyKey(key.primary ?? '');
        await provider.restoreKey(key.primary ?? '');
        expect(await states()).toEqual(['ENABLED', 'ENABLED']);
      });

      it('brings back a version that was DISABLED as it was, whatever disabled it', async () => {
        const key = await provider.generateKey(spec());
        await provider.rotateKey(key.name);
        await provider.destroyKey(key.primary ?? '');
        await provider.restoreKey(key.primary ?? '', { state: 'DISABLED' });
        await provider.destroyKey(key.name, undefined, { force: true });
        const restored = await provider.restoreKey(key.name);
        expect((await provider.listKeyVersions(key.name)).map(({ state }) => state)).toEqual([
          'DISABLED',
          'ENABLED',
        ]);
        expect(restored.labels).not.toHaveProperty('a2a-disabled');
        expect(restored.labels).not.toHaveProperty('a2a-restoring');
      });

      it('gives a version that was restored its grace anew', async (context) => {
        const { clock } = underTest;
        if (clock === undefined) return context.skip();
        const key = await provider.generateKey(
          spec({ purpose: 'ASYMMETRIC_DECRYPT', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' }),
        );
        await provider.rotateKey(key.name);
        clock.advanceDays(10);
        const wish = { graceSeconds: 7 * 86_400, retireAfterSeconds: 8 * 86_400 };
        expect((await provider.retire(key.name, wish)).scheduled).toHaveLength(1);
        await provider.restoreKey(key.primary ?? '');
        expect(await provider.retire(key.name, wish)).toMatchObject({ disabled: [], scheduled: [] });
        clock.advanceDays(8);
        expect((await provider.retire(key.name, wish)).scheduled).toHaveLength(1);
      });

      it('restores to DISABLED when asked, and has nothing to restore twice', async () => {
        const key = await provider.generateKey(spec());
        await provider.destroyKey(key.name);
        const restored = await provider.restoreKey(key.name, { state: 'DISABLED' });
        expect(restored.primary).toBeUndefined();
        await expect(provider.restoreKey(key.name)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
      });
    });

    it('destroys a version when its time has come and not before: it cannot be restored, nor sign', async (context) => {
      const { clock } = underTest;
      if (clock === undefined) return context.skip();
      const key = await provider.generateKey(spec({ destroyScheduledDurationSeconds: 86_400 }));
      await provider.rotateKey(key.name);
      const first = `${key.name}/cryptoKeyVersions/1`;
      const earliest = clock.now() + 86_400_000;
      const { versions } = await provider.destroyKey(first);
      const [{ name, destroyTime } = { name: '', destroyTime: new Date(0) }] = versions;
      expect(name).toBe(first);
      expect(destroyTime.getTime()).toBeGreaterThanOrEqual(earliest);
      expect(destroyTime.getTime()).toBeLessThanOrEqual(clock.now() + 86_400_000);
      clock.advanceDays(0.99);
      expect((await provider.listKeyVersions(key.name))[0]).toMatchObject({
        ...{ state: 'DESTROY_SCHEDULED', destroyTime },
      });
      clock.advanceDays(0.02);
      const [destroyed] = await provider.listKeyVersions(key.name);
      expect(destroyed).toMatchObject({ state: 'DESTROYED', destroyEventTime: destroyTime });
      expect(destroyed).not.toHaveProperty('destroyTime');
      for (const call of [() => provider.restoreKey(first), () => provider.sign(first, message)])
        await expect(call()).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
      expect((await provider.signDetailed(key.name, message)).keyVersion).toMatch(/2$/);
    });

    describe('reading', () => {
      it('lists keys by label', async () => {
        const mark = `m${randomBytes(6).toString('hex')}`;
        const marked = await provider.generateKey(spec({ labels: { mark } }));
        await provider.generateKey(spec());
        expect((await provider.listKeys({ labels: { mark } })).map((key) => key.name)).toEqual([marked.name]);
        expect((await provider.listKeys()).length).toBeGreaterThanOrEqual(2);
      });

      it('reads a key by short id, key name and version name', async () => {
        const wanted = spec();
        const key = await provider.generateKey(wanted);
        for (const id of [wanted.name, key.name, key.primary ?? ''])
          expect(await provider.getKey(id)).toEqual(key);
      });

      it.each([
        'getKey',
        'listKeyVersions',
        'getPublicKey',
        'rotateKey',
        'prepareRotation',
        'activateRotation',
        'retire',
        'destroyKey',
        'restoreKey',
      ] as const)('%s says NOT_FOUND for a key that does not exist', async (method) => {
        await expect(provider[method]('no-such-key')).rejects.toMatchObject({
          code: 'NOT_FOUND',
          operation: method,
        });
      });

      it.each([
        'getKey',
        'listKeyVersions',
        'getPublicKey',
        'rotateKey',
        'prepareRotation',
        'activateRotation',
        'retire',
        'destroyKey',
        'restoreKey',
      ] as const)('%s refuses a name in another key ring', async (method) => {
        const elsewhere = 'projects/other/locations/global/keyRings/other/cryptoKeys/k';
        await expect(provider[method](elsewhere)).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
          attempts: 0,
        });
      });
    });

    it('refuses a call that was aborted before it began', async () => {
      const key = await provider.generateKey(spec());
      const signal = AbortSignal.abort(new Error('no longer needed'));
      await expect(provider.sign(key.name, message, { signal })).rejects.toMatchObject({
        code: 'ABORTED',
        cause: signal.reason,
      });
      await expect(provider.verify(key.name, message, message, { signal })).rejects.toMatchObject({
        code: 'ABORTED',
      });
    });
  });
}

function signingEntry(name: string): SigningAlgorithmEntry {
  const entry = findAlgorithm(name);
  if (entry?.purpose !== 'ASYMMETRIC_SIGN') throw new Error(`${name} does not sign`);
  return entry;
}
