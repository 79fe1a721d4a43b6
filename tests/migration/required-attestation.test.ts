/** A migration where statements of the HSM are required: nothing is imported, and software keys verify and do no more. */

import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { EMULATOR_ATTESTATION_ROOTS } from '../../src/emulator/index.js';
import type { A2AKeyExchange } from '../../src/index.js';
import { type MigrationWorld, startMigrationWorld } from '../support/migration.js';

const message = Buffer.from('pay 10 EUR to alice');
const REQUIRED = { requireAttestation: true, attestationRoots: EMULATOR_ATTESTATION_ROOTS } as const;

let world: MigrationWorld;
/** In phase 3, with statements required. */
let strict: A2AKeyExchange;
beforeAll(async () => {
  world = await startMigrationWorld();
  strict = await world.start(3, REQUIRED);
});
afterAll(() => world[Symbol.asyncDispose]());

const softwareAgent = (agentId: string, purpose: 'signing' | 'encryption' | 'both'): Promise<unknown> =>
  world.within('software-only', (exchange) => exchange.generateAgentKey(agentId, { purpose }));

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    ({ code }) => code,
  );

describe('migration with requireAttestation', () => {
  it('makes new keys, which sign', async () => {
    await softwareAgent('new', 'signing');
    await strict.migrateAgent('new', { strategy: 'regenerate' });
    expect((await strict.signMessageDetailed('new', message)).protectionLevel).toBe('HSM');
  });

  it.each([
    ['signing', 'import'],
    ['encryption', 'regenerate'],
    ['both', 'regenerate'],
  ] as const)(
    'of a %s key with %s is refused before anything is done, dry or not',
    async (purpose, strategy) => {
      const agentId = `import-${purpose}`;
      await softwareAgent(agentId, purpose);
      const refusal = { code: 'MIGRATION_PHASE', message: expect.stringContaining('requireAttestation') };
      const before = world.emulator.requests.entries.length;
      await expect(strict.migrateAgent(agentId, { strategy, dryRun: true })).rejects.toMatchObject(refusal);
      await expect(strict.migrateAgent(agentId, { strategy })).rejects.toMatchObject(refusal);
      expect(world.emulator.requests.entries.slice(before).map(({ rpc }) => rpc)).toEqual([]);
      const { agents } = await strict.migrateAllAgents({ strategy, dryRun: true });
      expect(agents.find((agent) => agent.agentId === agentId)).toMatchObject({
        outcome: 'failed',
        code: 'MIGRATION_PHASE',
      });
      // The software key goes on where it may.
      if (purpose !== 'encryption')
        expect(await codeOf(world.within(2, (exchange) => exchange.signMessage(agentId, message)))).toBe(
          'done',
        );
    },
  );

  it('does not hand over to a key that an earlier run imported and left there', async () => {
    await softwareAgent('half', 'signing');
    await world.within(2, async (exchange) => {
      const archive = world.archive;
      const put = archive.put.bind(archive);
      let calls = 0;
      // The archive fails when the imported key is to go there, after which the software key would be given up.
      archive.put = (key) => {
        calls += 1;
        return calls > 1 ? Promise.reject(new Error('disk full')) : put(key);
      };
      await expect(exchange.migrateAgent('half', { strategy: 'import' })).rejects.toBeDefined();
      archive.put = put;
    });
    for (const dryRun of [true, false]) {
      await expect(strict.migrateAgent('half', { strategy: 'regenerate', dryRun })).rejects.toMatchObject({
        code: 'ATTESTATION_FAILED',
        verdict: 'imported',
      });
    }
    expect(await codeOf(world.within(2, (exchange) => exchange.signMessage('half', message)))).toBe('done');
  });
});

describe('a software key in phase 3', () => {
  it('neither decrypts nor is encrypted to with requireAttestation, and does both without', async () => {
    await softwareAgent('reader', 'encryption');
    const lenient = await world.start(3);
    onTestFinished(() => lenient.close());
    const jwe = await lenient.encryptForAgent('reader', message);
    expect(await lenient.decryptAsAgent('reader', jwe)).toEqual(message);
    expect(await codeOf(strict.encryptForAgent('reader', message))).toBe('SOFTWARE_SIGNING_REFUSED');
    expect(await codeOf(strict.decryptAsAgent('reader', jwe))).toBe('SOFTWARE_SIGNING_REFUSED');
  });

  it('verifies, and gives out the public key that it signed with', async () => {
    await softwareAgent('signer', 'signing');
    const signature = await world.within(2, (exchange) => exchange.signMessage('signer', message));
    expect(await strict.verifyMessage('signer', message, signature)).toBe(true);
    expect((await strict.getPublicKey('signer')).toString()).toContain('PUBLIC KEY');
  });

  it('does not decrypt for an HSM key that has taken its place', async () => {
    const spec = {
      name: 'shared',
      purpose: 'ASYMMETRIC_DECRYPT',
      algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256',
    } as const;
    const ciphertext = await world.within('software-only', async (exchange) => {
      await exchange.keys.generateKey({ ...spec, protectionLevel: 'SOFTWARE' });
      return exchange.keys.encrypt('shared', message);
    });
    const lenient = await world.start(3);
    onTestFinished(() => lenient.close());
    await lenient.keys.generateKey(spec);
    expect(await lenient.keys.decrypt('shared', ciphertext)).toEqual(message);
    expect(await codeOf(strict.keys.decrypt('shared', ciphertext))).toBe('DECRYPTION_FAILED');
  });
});
