import { createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { A2AKeyExchange, ArchivedPublicKey, PublicKeyArchive } from '../../src/index.js';
import { toPublicJwk, verifyHandover } from '../../src/index.js';
import { type MigrationWorld, startMigrationWorld } from '../support/migration.js';

const message = Buffer.from('pay 10 EUR to alice');

let world: MigrationWorld;
/** A process in phase 2. */
let exchange: A2AKeyExchange;
beforeAll(async () => {
  world = await startMigrationWorld();
  exchange = await world.start(2);
});
afterAll(() => world[Symbol.asyncDispose]());

let agents = 0;
/** An agent with a software key, and a signature by it. */
async function softwareAgent(
  options: Parameters<A2AKeyExchange['generateAgentKey']>[1] = {},
): Promise<{ readonly agentId: string; readonly signature: Buffer; readonly oldKey: Buffer }> {
  agents += 1;
  const agentId = `agent/${agents}`;
  return world.within('software-only', async (software) => {
    await software.generateAgentKey(agentId, options);
    if (options.purpose === 'encryption') {
      return { agentId, signature: Buffer.alloc(0), oldKey: Buffer.alloc(0) };
    }
    const signature = await software.signMessage(agentId, message);
    return { agentId, signature, oldKey: await software.getPublicKey(agentId) };
  });
}

const spki = (pem: Buffer | string): string =>
  createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString();

describe('migrateAgent with a new key', () => {
  it('has the agent sign with a key born in the HSM, under the same name, and old signatures verify', async () => {
    const { agentId, signature, oldKey } = await softwareAgent();
    const before = await exchange.describeAgent(agentId);
    const { outcome, keys } = await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    expect(outcome).toBe('migrated');
    expect(keys).toMatchObject([
      {
        keyName: before.keyName,
        role: 'signing',
        strategy: 'regenerate',
        from: `${before.keyName}/cryptoKeyVersions/1@software`,
        to: `${before.keyName}/cryptoKeyVersions/1`,
        migratedTime: expect.any(Date),
      },
    ]);
    const signed = await exchange.signMessageDetailed(agentId, message);
    expect(signed).toMatchObject({ protectionLevel: 'HSM', keyVersion: keys[0]?.to });
    expect(spki(await exchange.getPublicKey(agentId))).not.toBe(spki(oldKey));
    expect(await exchange.verifyMessage(agentId, message, signature)).toBe(true);
    expect(await exchange.verifyMessage(agentId, message, signed.signature)).toBe(true);
  });

  it('gives a statement that leads peers from the old key to the new one', async () => {
    const { agentId, oldKey } = await softwareAgent();
    const { keys } = await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    const handover = await verifyHandover(keys[0]?.handover ?? '', { agentId, oldKey });
    expect(handover).toMatchObject({ oldKeyVersion: keys[0]?.from, newKeyVersion: keys[0]?.to });
    expect(handover.newThumbprint).toBe((await exchange.hierarchy.getAgentJwk(agentId)).kid);
  });

  it('has the process that used the old key use the new one for whatever it publishes', async () => {
    const { agentId } = await softwareAgent();
    const old = await exchange.hierarchy.getAgentJwk(agentId);
    await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    expect((await exchange.hierarchy.getAgentJwk(agentId)).kid).not.toBe(old.kid);
  });

  it('publishes the old key with the new one as long as it is there: what it signed is to be verified', async () => {
    const { agentId, oldKey } = await softwareAgent();
    await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    const published = await exchange.getPublicKeys(agentId);
    expect(published.map(({ keyVersion, lifecycle }) => [/[^/]+$/.exec(keyVersion)?.[0], lifecycle])).toEqual(
      [
        ['1@software', 'retiring'],
        ['1', 'active'],
      ],
    );
    expect(published.map(({ pem }) => spki(pem))).toEqual([
      spki(oldKey),
      spki(await exchange.getPublicKey(agentId)),
    ]);
    expect(published[0]?.keyRing).toBe(published[1]?.keyRing);
    expect(await exchange.getAgentJwks(agentId)).toEqual(
      published.map(({ pem, algorithm }) => toPublicJwk(pem, algorithm)),
    );
  });

  it('makes a key of the configured algorithm where the HSM has none of the old one', async () => {
    const { agentId } = await softwareAgent({ algorithm: 'ed25519' });
    const { keys } = await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    expect(keys[0]?.algorithm).toBe('EC_SIGN_P256_SHA256');
  });

  it('takes the labels, the rotation policy and the delay of destruction along', async () => {
    const { agentId } = await softwareAgent({
      labels: { team: 'payments' },
      rotationPolicy: { rotateAfterSeconds: 86_400 * 90 },
      destroyScheduledDurationSeconds: 86_400,
    });
    await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    const described = await exchange.describeAgent(agentId);
    expect(described.labels).toMatchObject({ team: 'payments' });
    expect(described.rotationPolicy).toMatchObject({ rotateAfterSeconds: 86_400 * 90 });
    expect(described.labels).not.toHaveProperty('a2a-migrated');
    const key = await exchange.keys.getKey(described.keyName);
    expect(key.destroyScheduledDurationSeconds).toBe(86_400);
  });
});

describe('migrateAgent with the same key', () => {
  it('has the HSM sign with it, and marks it as imported', async () => {
    const { agentId, signature, oldKey } = await softwareAgent();
    const { keys } = await exchange.migrateAgent(agentId, { strategy: 'import' });
    expect(keys[0]).toMatchObject({ strategy: 'import', to: expect.stringMatching(/cryptoKeyVersions\/1$/) });
    expect(keys[0]).not.toHaveProperty('handover');
    expect(spki(await exchange.getPublicKey(agentId))).toBe(spki(oldKey));
    expect((await exchange.signMessageDetailed(agentId, message)).protectionLevel).toBe('HSM');
    expect(await exchange.verifyMessage(agentId, message, signature)).toBe(true);
    const { versions } = await exchange.describeAgent(agentId);
    expect(versions).toMatchObject([
      { provider: 'software', protectionLevel: 'SOFTWARE', lifecycle: 'retiring' },
      { provider: 'kms', protectionLevel: 'HSM', lifecycle: 'active', importTime: expect.any(Date) },
    ]);
    expect(versions[0]).not.toHaveProperty('importTime');
    expect(versions[0]?.thumbprint).toBe(versions[1]?.thumbprint);
    expect(await exchange.getPublicKeys(agentId)).toHaveLength(2);
    expect(await exchange.getAgentJwks(agentId)).toEqual([await exchange.hierarchy.getAgentJwk(agentId)]);
  });

  it('is not possible for a key that the HSM does not have, and nothing is touched', async () => {
    const { agentId } = await softwareAgent({ algorithm: 'ed25519' });
    await expect(exchange.migrateAgent(agentId, { strategy: 'import' })).rejects.toMatchObject({
      code: 'UNSUPPORTED_ALGORITHM',
      message: expect.stringContaining('regenerate'),
    });
    expect((await exchange.signMessageDetailed(agentId, message)).protectionLevel).toBe('SOFTWARE');
  });

  it('moves the encryption key too, whatever the strategy, so that what was encrypted stays readable', async () => {
    const { agentId } = await softwareAgent({ purpose: 'both' });
    const jwe = await exchange.encryptForAgent(agentId, message);
    const { keys } = await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    expect(keys.map(({ role, strategy }) => [role, strategy])).toEqual([
      ['signing', 'regenerate'],
      ['encryption', 'import'],
    ]);
    expect(await exchange.decryptAsAgent(agentId, jwe)).toEqual(message);
    expect(await exchange.decryptAsAgent(agentId, await exchange.encryptForAgent(agentId, message))).toEqual(
      message,
    );
  });
});

describe('the older versions of an encryption key', () => {
  /** An agent whose encryption key was rotated, once to another size, and what was encrypted to each version. */
  async function rotatedAgent() {
    const { agentId } = await softwareAgent({ purpose: 'both' });
    const sealed = await world.within('software-only', async (software) => {
      const messages = [await software.encryptForAgent(agentId, message)];
      await software.rotateAgentKey(agentId, { role: 'encryption' });
      messages.push(await software.encryptForAgent(agentId, message));
      await software.rotateAgentKey(agentId, {
        role: 'encryption',
        algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256',
      });
      return [...messages, await software.encryptForAgent(agentId, message)];
    });
    return { agentId, sealed };
  }

  async function expectReadable(agentId: string, sealed: readonly string[]): Promise<void> {
    // No software store: as in phase 4, and after the purge of the software keys.
    await world.within('hsm-only', async (hsmOnly) => {
      for (const jwe of sealed) expect(await hsmOnly.decryptAsAgent(agentId, jwe)).toEqual(message);
      const jwe = await hsmOnly.encryptForAgent(agentId, message);
      expect(jwe.split('.')[0]).toBe(sealed.at(-1)?.split('.')[0]);
    });
  }

  it('move into the HSM too: what was encrypted to them stays readable without the store', async () => {
    const { agentId, sealed } = await rotatedAgent();
    const { keys } = await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    expect(keys[1]).toMatchObject({
      ...{ role: 'encryption', strategy: 'import', algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' },
      from: expect.stringMatching(/cryptoKeyVersions\/3@software$/),
      to: expect.stringMatching(/cryptoKeyVersions\/3$/),
    });
    await expectReadable(agentId, sealed);
  });

  it('are there once each when an import of one of them failed, and the one in use is the same', async () => {
    const { agentId, sealed } = await rotatedAgent();
    for (const after of [0, 1, 2]) {
      const fault = world.emulator.faults.add({
        ...{ rpc: 'ImportCryptoKeyVersion', after, status: { code: 'PERMISSION_DENIED' } },
        applyAfterExecution: after === 1,
      });
      await exchange.migrateAgent(agentId, { strategy: 'import' }).catch(() => undefined);
      fault.remove();
    }
    const { keys } = await exchange.migrateAgent(agentId, { strategy: 'import' });
    const versions = await exchange.keys.listKeyVersions(keys[1]?.keyName ?? '');
    expect(versions.map(({ algorithm }) => algorithm.split('_')[3])).toEqual(['3072', '3072', '2048']);
    await expectReadable(agentId, sealed);
  });
});

describe('migrateAgent', () => {
  it('may be repeated: it changes nothing more and gives the handover again', async () => {
    const { agentId, oldKey } = await softwareAgent();
    const first = await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    world.clock.advanceDays(1);
    const again = await exchange.migrateAgent(agentId, { strategy: 'import' });
    const { handover: _first, ...key } = { ...first.keys[0] };
    expect(again).toMatchObject({ outcome: 'already-migrated', keys: [key] });
    const statement = again.keys[0]?.handover ?? '';
    expect((await verifyHandover(statement, { agentId, oldKey })).issuedAt).toEqual(key.migratedTime);
    expect((await exchange.describeAgent(agentId)).versions).toHaveLength(2);
  });

  it('comes to one result when several processes do it at once', async () => {
    const { agentId } = await softwareAgent();
    const others = await Promise.all([world.start(2), world.start(2)]);
    onTestFinished(async () => void (await Promise.all(others.map((other) => other.close()))));
    await Promise.all(
      [exchange, ...others].map((each) => each.migrateAgent(agentId, { strategy: 'regenerate' })),
    );
    const { versions } = await exchange.describeAgent(agentId);
    expect(versions.map(({ provider, version }) => [provider, version])).toEqual([
      ['software', 1],
      ['kms', 1],
    ]);
  });

  it('says in a dry run what it would do, and does nothing', async () => {
    const { agentId } = await softwareAgent();
    const planned = await exchange.migrateAgent(agentId, { strategy: 'regenerate', dryRun: true });
    expect(planned).toMatchObject({
      outcome: 'would-migrate',
      keys: [{ strategy: 'regenerate', algorithm: 'EC_SIGN_P256_SHA256', to: undefined }],
    });
    const { keyName, versions } = await exchange.describeAgent(agentId);
    expect(versions.map(({ provider }) => provider)).toEqual(['software']);
    expect(await world.archive.list(keyName)).toHaveLength(1);
  });

  it('has the public keys of every version in the archive before anything changes', async () => {
    const { agentId } = await softwareAgent();
    await world.within('software-only', async (software) => {
      await software.rotateAgentKey(agentId);
      await software.prepareAgentRotation(agentId);
    });
    const { keyName } = await exchange.describeAgent(agentId);
    using _fault = world.emulator.faults.add({
      rpc: 'CreateCryptoKey',
      status: { code: 'PERMISSION_DENIED' },
    });
    await expect(exchange.migrateAgent(agentId, { strategy: 'regenerate' })).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
    });
    const archived = (await world.archive.list(keyName)).map(({ keyVersion }) => keyVersion).sort();
    expect(archived).toEqual([1, 2, 3].map((number) => `${keyName}/cryptoKeyVersions/${number}@software`));
  });

  it('has what versions signed that were retired or destroyed before there was an archive verify in phase 4', async () => {
    await using elsewhere = await startMigrationWorld();
    const signatures: Buffer[] = [];
    const before = await elsewhere.start('software-only', { publicKeyArchive: undefined });
    await before.generateAgentKey('old-bot', { destroyScheduledDurationSeconds: 86_400 });
    for (const retireAfterSeconds of [86_400, undefined]) {
      signatures.push(await before.signMessage('old-bot', message));
      await before.rotateAgentKey('old-bot');
      const { keyName } = await before.describeAgent('old-bot');
      await before.keys.retire(keyName, { graceSeconds: 0, retireAfterSeconds });
      elsewhere.clock.advanceDays(2);
      await before.keys.retire(keyName, { graceSeconds: 0, retireAfterSeconds });
      elsewhere.clock.advanceDays(2);
    }
    expect((await before.describeAgent('old-bot')).versions.map(({ state }) => state)).toEqual([
      ...['DESTROYED', 'DISABLED', 'ENABLED'],
    ]);
    await elsewhere.within(2, (each) => each.migrateAgent('old-bot', { strategy: 'regenerate' }));
    const after = await elsewhere.start(4);
    for (const signature of signatures) {
      expect(await after.verifyMessage('old-bot', message, signature)).toBe(true);
    }
  });

  it('has the agent sign as before whenever the archive does not take a key, and is taken up (P2)', async () => {
    const { agentId } = await softwareAgent();
    for (let taken = 0; ; taken++) {
      const publicKeyArchive = new FailingArchive(world.archive, taken);
      const failing = await world.start(2, { publicKeyArchive });
      const outcome = await failing.migrateAgent(agentId, { strategy: 'regenerate' }).then(
        () => 'done',
        ({ message: text }: Error) => text,
      );
      await failing.close();
      const { versions } = await exchange.describeAgent(agentId);
      const { protectionLevel } = await exchange.signMessageDetailed(agentId, message);
      // Before the first key was taken nothing was made, and up to the last one the software key signs.
      if (taken === 0) expect(versions.map(({ provider }) => provider)).toEqual(['software']);
      expect(protectionLevel).toBe(outcome === 'done' ? 'HSM' : 'SOFTWARE');
      if (outcome === 'done') {
        expect(taken).toBeGreaterThan(1);
        expect(versions.map(({ provider }) => provider)).toEqual(['software', 'kms']);
        break;
      }
      expect(outcome).toBe('disk full');
    }
  });

  it.each(['regenerate', 'import'] as const)(
    'to %s is taken up wherever it was interrupted, and the agent signs all the while (P2, D1)',
    async (strategy) => {
      const { agentId, signature } = await softwareAgent();
      let interruptions = 0;
      for (let calls = 0; ; calls++) {
        const fault = world.emulator.faults.add({
          rpc: '*',
          after: calls,
          status: { code: 'PERMISSION_DENIED' },
          applyAfterExecution: calls % 2 === 1,
        });
        const crashing = world.make(2);
        const outcome = await crashing.migrateAgent(agentId, { strategy }).then(
          () => 'done',
          (error: { code: string }) => error.code,
        );
        fault.remove();
        await crashing.close();
        expect(await exchange.verifyMessage(agentId, message, signature)).toBe(true);
        const signed = await exchange.signMessageDetailed(agentId, message);
        expect(await exchange.verifyMessage(agentId, message, signed.signature)).toBe(true);
        if (outcome === 'done') {
          expect(signed.protectionLevel).toBe('HSM');
          break;
        }
        expect(outcome).toBe('PERMISSION_DENIED');
        expect(signed.protectionLevel).toBe('SOFTWARE');
        interruptions += 1;
      }
      expect(interruptions).toBeGreaterThan(4);
      const { versions } = await exchange.describeAgent(agentId);
      expect(versions.map(({ provider }) => provider)).toEqual(['software', 'kms']);
    },
  );

  it('of a key that another run imported counts as an import: no key hands over to itself', async () => {
    const { agentId } = await softwareAgent();
    const { keyName } = await exchange.describeAgent(agentId);
    const interrupted = world.emulator.faults.add({
      rpc: 'GetPublicKey',
      status: { code: 'PERMISSION_DENIED' },
    });
    await expect(exchange.migrateAgent(agentId, { strategy: 'import' })).rejects.toThrow();
    interrupted.remove();
    const { keys } = await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    expect(keys[0]).toMatchObject({ keyName, strategy: 'import' });
    expect(keys[0]).not.toHaveProperty('handover');
  });

  it.each([
    ['an unknown agent', 'nobody', { strategy: 'regenerate' }, 'AGENT_KEY_NOT_FOUND'],
    ['no agent id', '', { strategy: 'regenerate' }, 'INVALID_ARGUMENT'],
    ['no strategy', 'agent', {}, 'INVALID_ARGUMENT'],
    ['an unknown strategy', 'agent', { strategy: 'copy' }, 'INVALID_ARGUMENT'],
    ['an unknown option', 'agent', { strategy: 'import', force: true }, 'INVALID_ARGUMENT'],
    ['options that are none', 'agent', undefined, 'INVALID_ARGUMENT'],
  ])('refuses %s', async (_what, agentId, options, code) => {
    const call: Promise<unknown> = Reflect.apply(exchange.migrateAgent, exchange, [agentId, options]);
    await expect(call).rejects.toMatchObject({ code });
  });

  it('refuses a software key without a version to migrate', async () => {
    const { agentId } = await softwareAgent();
    await world.within('software-only', (software) => software.destroyAgent(agentId));
    await expect(exchange.migrateAgent(agentId, { strategy: 'regenerate' })).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
    });
  });

  it('refuses a handover that JOSE has no name for, and the import does it', async () => {
    const { agentId } = await softwareAgent({ algorithm: 'RSA_SIGN_RAW_PKCS1_2048' });
    await expect(exchange.migrateAgent(agentId, { strategy: 'regenerate' })).rejects.toMatchObject({
      code: 'UNSUPPORTED_ALGORITHM',
    });
    expect((await exchange.migrateAgent(agentId, { strategy: 'import' })).outcome).toBe('migrated');
  });
});

describe('the time for migrateAgent', () => {
  it.each([
    [1, 'MIGRATION_PHASE', /migration\.phase to 2/],
    ['rollback', 'MIGRATION_PHASE', /switched off/],
    ['hsm-only', 'MIGRATION_PHASE', /no migration is configured/],
  ] as const)('is not mode %s', async (mode, code, text) => {
    const { agentId } = await softwareAgent();
    const other = await world.start(mode);
    const expected = { code, message: expect.stringMatching(text) };
    await expect(other.migrateAgent(agentId, { strategy: 'regenerate' })).rejects.toMatchObject(expected);
    await expect(other.migrateAllAgents({ strategy: 'import' })).rejects.toMatchObject(expected);
    await expect(other.purgeMigratedKeys()).rejects.toMatchObject(expected);
  });

  it('is not phase 4', async () => {
    const other = world.make(4);
    await expect(other.migrateAgent('agent', { strategy: 'import' })).rejects.toMatchObject({
      code: 'MIGRATION_PHASE',
      message: expect.stringContaining('not opened in migration.phase 4'),
    });
  });

  it('is phase 1 for a dry run', async () => {
    const { agentId } = await softwareAgent();
    const other = await world.start(1);
    const planned = await other.migrateAgent(agentId, { strategy: 'regenerate', dryRun: true });
    expect(planned.outcome).toBe('would-migrate');
  });

  it('is for imports only where software keys are forbidden to sign', async () => {
    const { agentId } = await softwareAgent();
    const other = await world.start(3, { softwareKeys: 'forbidden' });
    await expect(other.migrateAgent(agentId, { strategy: 'regenerate' })).rejects.toMatchObject({
      code: 'MIGRATION_PHASE',
      message: expect.stringContaining('forbidden'),
    });
    expect((await other.migrateAgent(agentId, { strategy: 'import' })).outcome).toBe('migrated');
  });

  it('does not have a software key that is forbidden to sign hand over again', async () => {
    const { agentId } = await softwareAgent();
    await exchange.migrateAgent(agentId, { strategy: 'regenerate' });
    const other = await world.start(3, { softwareKeys: 'forbidden' });
    const { outcome, keys } = await other.migrateAgent(agentId, { strategy: 'import' });
    expect(outcome).toBe('already-migrated');
    expect(keys[0]).not.toHaveProperty('handover');
  });
});

/** An archive that stops taking keys after so many. */
class FailingArchive implements PublicKeyArchive {
  readonly #archive: PublicKeyArchive;
  #left: number;

  constructor(archive: PublicKeyArchive, left: number) {
    this.#archive = archive;
    this.#left = left;
  }

  async put(key: ArchivedPublicKey): Promise<void> {
    if (this.#left-- <= 0) throw new Error('disk full');
    await this.#archive.put(key);
  }

  get(keyVersion: string): Promise<ArchivedPublicKey | undefined> {
    return this.#archive.get(keyVersion);
  }

  list(keyName?: string): Promise<readonly ArchivedPublicKey[]> {
    return this.#archive.list(keyName);
  }
}
