import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/emulator/index.js';
import type { Channel } from '../../src/kms/channel.js';
import { ChannelPool, type Lease } from '../../src/kms/channel-pool.js';

const SILENCE_MS = 2_000;

class FakeTransport {
  readonly stub = {};
  connected = true;
  closed = false;
  iamStub(): Promise<Readonly<Record<string, unknown>>> {
    return Promise.resolve({});
  }

  isConnected(): boolean {
    return this.connected;
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

describe('ChannelPool', () => {
  let clock: ManualClock;
  let transports: FakeTransport[];
  let failing: boolean;
  let pool: ChannelPool;
  beforeEach(() => {
    clock = new ManualClock();
    transports = [];
    failing = false;
    pool = new ChannelPool({
      clock,
      channels: { count: 3, maxConcurrentCalls: 2 },
      silenceMs: SILENCE_MS,
      open: async () => {
        if (failing) throw new Error('no credentials');
        const transport = new FakeTransport();
        transports.push(transport);
        return transport;
      },
    });
  });

  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 3; turn++) await nextTurn();
  };
  const take = async (): Promise<Channel> => {
    const lease = pool.lease();
    return 'ready' in lease ? lease.ready : lease.waiting;
  };
  const waiting = (lease: Lease): Promise<Channel> => {
    if ('ready' in lease) throw new Error('expected to wait');
    return lease.waiting;
  };
  const failCall = (channel: Channel, kind: 'connection' | 'no-answer'): void => {
    pool.failed(channel, { sentAt: clock.now(), kind });
    pool.release(channel);
  };
  const stateOf = (index: number): string => {
    const transport = transports[index];
    if (transport === undefined) return 'none';
    return transport.closed ? 'closed' : 'open';
  };

  it('gives each call the channel with the fewest under way, and opens another when all are full', async () => {
    await pool.open();
    const leases = [];
    for (let call = 0; call < 6; call++) leases.push(await take());
    const [first, , second] = leases;
    if (first === undefined || second === undefined) throw new Error('no channel');
    expect(pool.stats).toEqual({ channelsOpen: 3, callsInFlight: 6, queueDepth: 0 });
    pool.release(second);
    expect(await take()).toBe(second);
    const queued = pool.lease();
    expect(pool.stats).toEqual({ channelsOpen: 3, callsInFlight: 6, queueDepth: 1 });
    pool.release(first);
    expect(await waiting(queued)).toBe(first);
    expect(transports).toHaveLength(3);
  });

  it('uses no more of the channels that a burst left behind than the load needs', async () => {
    await pool.open();
    const burst = [];
    for (let call = 0; call < 6; call++) burst.push(await take());
    for (const channel of burst) pool.release(channel);
    const [first, second, third] = new Set(burst);
    const alone = await take();
    expect(alone).toBe(first);
    pool.release(alone);
    const [one, other, next, last] = [await take(), await take(), await take(), await take()];
    expect([one === first, other === second, next === first, last === third]).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  it('replaces a channel that lost its connection, and closes it when its last call is over', async () => {
    await pool.open();
    const [one, other] = [await take(), await take()];
    pool.answered(one);
    if (transports[0] !== undefined) transports[0].connected = false;
    failCall(one, 'connection');
    await settle();
    expect(pool.stats).toEqual({ channelsOpen: 1, callsInFlight: 1, queueDepth: 0 });
    expect(stateOf(0)).toBe('open');
    expect((await take()).transport).toBe(transports[1]);
    pool.failed(other, { sentAt: clock.now(), kind: 'connection' });
    pool.release(other);
    expect(stateOf(0)).toBe('closed');
    expect(transports).toHaveLength(2);
  });

  it('keeps a channel whose server says that it is unavailable', async () => {
    await pool.open();
    failCall(await take(), 'connection');
    await settle();
    expect(transports).toHaveLength(1);
    expect((await take()).state).toBe('serving');
  });

  it('keeps a channel on which a short deadline passed', async () => {
    await pool.open();
    const channel = await take();
    const sentAt = clock.now();
    clock.advance(SILENCE_MS - 1);
    pool.failed(channel, { sentAt, kind: 'no-answer' });
    expect(channel.state).toBe('serving');
  });

  it('keeps a channel that answered others while one call got no answer', async () => {
    await pool.open();
    const [slow, quick] = [await take(), await take()];
    const sentAt = clock.now();
    clock.advance(SILENCE_MS);
    pool.answered(quick);
    pool.failed(slow, { sentAt, kind: 'no-answer' });
    expect(slow.state).toBe('serving');
  });

  it('gives no more calls to a channel that swallowed one, even when it is the only one', async () => {
    await pool.open();
    const channel = await take();
    pool.answered(channel);
    const sentAt = clock.now();
    clock.advance(SILENCE_MS);
    pool.failed(channel, { sentAt, kind: 'no-answer' });
    pool.release(channel);
    expect(stateOf(0)).toBe('closed');
    expect(pool.isOpen).toBe(false);
    await pool.open();
    expect((await take()).transport).toBe(transports[1]);
  });

  it('waits longer before each replacement that brings nothing, and has the lost channel say why', async () => {
    await pool.open();
    const delays: number[] = [];
    for (let loss = 0; loss < 9; loss++) {
      const channel = await take();
      const transport = transports.at(-1);
      if (transport !== undefined) transport.connected = false;
      failCall(channel, 'connection');
      const [count, since] = [transports.length, clock.now()];
      expect((await take()).state).toBe('lost');
      pool.release(channel);
      while (transports.length === count) {
        clock.advance(10);
        await settle();
      }
      delays.push(clock.now() - since);
    }
    for (const [index, delayMs] of delays.entries()) {
      const grown = Math.min(5_000, 100 * 2 ** index);
      expect(delayMs).toBeGreaterThanOrEqual(grown / 2);
      expect(delayMs).toBeLessThanOrEqual(grown + 10);
    }
    const channel = await take();
    pool.answered(channel);
    const transport = transports.at(-1);
    if (transport !== undefined) transport.connected = false;
    failCall(channel, 'connection');
    await settle();
    // One that answered is replaced at once.
    expect((await take()).state).toBe('serving');
  });

  it('closes channels beyond the first that nobody needs any more', async () => {
    await pool.open();
    const calls = [await take(), await take(), await take(), await take(), await take()];
    for (const channel of calls) pool.release(channel);
    clock.advance(60_000);
    // In use again, the second one stays.
    const [kept] = [await take(), await take()].slice(1);
    expect(kept?.transport).toBe(transports[1]);
    clock.advance(60_000);
    clock.advance(60_000);
    await settle();
    expect([0, 1, 2].map(stateOf)).toEqual(['open', 'open', 'closed']);
    if (kept !== undefined) pool.release(kept);
    clock.advance(300_000);
    await settle();
    expect([0, 1, 2].map(stateOf)).toEqual(['open', 'closed', 'closed']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('has no call fail because a further channel could not be opened', async () => {
    await pool.open();
    const held = [await take(), await take()];
    failing = true;
    const queued = pool.lease();
    await settle();
    failing = false;
    clock.advance(100);
    await settle();
    expect((await waiting(queued)).transport).toBe(transports[1]);
    expect(held).toHaveLength(2);
  });

  it('reports a failure to open the first channel to those who wait for it', async () => {
    failing = true;
    await expect(pool.open()).rejects.toThrow('no credentials');
  });

  it('lets a caller leave the queue', async () => {
    await pool.open();
    failing = true;
    const [held] = [await take(), await take()];
    const lease = pool.lease();
    if ('leave' in lease) lease.leave();
    if (held !== undefined) pool.release(held);
    expect(pool.stats).toEqual({ channelsOpen: 1, callsInFlight: 1, queueDepth: 0 });
  });

  it('refuses those who wait when it is closed, and opens nothing more', async () => {
    await pool.open();
    const [channel] = [await take(), await take()];
    failing = true;
    const queued = waiting(pool.lease());
    const refused = expect(queued).rejects.toThrow('closed');
    await pool.close();
    await refused;
    expect(stateOf(0)).toBe('closed');
    if (channel !== undefined) {
      pool.failed(channel, { sentAt: 0, kind: 'connection' });
      pool.release(channel);
    }
    clock.advance(10_000);
    await settle();
    expect(transports).toHaveLength(1);
  });

  it('closes a channel that is being opened as well', async () => {
    const refused = expect(pool.open()).rejects.toThrow('closed');
    await pool.close();
    await refused;
    expect(stateOf(0)).toBe('closed');
    await expect(pool.open()).rejects.toThrow('closed');
    await expect(waiting(pool.lease())).rejects.toThrow('closed');
    expect(clock.pendingTimers).toBe(0);
  });
});
