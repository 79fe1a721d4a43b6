import { expect, it } from 'vitest';
import { DAY_SECONDS, startWorld } from '../support/lifecycle.js';

// 365 runs take seconds, and several times that where the machine is busy with other things.
const TIMEOUT_MS = 120_000;

it(
  'rotates a fleet of agents twelve times each in a year of daily runs, and all old signatures verify (P12)',
  async () => {
    await using world = await startWorld();
    const exchange = await world.join({
      rotationPolicy: {
        rotateAfterSeconds: 30 * DAY_SECONDS,
        graceSeconds: 7 * DAY_SECONDS,
        retireAfterSeconds: 90 * DAY_SECONDS,
      },
    });
    const agents = Array.from({ length: 6 }, (_, index) => `agent-${index}`);
    await Promise.all(agents.map((agent) => exchange.generateAgentKey(agent)));
    const message = Buffer.from('pay 10 EUR to alice');
    const signed: { agent: string; keyVersion: string; signature: Buffer }[] = [];
    const signAll = async (): Promise<void> => {
      for (const agent of agents)
        signed.push({ agent, ...(await exchange.signMessageDetailed(agent, message)) });
    };
    await signAll();
    const rotations = new Map<string, number>();
    for (let day = 1; day <= 365; day++) {
      world.clock.advanceDays(1);
      const report = await exchange.rotateDueKeys({ concurrency: 6 });
      expect(report.failed).toBe(0);
      for (const key of report.keys) {
        if (key.outcome !== 'rotated' || key.agentId === undefined) continue;
        rotations.set(key.agentId, (rotations.get(key.agentId) ?? 0) + 1);
      }
      if (report.rotated > 0) await signAll();
    }
    expect([...rotations.values()]).toEqual(agents.map(() => 12));
    expect(new Set(signed.map(({ keyVersion }) => keyVersion)).size).toBe(6 * 13);
    const verifier = await world.join();
    for (const { agent, keyVersion, signature } of signed) {
      expect(await verifier.verifyMessage(agent, message, signature, { keyVersion })).toBe(true);
    }
    const { versions } = await verifier.describeAgent('agent-0');
    expect(versions.map(({ lifecycle }) => lifecycle).slice(-4)).toEqual([
      'retired',
      'retired',
      'retiring',
      'active',
    ]);
    expect(versions.slice(0, -4).every(({ lifecycle }) => lifecycle === 'destroyed')).toBe(true);
  },
  TIMEOUT_MS,
);
