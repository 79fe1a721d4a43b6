import { describe, expect, it } from 'vitest';
import { A2AKeyExchange } from '../../src/index.js';
import { crashAfter } from '../support/crash.js';
import { officialClient } from '../support/emulator.js';
import { DAY_SECONDS, startWorld } from '../support/lifecycle.js';

const message = Buffer.from('pay 10 EUR to alice');
const keyId = (version: string): string | undefined => version.split('/').at(-3);

describe('destroyAgent', () => {
  it('schedules every version of every key of the agent, and reports each with its time', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot', { purpose: 'both' });
    await exchange.generateAgentKey('bystander');
    const old = await exchange.signMessage('bot', message);
    await exchange.rotateAgentKey('bot');
    const { agentId, versions } = await exchange.destroyAgent('bot', { destroyAfter: 30 * DAY_SECONDS });
    expect(agentId).toBe('bot');
    expect(versions.map(({ role, keyVersion, outcome }) => [role, keyId(keyVersion), outcome])).toEqual([
      ['signing', 'agent-bot-signing-key', 'scheduled'],
      ['signing', 'agent-bot-signing-key', 'scheduled'],
      ['encryption', 'agent-bot-encryption-key', 'scheduled'],
    ]);
    for (const version of versions) {
      const leftMs = version.outcome === 'scheduled' ? version.destroyTime.getTime() - world.clock.now() : 0;
      expect(Math.round(leftMs / 86_400_000)).toBe(30);
    }
    await expect(exchange.signMessage('bot', message)).rejects.toMatchObject({ code: 'NO_USABLE_VERSION' });
    expect(await exchange.verifyMessage('bot', message, old)).toBe(true);
    expect((await exchange.signMessage('bystander', message)).length).toBeGreaterThan(0);
  });

  it('touches nothing when one key destroys its versions sooner than was asked for', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    await exchange.generateAgentKey('bot', {
      purpose: 'encryption',
      destroyScheduledDurationSeconds: DAY_SECONDS,
    });
    await expect(exchange.destroyAgent('bot', { destroyAfter: 7 * DAY_SECONDS })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('No key of the agent was touched'),
    });
    expect(world.emulator.requests.count('DestroyCryptoKeyVersion')).toBe(0);
    await exchange.signMessage('bot', message);
  });

  it('reports versions that could not be scheduled with the reason, and does the other keys', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot', { purpose: 'both' });
    using fault = world.emulator.faults.add({
      rpc: 'DestroyCryptoKeyVersion',
      status: { code: 'PERMISSION_DENIED' },
      when: ({ name }) => String(name).includes('signing'),
    });
    const first = await exchange.destroyAgent('bot');
    expect(first.failed).toBe(1);
    expect(first.versions).toMatchObject([
      {
        role: 'signing',
        outcome: 'failed',
        reason: expect.stringMatching(/permission cloudkms\..* is missing/),
      },
      { role: 'encryption', outcome: 'scheduled' },
    ]);
    fault.remove();
    const second = await exchange.destroyAgent('bot');
    expect(second.failed).toBe(0);
    expect(second.versions.map(({ outcome }) => outcome)).toEqual(['scheduled', 'scheduled']);
  });

  it('says that nothing was destroyed when the archive of public keys cannot be used', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    const broken = new Error('the disk is full');
    const publicKeyArchive = {
      put: () => Promise.reject(broken),
      get: () => Promise.reject(broken),
      list: () => Promise.reject(broken),
    };
    await using unable = await world.join({ publicKeyArchive });
    expect(await unable.destroyAgent('bot')).toMatchObject({
      failed: 1,
      versions: [{ outcome: 'failed', reason: expect.stringContaining('disk is full') }],
    });
    expect(await exchange.destroyAgent('bot')).toMatchObject({ failed: 0 });
    expect(await exchange.destroyAgent('bot')).toMatchObject({ failed: 0 });
  });

  it('says that versions are gone once they are destroyed', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    await exchange.destroyAgent('bot');
    world.clock.advanceDays(31);
    expect((await exchange.destroyAgent('bot')).versions.map(({ outcome }) => outcome)).toEqual(['gone']);
    expect(await exchange.restoreAgent('bot')).toEqual([]);
  });

  it('is refused for an agent that is not there, and with options it does not have', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await expect(exchange.destroyAgent('nobody')).rejects.toMatchObject({ code: 'AGENT_KEY_NOT_FOUND' });
    await exchange.generateAgentKey('bot');
    await expect(exchange.destroyAgent('bot', { destroyAfter: -1 })).rejects.toThrow('destroyAfter');
    await expect(exchange.destroyAgent('')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    using _fault = world.emulator.faults.add({ rpc: 'GetCryptoKey', status: { code: 'PERMISSION_DENIED' } });
    await expect(exchange.destroyAgent('bot')).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });
});

describe('restoreAgent', () => {
  it('is named by what a destroyed agent cannot do', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    await exchange.destroyAgent('bot');
    await expect(exchange.signMessage('bot', message)).rejects.toMatchObject({
      code: 'NO_USABLE_VERSION',
      message: expect.stringContaining('restoreAgent'),
    });
  });

  it('brings all keys back, ready to sign and decrypt', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const name = await exchange.generateAgentKey('bot', { purpose: 'both' });
    const jwe = await exchange.encryptForAgent('bot', message);
    await exchange.destroyAgent('bot');
    world.clock.advanceDays(29);
    const restored = await exchange.restoreAgent('bot');
    expect(restored.map((key) => key.name)).toEqual([name, name.replace('-signing-', '-encryption-')]);
    const signature = await exchange.signMessage('bot', message);
    expect(await exchange.verifyMessage('bot', message, signature)).toBe(true);
    expect(await exchange.decryptAsAgent('bot', jwe)).toEqual(message);
  });

  it('is finished by the next call wherever it died: every version is as it was, and the agent signs', async () => {
    await using world = await startWorld();
    const maker = await world.join();
    const { clock, archive: publicKeyArchive } = world;
    const retry = { initialDelayMs: 1, maxDelayMs: 2 };
    let crashes = 0;
    for (let end: 'crashed' | 'completed' = 'crashed'; end === 'crashed'; crashes++) {
      const agentId = `bot-${crashes}`;
      await maker.generateAgentKey(agentId);
      await maker.rotateAgentKey(agentId);
      await maker.destroyAgent(agentId);
      end = await crashAfter(world.emulator, {
        afterRpc: crashes + 1,
        config: { clock, publicKeyArchive, retry },
        open: (config) => new A2AKeyExchange(config),
        act: (exchange) => exchange.restoreAgent(agentId),
      });
      await maker.restoreAgent(agentId);
      const key = await maker.describeAgent(agentId);
      expect(key.versions.map(({ state }) => state)).toEqual(['ENABLED', 'ENABLED']);
      expect(key.labels).not.toHaveProperty('a2a-restoring');
      const signature = await maker.signMessage(agentId, message);
      expect(await maker.verifyMessage(agentId, message, signature)).toBe(true);
    }
    expect(crashes).toBeGreaterThan(10);
  });

  it('does not enable what was disabled after an incident', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const name = await exchange.generateAgentKey('bot');
    await exchange.signMessage('bot', message);
    await exchange.getPublicKeys('bot');
    await exchange.rotateAgentKey('bot');
    const official = officialClient(world.emulator);
    await official.updateCryptoKeyVersion({
      cryptoKeyVersion: { name: `${name}/cryptoKeyVersions/1`, state: 'DISABLED' },
      updateMask: { paths: ['state'] },
    });
    await official.close();
    await exchange.destroyAgent('bot', { force: true });
    await exchange.restoreAgent('bot');
    const { versions } = await exchange.describeAgent('bot');
    expect(versions.map(({ state }) => state)).toEqual(['DISABLED', 'ENABLED']);
    expect(await exchange.restoreAgent('bot')).toEqual([]);
  });

  it('leaves the versions disabled when asked to', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    await exchange.destroyAgent('bot');
    await exchange.restoreAgent('bot', { state: 'DISABLED' });
    expect((await exchange.describeAgent('bot')).versions.map(({ state }) => state)).toEqual(['DISABLED']);
  });
});
