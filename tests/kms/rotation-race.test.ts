import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { KmsEmulator } from '../../src/emulator/index.js';
import type { KeyMetadata, KeyVersionMetadata, KMSClient } from '../../src/index.js';
import { lifecycleOf } from '../../src/keys/version-history.js';
import { newClient, startTestEmulator } from '../support/emulator.js';
import {
  type KeyProcesses,
  type KeyTask,
  startKeyProcesses,
  type TaskOutcome,
} from '../support/key-processes.js';

const PROCESSES = 8;
const message = Buffer.from('pay 10 EUR to alice');

let emulator: KmsEmulator;
let client: KMSClient;
let processes: KeyProcesses;
let count = 0;

beforeAll(async () => {
  emulator = await startTestEmulator();
  client = newClient(emulator);
  await client.initialize();
  processes = await startKeyProcesses(emulator, PROCESSES);
});
afterAll(async () => {
  await processes[Symbol.asyncDispose]();
  await client.close();
  await emulator.close();
});

const result = z.object({
  primary: z.string().optional(),
  prepared: z.string().optional(),
  disposed: z.array(z.object({ name: z.string() })).readonly(),
});
type Rotated = z.infer<typeof result>;

/** What all of them returned; none may have failed. */
function resultsOf(outcomes: readonly TaskOutcome[]): readonly Rotated[] {
  expect(outcomes.filter(({ ok }) => !ok)).toEqual([]);
  return outcomes.flatMap((outcome) => (outcome.ok ? [result.parse(outcome.value)] : []));
}

const all = (task: KeyTask): readonly KeyTask[] => Array.from({ length: PROCESSES }, () => task);

/** What every process that starts now takes for the version in use. */
async function versionInUse(key: KeyMetadata): Promise<string> {
  const seen = await Promise.all(
    Array.from({ length: 3 }, async () => {
      await using fresh = newClient(emulator);
      return (await fresh.resolveKeyVersion(key.name)).keyVersion;
    }),
  );
  expect(new Set(seen).size).toBe(1);
  return seen[0] ?? '';
}

interface After {
  readonly key: KeyMetadata;
  readonly versions: readonly KeyVersionMetadata[];
}

async function look(key: KeyMetadata): Promise<After> {
  await using fresh = newClient(emulator);
  return { key: await fresh.getKey(key.name), versions: await fresh.listKeyVersions(key.name) };
}

/** One version is in use; all others were in use before or are reported as disposed of. */
function expectEachAccountedFor({ key, versions }: After, results: readonly Rotated[]): void {
  const number = versions.find(({ name }) => name === key.primary)?.version;
  const disposed = new Set(results.flatMap((each) => each.disposed.map(({ name }) => name)));
  const lives = new Map(versions.map((version) => [version.name, lifecycleOf(key.labels, version, number)]));
  expect([...lives.values()].filter((life) => life === 'active')).toHaveLength(1);
  for (const [name, life] of lives) {
    if (life === 'destroyed') expect(disposed).toContain(name);
    else expect([name, life]).toEqual([name, expect.stringMatching(/^(?:active|retiring)$/)]);
  }
}

const SIGNING = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
const SYMMETRIC = { purpose: 'ENCRYPT_DECRYPT', algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION' } as const;

describe.each([
  ['an asymmetric key', SIGNING],
  ['a symmetric key', SYMMETRIC],
] as const)('eight processes at once: %s', (_, kind) => {
  const newKey = (): Promise<KeyMetadata> => client.generateKey({ name: `raced-${++count}`, ...kind });

  it.each([1, 2])(
    'that replace the same version converge on the lowest new one, spares are disposed of (%i)',
    async () => {
      const key = await newKey();
      const outcomes = await processes.race(all({ do: 'rotate', keyName: key.name, replacing: key.primary }));
      const results = resultsOf(outcomes);
      const second = `${key.name}/cryptoKeyVersions/2`;
      expect(new Set(results.map(({ primary }) => primary))).toEqual(new Set([second]));
      expect(await versionInUse(key)).toBe(second);
      const after = await look(key);
      expectEachAccountedFor(after, results);
      expect(after.versions.slice(2).map(({ state }) => state)).toEqual(
        after.versions.slice(2).map(() => 'DESTROY_SCHEDULED'),
      );
    },
  );

  it.each([1, 2])('that just rotate converge on one version, and leave none behind (%i)', async () => {
    const key = await newKey();
    const results = resultsOf(await processes.race(all({ do: 'rotate', keyName: key.name })));
    const inUse = await versionInUse(key);
    expect(results.map(({ primary }) => primary)).toContain(inUse);
    expect(inUse).not.toBe(key.primary);
    expectEachAccountedFor(await look(key), results);
  });

  it('of which some prepare and some activate end with one in use, and at most one that waits', async () => {
    const key = await newKey();
    const tasks = all({ do: 'prepare', keyName: key.name }).map(
      (task, index): KeyTask => (index % 2 === 0 ? task : { do: 'activate', keyName: key.name }),
    );
    const results = resultsOf(await processes.race(tasks));
    await versionInUse(key);
    const settled = await client.activateRotation(key.name);
    expect(settled.prepared).toBeUndefined();
    expectEachAccountedFor(await look(key), [...results, settled]);
  });

  it('of which half write labels at the same time end with the version that was put to use', async () => {
    const key = await newKey();
    const tasks = Array.from(
      { length: PROCESSES },
      (_unused, index): KeyTask =>
        index % 2 === 0
          ? { do: 'rotate', keyName: key.name, replacing: key.primary }
          : { do: 'label', keyName: key.name, label: `mine-${index}`, value: 'written' },
    );
    const outcomes = await processes.race(tasks);
    expect(outcomes.filter(({ ok }) => !ok)).toEqual([]);
    const results = resultsOf(outcomes.filter((_outcome, index) => index % 2 === 0));
    expect(new Set(results.map(({ primary }) => primary)).size).toBe(1);
    // Labels that were read before may have been written after; who rotated looks again when that is over.
    await expect.poll(() => versionInUse(key), { timeout: 60_000 }).toBe(results[0]?.primary);
    expectEachAccountedFor(await look(key), results);
  });

  it('signatures and ciphertexts from before are good after all that', async () => {
    const key = await newKey();
    const relic =
      kind === SIGNING ? await client.sign(key.name, message) : await client.encrypt(key.name, message);
    resultsOf(await processes.race(all({ do: 'rotate', keyName: key.name })));
    await using fresh = newClient(emulator);
    if (kind === SIGNING) expect(await fresh.verify(key.name, message, relic)).toBe(true);
    else expect(await fresh.decrypt(key.name, relic)).toEqual(message);
  });
});
