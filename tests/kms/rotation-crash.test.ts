import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import {
  FailedPreconditionError,
  FilePublicKeyArchive,
  type KeyMetadata,
  type KeyProvider,
  type KeySpec,
  KMSClient,
  type KMSConfig,
} from '../../src/index.js';
import { lifecycleOf } from '../../src/keys/version-history.js';
import { crashAfter } from '../support/crash.js';
import { newClient, officialClient, startTestEmulator } from '../support/emulator.js';
import { FastClock } from '../support/fast-clock.js';

const message = Buffer.from('pay 10 EUR to alice');
/** More RPCs than any of the operations makes. */
const ENOUGH = 60;

let emulator: KmsEmulator;
let directory: string;
let config: Partial<KMSConfig>;
let maker: KMSClient;
/** Each crash has a key of its own, which these never saw before: all that makes a process a new one. */
let witnesses: readonly KMSClient[];
let resuming: KMSClient;
let late: KMSClient;
let count = 0;

beforeAll(async () => {
  emulator = await startTestEmulator({ asymmetricGenerationMs: 1, hsmGenerationMs: 1 });
  directory = await mkdtemp(join(tmpdir(), 'crash-'));
  config = {
    clock: new FastClock(),
    publicKeyArchive: new FilePublicKeyArchive({ directory }),
    retry: { initialDelayMs: 1, maxDelayMs: 2 },
  };
  maker = newClient(emulator, config);
  await maker.initialize();
  witnesses = [newClient(emulator, config), newClient(emulator, config)];
  resuming = newClient(emulator, config);
  late = newClient(emulator, config);
});
afterAll(async () => {
  await Promise.all([maker, ...witnesses, resuming, late].map((client) => client.close()));
  await emulator.close();
  await rm(directory, { recursive: true, force: true });
});

const SIGNING = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
const SYMMETRIC = { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' } as const;
type Kind = Pick<KeySpec, 'purpose' | 'algorithm'>;

/** A key, and what was made with its first version. */
interface Subject {
  readonly key: KeyMetadata;
  readonly kind: Kind;
  readonly relic: Buffer;
}

interface Scenario {
  readonly kind: Kind;
  /** What happens to the key before. */
  readonly arrange?: (client: KMSClient, key: KeyMetadata) => Promise<unknown>;
  readonly act: (client: KMSClient, key: KeyMetadata) => Promise<unknown>;
  /** What must be so in the end, whatever happened on the way. */
  readonly check: (client: KMSClient, subject: Subject, outcome: unknown) => Promise<void>;
  /** Whether the key can be used all the time. Default true. */
  readonly staysUsable?: boolean;
}

async function newSubject(client: KMSClient, { kind, arrange }: Scenario): Promise<Subject> {
  const key = await client.generateKey({ name: `key-${++count}`, ...kind });
  const relic =
    kind.purpose === 'ASYMMETRIC_SIGN'
      ? await client.sign(key.name, message)
      : await client.encrypt(key.name, message);
  await arrange?.(client, key);
  return { key, kind, relic };
}

/** Whether the key works, and which version it is that works. */
async function use(client: KeyProvider, { key, kind }: Subject): Promise<string> {
  if (kind.purpose === 'ASYMMETRIC_SIGN') return (await client.signDetailed(key.name, message)).keyVersion;
  await client.decrypt(key.name, await client.encrypt(key.name, message));
  return (await client.getKey(key.name)).primary ?? 'none';
}

async function expectRelicIsGood(client: KeyProvider, { key, kind, relic }: Subject): Promise<void> {
  if (kind.purpose === 'ASYMMETRIC_SIGN') expect(await client.verify(key.name, message, relic)).toBe(true);
  else expect(await client.decrypt(key.name, relic)).toEqual(message);
}

/** The key works, and all processes use the same version. */
async function expectUsableAndOfOneMind(subject: Subject, processes: readonly KMSClient[]): Promise<void> {
  const versions = await Promise.all(processes.map((process) => use(process, subject)));
  expect(new Set(versions).size).toBe(1);
  await Promise.all(processes.map((process) => expectRelicIsGood(process, subject)));
}

/** Crashes after the first RPC, the second, … until there is none left to crash after; each time another process resumes. */
async function crashEverywhere(scenario: Scenario): Promise<number> {
  for (let afterRpc = 1; afterRpc <= ENOUGH; afterRpc++) {
    const subject = await newSubject(maker, scenario);
    const act = (own: KMSClient): Promise<unknown> => scenario.act(own, subject.key);
    const end = await crashAfter(emulator, { afterRpc, config, act, open: (own) => new KMSClient(own) });
    if (scenario.staysUsable !== false) await expectUsableAndOfOneMind(subject, witnesses);
    if (end === 'completed') return afterRpc - 1;
    const outcome = await act(resuming);
    if (scenario.staysUsable !== false) await expectUsableAndOfOneMind(subject, [resuming, late]);
    await scenario.check(late, subject, outcome);
  }
  throw new Error('the operation does not end');
}

/** Nothing is lost: each version is in use, was in use, is on its way out, or is the one that is reported as prepared. */
async function expectNoOrphan(
  client: KMSClient,
  { key }: Subject,
  expected: { readonly maxVersions: number },
): Promise<void> {
  const versions = await client.listKeyVersions(key.name);
  const { labels, primary } = await client.getKey(key.name);
  const number = versions.find(({ name }) => name === primary)?.version;
  const lives = versions.map((version) => lifecycleOf(labels, version, number));
  expect(lives.filter((life) => life === 'active')).toHaveLength(1);
  expect(lives).not.toContain('pending');
  const { prepared } = await client.prepareRotation(key.name);
  const waiting = versions.filter((_, index) => lives[index] === 'prepared');
  expect(waiting.length).toBeLessThanOrEqual(1);
  if (waiting[0] !== undefined) expect(prepared).toBe(waiting[0].name);
  expect(versions.length).toBeLessThanOrEqual(expected.maxVersions);
}

const numberOf = (versionName: string | undefined): number => Number(versionName?.split('/').at(-1));

describe.each([
  ['an asymmetric key', SIGNING],
  ['a symmetric key', SYMMETRIC],
] as const)('a process dies after any RPC and another one repeats the call: %s', (_, kind) => {
  it('rotateKey leads to a new version, and to one extra version at most', async () => {
    const rpcs = await crashEverywhere({
      kind,
      act: (client, { name }) => client.rotateKey(name),
      check: async (client, subject) => {
        expect(numberOf((await client.getKey(subject.key.name)).primary)).toBeGreaterThanOrEqual(2);
        await expectNoOrphan(client, subject, { maxVersions: 3 });
      },
    });
    expect(rpcs).toBeGreaterThan(5);
  });

  it('rotateKey of a named version leads to exactly one new version', async () => {
    await crashEverywhere({
      kind,
      act: (client, { name, primary }) => client.rotateKey(name, { replacing: primary }),
      check: async (client, subject) => {
        expect(numberOf((await client.getKey(subject.key.name)).primary)).toBe(2);
        await expectNoOrphan(client, subject, { maxVersions: 2 });
      },
    });
  });

  it('prepareRotation leads to one version that waits, and leaves the one in use', async () => {
    await crashEverywhere({
      kind,
      act: (client, { name }) => client.prepareRotation(name),
      check: async (client, subject, outcome) => {
        expect(outcome).toMatchObject({
          primary: subject.key.primary,
          prepared: `${subject.key.name}/cryptoKeyVersions/2`,
        });
        await expectNoOrphan(client, subject, { maxVersions: 2 });
      },
    });
  });

  it('activateRotation leads to the version that was prepared', async () => {
    await crashEverywhere({
      kind,
      arrange: (client, { name }) => client.prepareRotation(name),
      act: (client, { name }) => client.activateRotation(name),
      check: async (client, subject) => {
        expect(numberOf((await client.getKey(subject.key.name)).primary)).toBe(2);
        await expectNoOrphan(client, subject, { maxVersions: 2 });
      },
    });
  });

  it('setPrimaryVersion leads back, and the version that was left is not taken for a new one', async () => {
    await crashEverywhere({
      kind,
      arrange: (client, { name }) => client.rotateKey(name),
      act: (client, { name }) => client.setPrimaryVersion(name, 1),
      check: async (client, subject) => {
        expect(numberOf((await client.getKey(subject.key.name)).primary)).toBe(1);
        await expectNoOrphan(client, subject, { maxVersions: 2 });
        expect(numberOf((await client.rotateKey(subject.key.name)).primary)).toBe(3);
      },
    });
  });

  it('destroyKey leads to all versions scheduled, and restoreKey to a key that works', async () => {
    const scheduled = expect.objectContaining({ destroyTime: expect.any(Date) });
    await crashEverywhere({
      kind,
      staysUsable: false,
      arrange: (client, { name }) => client.rotateKey(name),
      act: (client, { name }) => client.destroyKey(name),
      check: async (client, subject, outcome) => {
        expect(outcome).toMatchObject({ versions: [scheduled, scheduled] });
        const restored = await client.restoreKey(subject.key.name);
        expect(numberOf(restored.primary)).toBe(2);
        await expectUsableAndOfOneMind(subject, witnesses);
      },
    });
  });

  it('restoreKey leads to an ENABLED version, and can be repeated until it is', async () => {
    await crashEverywhere({
      kind,
      staysUsable: false,
      arrange: (client, { name }) => client.destroyKey(name),
      // What was done completely is not done twice: then there is nothing to restore.
      act: (client, { name }) =>
        client.restoreKey(name).catch((error: unknown) => {
          if (!(error instanceof FailedPreconditionError)) throw error;
        }),
      check: (_, subject) => expectUsableAndOfOneMind(subject, witnesses),
    });
  });
});

describe('a process dies after any RPC of the way back from a version that nobody wrote down, and another one repeats it', () => {
  it('the version that was left is not taken for a new one', async () => {
    const official = officialClient(emulator);
    await crashEverywhere({
      kind: SYMMETRIC,
      // As Cloud KMS does by itself.
      arrange: async (client, { name }) => {
        await client.prepareRotation(name);
        await official.updateCryptoKeyPrimaryVersion({ name, cryptoKeyVersionId: '2' });
      },
      act: (client, { name }) => client.setPrimaryVersion(name, 1),
      check: async (client, { key }) => {
        expect(numberOf((await client.getKey(key.name)).primary)).toBe(1);
        expect(numberOf((await client.rotateKey(key.name)).primary)).toBe(3);
      },
    });
    await official.close();
  });
});

describe('a process dies after any RPC of a move to another algorithm, and another one repeats the call', () => {
  it('signatures of both algorithms verify', async () => {
    await crashEverywhere({
      kind: { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P384_SHA384' },
      act: (client, { name, primary }) =>
        client.rotateKey(name, { algorithm: 'EC_SIGN_P256_SHA256', replacing: primary }),
      check: async (client, subject) => {
        expect((await client.getKey(subject.key.name)).algorithm).toBe('EC_SIGN_P256_SHA256');
        await expectNoOrphan(client, subject, { maxVersions: 2 });
      },
    });
  });
});

describe('a process dies after any RPC of a retirement, and another one repeats the call', () => {
  it('versions are archived before they are disabled and scheduled, and what they signed verifies', async () => {
    await crashEverywhere({
      kind: SIGNING,
      arrange: async (client, { name }) => {
        await client.rotateKey(name);
        await client.rotateKey(name);
      },
      act: (client, { name }) => client.retire(name, { graceSeconds: 0, keepVersions: 2 }),
      check: async (client, subject) => {
        const states = (await client.listKeyVersions(subject.key.name)).map(({ state }) => state);
        expect(states).toEqual(['DESTROY_SCHEDULED', 'DISABLED', 'ENABLED']);
        await expectNoOrphan(client, subject, { maxVersions: 3 });
      },
    });
  });
});
