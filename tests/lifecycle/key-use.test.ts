/** Every use of an agent's private key is a use of the agent, whichever method made it. */

import { describe, expect, it } from 'vitest';
import { A2AKeyExchange, BatchSigner, encryptCompactJwe, signCompactJws } from '../../src/index.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';
import { CalendarClock, DAY_SECONDS, type LifecycleWorld, startWorld } from '../support/lifecycle.js';

const message = Buffer.from('pay 10 EUR to alice');
const SIGNING = 'agent-bot-signing-key';
const ENCRYPTION = 'agent-bot-encryption-key';

const updates = (world: LifecycleWorld): number => world.emulator.requests.count('UpdateCryptoKey');

type Use = readonly [name: string, use: (exchange: A2AKeyExchange) => Promise<unknown>];
const uses: readonly Use[] = [
  ['signMessage', (exchange) => exchange.signMessage('bot', message)],
  ['signBatch', (exchange) => exchange.signBatch('bot', [message])],
  ['signMany', (exchange) => exchange.signMany('bot', [message, message])],
  [
    'a BatchSigner',
    async (exchange) => {
      await using signer = new BatchSigner(exchange, 'bot');
      await signer.sign(message);
    },
  ],
  ['a JWS by key id', ({ keys }) => signCompactJws(keys, SIGNING, message)],
  ['keys.sign by the full name', async ({ keys }) => keys.sign((await keys.getKey(SIGNING)).name, message)],
  [
    'keys.signDetailed by the name of a version',
    async ({ keys }) => keys.signDetailed((await keys.resolveKeyVersion(SIGNING)).keyVersion, message),
  ],
  ['keys.signDigest', ({ keys }) => keys.signDigest(SIGNING, Buffer.alloc(32, 1))],
  [
    'decryptAsAgent',
    async (exchange) => exchange.decryptAsAgent('bot', await exchange.encryptForAgent('bot', message)),
  ],
  ['keys.decrypt', async ({ keys }) => keys.decrypt(ENCRYPTION, await keys.encrypt(ENCRYPTION, message))],
];

describe('the heartbeat', () => {
  it.each(uses)('is written once for %s, in a process that knows nothing of the agent', async (_, use) => {
    await using world = await startWorld();
    await (await world.join()).generateAgentKey('bot', { purpose: 'both' });
    world.clock.advanceDays(1);
    const exchange = await world.join();
    await use(exchange);
    await use(exchange);
    await exchange.idle();
    expect(updates(world)).toBe(1);
  });

  it('keeps an agent that only ever signs JWS from being pruned', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    const prune = { unusedFor: 30 * DAY_SECONDS, dryRun: false };
    world.clock.advanceDays(31);
    await signCompactJws(exchange.keys, SIGNING, message);
    expect(await exchange.pruneStaleAgents(prune)).toEqual([]);
    world.clock.advanceDays(8);
    expect(await exchange.pruneStaleAgents(prune)).toEqual([]);
  });

  it('is not written for public keys, for failed calls, nor into keys that are no agent’s', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const { keys } = exchange;
    await exchange.generateAgentKey('bot', { purpose: 'both' });
    const own = { purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
    for (const name of ['invoices', 'agent-own-signing-key']) await keys.generateKey({ ...own, name });
    world.clock.advanceDays(1);
    await exchange.verifyMessage('bot', message, Buffer.alloc(70));
    await exchange.getPublicKey('bot');
    encryptCompactJwe(await exchange.hierarchy.getAgentJwk('bot', { role: 'encryption' }), message);
    await expect(keys.decrypt(ENCRYPTION, Buffer.alloc(384, 1))).rejects.toThrow();
    for (const name of ['invoices', 'agent-own-signing-key']) await keys.sign(name, message);
    await exchange.idle();
    expect(updates(world)).toBe(0);
  });

  it('is not written by a process with a pinned version, which says so once a day', async () => {
    await using world = await startWorld();
    await (await world.join()).generateAgentKey('bot');
    const name = `projects/test-project/locations/global/keyRings/agents/cryptoKeys/${SIGNING}/cryptoKeyVersions/1`;
    const warnings: object[] = [];
    const exchange = await world.join({
      pinnedVersions: [{ name, algorithm: 'EC_SIGN_P256_SHA256' }],
      logger: { ...silentLogger, warn: (fields) => void warnings.push(fields) },
    });
    for (let day = 0; day < 2; day++) {
      world.clock.advanceDays(1);
      await exchange.signMessage('bot', message);
      await exchange.signMessage('bot', message);
    }
    await exchange.idle();
    expect(updates(world)).toBe(0);
    expect(warnings.filter((fields) => 'keyId' in fields)).toEqual([{ keyId: SIGNING }, { keyId: SIGNING }]);
  });

  it('is written for software keys, too', async () => {
    const clock = new CalendarClock();
    await using exchange = new A2AKeyExchange({
      ...{ ...KEY_RING, clock, logger: silentLogger, enableHsmKeys: false, useSoftwareKeys: true },
      softwareKeyStore: { type: 'memory' },
    });
    await exchange.initialize();
    await exchange.generateAgentKey('bot');
    const seen = async (): Promise<unknown> => (await exchange.describeAgent('bot')).lastSeen;
    const before = await seen();
    clock.advanceDays(2);
    await signCompactJws(exchange.keys, SIGNING, message);
    await exchange.idle();
    expect(await seen()).not.toEqual(before);
  });
});
