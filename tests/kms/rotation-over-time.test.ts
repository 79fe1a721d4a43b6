import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import {
  FilePublicKeyArchive,
  type KMSClient,
  type KMSConfig,
  type SignatureDetails,
} from '../../src/index.js';
import { lifecycleOf, versionTimes } from '../../src/keys/version-history.js';
import { newClient, startTestEmulator } from '../support/emulator.js';
import { CalendarClock, DAY_SECONDS } from '../support/lifecycle.js';

const MONTH_DAYS = 30;
const MONTHS = 12;
const SIGNERS = 50;

let clock: CalendarClock;
let emulator: KmsEmulator;
let archive: FilePublicKeyArchive;
let directory: string;
let config: Partial<KMSConfig>;
let client: KMSClient;

beforeAll(async () => {
  clock = new CalendarClock();
  emulator = await startTestEmulator({ clock });
  directory = await mkdtemp(join(tmpdir(), 'public-keys-'));
  archive = new FilePublicKeyArchive({ directory });
  config = { clock, publicKeyArchive: archive };
  client = newClient(emulator, config);
  await client.initialize();
});
afterAll(async () => {
  await client.close();
  await emulator.close();
  await rm(directory, { recursive: true, force: true });
});

interface Signed extends SignatureDetails {
  readonly data: Buffer;
}

async function sign(signer: KMSClient, keyId: string, text: string): Promise<Signed> {
  const data = Buffer.from(text);
  return { ...(await signer.signDetailed(keyId, data)), data };
}

/** As a process would that starts now: by the key, and by the version that signed. */
async function verifyAll(of: KmsEmulator, keyId: string, signatures: readonly Signed[]): Promise<void> {
  await using fresh = newClient(of, config);
  for (const { data, signature, keyVersion } of signatures) {
    expect([keyVersion, await fresh.verify(keyId, data, signature)]).toEqual([keyVersion, true]);
    expect([keyVersion, await fresh.verify(keyVersion, data, signature)]).toEqual([keyVersion, true]);
  }
}

describe('a year of an agent key that is rotated every month', () => {
  it('leaves few versions alive, tells what became of each, and every signature verifies (P12)', async () => {
    const { name } = await client.generateKey({
      name: 'year',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
      labels: { team: 'billing' },
    });
    const signatures = [await sign(client, name, 'first')];
    for (let month = 1; month <= MONTHS; month++) {
      clock.advanceDays(MONTH_DAYS - 1);
      const { prepared, primary } = await client.prepareRotation(name);
      signatures.push(await sign(client, name, `prepared ${month}`));
      expect(signatures.at(-1)?.keyVersion).toBe(primary);
      clock.advanceDays(1);
      expect((await client.activateRotation(name)).primary).toBe(prepared);
      signatures.push(await sign(client, name, `activated ${month}`));
      expect(signatures.at(-1)?.keyVersion).toBe(prepared);
      await client.retire(name, {
        graceSeconds: 7 * DAY_SECONDS,
        retireAfterSeconds: 75 * DAY_SECONDS,
        keepVersions: 5,
      });
      const alive = (await client.listKeyVersions(name)).filter(({ state }) =>
        /^(?:EN|DIS)ABLED$/.test(state),
      );
      expect(alive.length).toBeLessThanOrEqual(5);
    }
    const versions = await client.listKeyVersions(name);
    expect(versions).toHaveLength(MONTHS + 1);
    const states = versions.map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(['DESTROYED', 'DESTROY_SCHEDULED', 'DISABLED', 'ENABLED']));
    expect(states.slice(0, 8)).toEqual(Array(8).fill('DESTROYED'));
    // The one before was replaced just now.
    expect(states.slice(-2)).toEqual(['ENABLED', 'ENABLED']);

    const { labels } = await client.getKey(name);
    expect(labels['team']).toBe('billing');
    for (const version of versions.slice(1, -2)) {
      const { activatedTime, replacedTime, retiredTime } = versionTimes(labels, version.version);
      const times = [version.createTime, activatedTime, replacedTime, retiredTime].map(
        (time) => time?.getTime() ?? 0,
      );
      expect(times.toSorted((a, b) => a - b)).toEqual(times);
      expect(times[0]).toBeGreaterThan(0);
    }
    expect(lifecycleOf(labels, versions[MONTHS] ?? expect.fail('no version'), MONTHS + 1)).toBe('active');
    await verifyAll(emulator, name, signatures);
  });

  it('that is rotated every day verifies the oldest signature by the key alone', async () => {
    const { name } = await client.generateKey({
      name: 'often',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
    });
    const signatures: Signed[] = [];
    for (let rotations = 0; rotations < 18; rotations++) {
      signatures.push(await sign(client, name, `rotation ${rotations}`));
      await client.rotateKey(name);
      clock.advanceDays(1);
      await client.retire(name, { graceSeconds: 0 });
    }
    await verifyAll(emulator, name, signatures);
  });
});

describe('a year of a symmetric key that Cloud KMS rotates by itself', () => {
  it('has a new version for every period, and what the first one encrypted is read', async () => {
    const { name } = await client.generateKey({
      name: 'year-of-data',
      purpose: 'ENCRYPT_DECRYPT',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    });
    await client.setRotationSchedule(name, { rotationPeriodSeconds: MONTH_DAYS * DAY_SECONDS });
    const data = Buffer.from('customer list');
    const ciphertexts = [await client.encrypt(name, data)];
    for (let month = 1; month <= MONTHS; month++) {
      clock.advanceDays(MONTH_DAYS);
      expect((await client.getKey(name)).primary).toBe(`${name}/cryptoKeyVersions/${month + 1}`);
      ciphertexts.push(await client.encrypt(name, data));
    }
    for (const ciphertext of ciphertexts) expect(await client.decrypt(name, ciphertext)).toEqual(data);

    // None of those is taken for a new version after a rollback, although nothing is written down of them.
    await client.setPrimaryVersion(name, 3);
    expect((await client.prepareRotation(name)).prepared).toBe(`${name}/cryptoKeyVersions/${MONTHS + 2}`);
  });
});

describe('fifty signers while the key is rotated, prepared, activated, retired and rolled back', () => {
  it('sign without a failure, and all that they signed verifies when those versions are gone', async () => {
    // An HSM takes its time; without, fifty signers leave none for the rotations.
    await using slow = await startTestEmulator({ clock, hsmLatencyMs: 100 });
    await using rotator = newClient(slow, config);
    await using other = newClient(slow, config);
    await rotator.initialize();
    const { name } = await rotator.generateKey({
      name: 'busy',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
    });
    // Their time is the real one: the months pass for the service and for those who rotate.
    const processes = Array.from({ length: 5 }, () => newClient(slow, { cache: { keyVersionTtlMs: 100 } }));
    const signatures: Signed[] = [];
    let running = true;
    const failures: unknown[] = [];
    const signers = Array.from({ length: SIGNERS }, async (_, index) => {
      const process = processes[index % processes.length] ?? expect.fail('no process');
      for (let round = 0; running; round++) {
        try {
          signatures.push(await sign(process, name, `${index} ${round}`));
        } catch (error) {
          failures.push(error);
        }
      }
    });
    for (let round = 0; round < 3; round++) {
      const { primary } = await rotator.rotateKey(name);
      await other.setPrimaryVersion(name, 1 + 2 * round);
      await rotator.setPrimaryVersion(name, primary ?? '');
      clock.advanceDays(8);
      await other.prepareRotation(name);
      await rotator.activateRotation(name);
      await other.retire(name);
      clock.advanceDays(8);
      await rotator.retire(name, { retireAfterSeconds: 15 * DAY_SECONDS });
    }
    running = false;
    await Promise.all(signers);
    expect(failures).toEqual([]);
    await Promise.all(processes.map((process) => process.close()));

    clock.advanceDays(60);
    const states = (await rotator.listKeyVersions(name)).map(({ state }) => state);
    expect(states.slice(0, 3)).toEqual(['DESTROYED', 'DESTROYED', 'DESTROYED']);
    expect(new Set(states)).toContain('DISABLED');
    const signing = new Set(signatures.map(({ keyVersion }) => keyVersion));
    expect(signing.size).toBeGreaterThan(3);
    await verifyAll(slow, name, signatures);
  });
});
