/** A process starts while a location is down: the keys that it needs are in another one. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { A2AKeyExchange } from '../../src/index.js';
import { memorySink } from '../support/audit.js';
import { silentLogger } from '../support/emulator.js';
import { startTwoLocations, type TwoLocations } from '../support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');
const STANDBY = 'projects/test-project/locations/europe-west4/keyRings/standby';

let locations: TwoLocations;
beforeEach(async () => {
  locations = await startTwoLocations();
});
afterEach(() => locations.close());

/** A process with master keys and an audit trail, and what it warns of. */
function newProcess(): { readonly exchange: A2AKeyExchange; readonly warnings: object[] } {
  const warnings: object[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void warnings.push(fields) };
  const audit = { sink: memorySink(), failClosed: true };
  return { exchange: locations.newExchange({ hierarchy: {}, audit, logger }), warnings };
}

async function prepare(): Promise<void> {
  const { exchange } = newProcess();
  await exchange.initialize();
  await exchange.generateAgentKey('bot');
}

describe('a process with master keys and an audit trail', () => {
  it.each(['first', 'standby'] as const)(
    'starts, signs and endorses while the %s location is down',
    async (down) => {
      await prepare();
      const keyRings = { first: locations.first, standby: locations.standby };
      await keyRings[down].close();
      const { exchange, warnings } = newProcess();
      await exchange.initialize();
      expect(await exchange.verifyMessage('bot', message, await exchange.signMessage('bot', message))).toBe(
        true,
      );
      expect(await exchange.hierarchy.endorseAgentKey('bot')).toMatch(/^ey/);
      const missed = warnings.filter((fields) => 'unreached' in fields);
      expect(missed).toHaveLength(3);
      expect(missed[0]).toMatchObject({ event: 'key-ring-not-reached', unreached: [expect.any(String)] });
    },
  );

  it('leaves the schedule of the key-encryption key to a start that sees all key rings', async () => {
    await locations.standby.close();
    const { exchange } = newProcess();
    await exchange.initialize();
    expect((await exchange.keys.getKey('a2a-kek')).rotationPeriodSeconds).toBeUndefined();
  });

  it('does not start where a key ring refuses: that is no outage', async () => {
    await prepare();
    const fault = locations.standby.faults.add({
      rpc: 'GetCryptoKey',
      status: { code: 'PERMISSION_DENIED' },
    });
    const denied = locations.standby.faults.add({
      rpc: 'CreateCryptoKey',
      status: { code: 'PERMISSION_DENIED' },
    });
    await expect(newProcess().exchange.initialize()).rejects.toMatchObject({
      code: 'REPLICATION_INCOMPLETE',
      failures: [{ keyRing: STANDBY, problem: 'PERMISSION_DENIED' }],
    });
    fault.remove();
    denied.remove();
  });

  it('does not start where no location answers', async () => {
    await prepare();
    await Promise.all([locations.first.close(), locations.standby.close()]);
    await expect(newProcess().exchange.initialize()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
