/**
 * The whole way, with 50 agents that go on signing and peers that go on verifying: software keys, phases 1 to 4, and in the
 * middle of it back to software keys and forth again. Not one call may fail.
 */

import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { A2AKeyExchange } from '../../src/index.js';
import { type Mode, startMigrationWorld } from '../support/migration.js';

const AGENTS = Array.from({ length: 50 }, (_, index) => `agent-${index}`);

/** A signature that any verifier must accept ever after. */
interface Sent {
  readonly agentId: string;
  readonly message: Buffer;
  readonly signature: Buffer;
  readonly level: string;
}

/** Signers and verifiers that run until they are stopped, on whatever process is current; the old one is drained first. */
class Traffic implements AsyncDisposable {
  readonly sent: Sent[] = [];
  readonly failures: unknown[] = [];
  #signer: A2AKeyExchange;
  #verifier: A2AKeyExchange;
  #stopped = false;
  readonly #runs: Promise<void>[];

  constructor(signer: A2AKeyExchange, verifier: A2AKeyExchange) {
    this.#signer = signer;
    this.#verifier = verifier;
    this.#runs = [0, 1].map((offset) =>
      this.#run(offset).catch((error: unknown) => void this.failures.push(error)),
    );
  }

  /** A restart: new processes take over, as in a rolling update. */
  switchTo(signer: A2AKeyExchange, verifier: A2AKeyExchange): void {
    this.#signer = signer;
    this.#verifier = verifier;
  }

  /** Has every agent sign once on the current process; gives the protection levels that signed. */
  async round(): Promise<ReadonlySet<string>> {
    const levels = await Promise.all(AGENTS.map((agentId) => this.#signAndVerify(agentId)));
    return new Set(levels);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#runs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(offset: number): Promise<void> {
    for (let turn = offset; !this.#stopped; turn += 2) {
      await this.#signAndVerify(AGENTS[turn % AGENTS.length] ?? '');
      const old = this.sent[Math.floor(turn / 2) % this.sent.length];
      if (old !== undefined) await this.#verify(old);
      // Software keys need no input or output: without a turn of the event loop nobody else would have one.
      await setImmediate();
    }
  }

  async #signAndVerify(agentId: string): Promise<string> {
    const message = Buffer.from(`${agentId} says ${this.sent.length}`);
    const { signature, protectionLevel: level } = await this.#signer.signMessageDetailed(agentId, message);
    const sent = { agentId, message, signature, level };
    await this.#verify(sent);
    this.sent.push(sent);
    return level;
  }

  async #verify({ agentId, message, signature, level }: Sent): Promise<void> {
    const valid = await this.#verifier.verifyMessage(agentId, message, signature);
    expect(valid, `${agentId}, signed by ${level}`).toBe(true);
  }
}

it('50 agents go through phases 1 to 4, with a rollback and return, without a failed call', async () => {
  await using world = await startMigrationWorld();
  await world.within('software-only', async (software) => {
    for (const agentId of AGENTS) await software.generateAgentKey(agentId);
  });
  const pair = (mode: Mode) => Promise.all([world.start(mode), world.start(mode)]);

  let [signer, verifier] = await pair('software-only');
  await using traffic = new Traffic(signer, verifier);
  /** Restarts into another mode and says which levels sign now. */
  const enter = async (mode: Mode): Promise<ReadonlySet<string>> => {
    [signer, verifier] = await pair(mode);
    traffic.switchTo(signer, verifier);
    return traffic.round();
  };
  const names = async (): Promise<readonly string[]> =>
    (await signer.listAgents()).map(({ keyName }) => keyName).toSorted();

  expect(await traffic.round()).toEqual(new Set(['SOFTWARE']));
  const before = await names();
  expect(await enter(1)).toEqual(new Set(['SOFTWARE']));
  expect(await enter(2)).toEqual(new Set(['SOFTWARE']));

  // Half of the agents, while they sign; then back to software keys, and forth again.
  const half = new AbortController();
  const firstRun = await signer.migrateAllAgents({
    strategy: 'regenerate',
    concurrency: 8,
    signal: half.signal,
    onProgress: ({ done }) => {
      if (done === 25) half.abort();
    },
  });
  // Those that were under way when the run was aborted are interrupted half-way; the next run takes them up.
  const failed = firstRun.agents.filter((agent) => agent.outcome === 'failed' && agent.code !== 'ABORTED');
  expect(failed).toEqual([]);
  expect(firstRun.migrated).toBeGreaterThanOrEqual(18);
  expect(await traffic.round()).toEqual(new Set(['HSM', 'SOFTWARE']));
  expect(await enter('rollback')).toEqual(new Set(['SOFTWARE']));
  expect(await names()).toEqual(before);
  expect(await enter(2)).toEqual(new Set(['HSM', 'SOFTWARE']));

  const rest = await signer.migrateAllAgents({ strategy: 'regenerate', concurrency: 8 });
  expect(rest).toMatchObject({ failed: 0, notStarted: 0 });
  expect(rest.migrated + rest.alreadyMigrated).toBe(AGENTS.length);
  expect(await traffic.round()).toEqual(new Set(['HSM']));
  expect(await enter(3)).toEqual(new Set(['HSM']));
  expect(await enter('rollback')).toEqual(new Set(['SOFTWARE']));
  expect(await enter(3)).toEqual(new Set(['HSM']));
  expect(await enter(4)).toEqual(new Set(['HSM']));
  expect(await names()).toEqual(before);
  await traffic.stop();
  expect(traffic.failures).toEqual([]);

  // The last process accepts what every agent signed in every stretch of the way, by either kind of key.
  const firsts = new Map(traffic.sent.map((sent) => [`${sent.agentId} ${sent.level}`, sent]));
  expect(firsts.size).toBe(2 * AGENTS.length);
  for (const { agentId, message, signature } of firsts.values()) {
    expect(await verifier.verifyMessage(agentId, message, signature)).toBe(true);
  }
  expect(traffic.sent.length).toBeGreaterThan(10 * AGENTS.length);
});
