import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import { OpenCiphers } from '../../src/envelope/open-ciphers.js';
import { type A2AKeyExchange, ClientClosedError, InvalidConfigError } from '../../src/index.js';
import { newExchange, startTestEmulator } from '../support/emulator.js';

const DAY_SECONDS = 86_400;
const plaintext = Buffer.from('pay 10 EUR to alice');

describe('A2AKeyExchange.envelope', () => {
  let emulator: KmsEmulator;
  let exchange: A2AKeyExchange;
  beforeAll(async () => {
    emulator = await startTestEmulator();
    exchange = newExchange(emulator, { hierarchy: {} });
    await exchange.initialize();
  });
  afterAll(async () => {
    await exchange.close();
    await emulator.close();
  });

  it('wraps with the key-encryption key of the hierarchy by default', async () => {
    const ciphertext = await exchange.envelope().encrypt(plaintext);
    await using other = exchange.envelope({ keyId: exchange.hierarchy.kekKeyId });
    expect(await other.decrypt(ciphertext)).toEqual(plaintext);
  });

  it('wraps with the key it is told to use, and no other key opens it', async () => {
    const { name } = await exchange.keys.generateKey({
      name: 'archive',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    });
    const ciphertext = await exchange.envelope({ keyId: name }).encrypt(plaintext);
    await expect(exchange.envelope().decrypt(ciphertext)).rejects.toThrow();
    expect(await exchange.envelope({ keyId: name }).decrypt(ciphertext)).toEqual(plaintext);
  });

  it('refuses a limit beyond its cap', () => {
    expect(() => exchange.envelope({ dataKeys: { maxAgeMs: 300_001 } })).toThrow(InvalidConfigError);
  });

  it('closes the ciphers it gave out with itself, and gives out no more', async () => {
    const closing = newExchange(emulator);
    const cipher = closing.envelope();
    const ciphertext = await cipher.encrypt(plaintext);
    await closing.close();
    await expect(cipher.decrypt(ciphertext)).rejects.toThrow(ClientClosedError);
    expect(() => closing.envelope()).toThrow(ClientClosedError);
  });

  it('forgets a cipher that its user closed', async () => {
    const ciphers = new OpenCiphers(exchange.keys);
    const cipher = ciphers.create('a2a-kek', {});
    expect(ciphers.size).toBe(1);
    await cipher.close();
    expect(ciphers.size).toBe(0);
  });
});

describe('the rotation schedule of the key-encryption key', () => {
  it('is 90 days by default and shows in the description with its due date', async () => {
    await using emulator = await startTestEmulator();
    await using exchange = newExchange(emulator, { hierarchy: {} });
    await exchange.initialize();
    const { kek } = await exchange.describeHierarchy();
    expect(kek?.rotationPeriodSeconds).toBe(90 * DAY_SECONDS);
    const dueInSeconds = ((kek?.nextRotationTime?.getTime() ?? 0) - Date.now()) / 1_000;
    expect(dueInSeconds).toBeGreaterThan(89 * DAY_SECONDS);
    expect(dueInSeconds).toBeLessThanOrEqual(90 * DAY_SECONDS);
  });

  it('is what was configured, and a later start with another period leaves it', async () => {
    await using emulator = await startTestEmulator();
    for (const days of [7, 30]) {
      await using exchange = newExchange(emulator, {
        hierarchy: { kekRotationPeriodSeconds: days * DAY_SECONDS },
      });
      await exchange.initialize();
      const { kek } = await exchange.describeHierarchy();
      expect(kek?.rotationPeriodSeconds).toBe(7 * DAY_SECONDS);
    }
  });

  it('is left out with null', async () => {
    await using emulator = await startTestEmulator();
    await using exchange = newExchange(emulator, { hierarchy: { kekRotationPeriodSeconds: null } });
    await exchange.initialize();
    const { kek } = await exchange.describeHierarchy();
    expect(kek).toBeDefined();
    expect(kek).not.toHaveProperty('nextRotationTime');
  });

  it.each([DAY_SECONDS - 1, 3_153_600_001, 1.5])('is refused with a period of %d s', async (seconds) => {
    await using emulator = await startTestEmulator();
    expect(() => newExchange(emulator, { hierarchy: { kekRotationPeriodSeconds: seconds } })).toThrow(
      /hierarchy\.kekRotationPeriodSeconds/,
    );
  });
});
