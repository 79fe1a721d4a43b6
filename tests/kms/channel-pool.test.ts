import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Channel, ProbeListener } from '../../src/kms/channel.js';
import { ChannelPool, type ChannelPoolOptions, type Lease } from '../../src/kms/channel-pool.js';
import { SettableClock } from '../support/settable-clock.js';

const SILENCE_MS = 2_000;
/** How often the pool looks whether answers come. */
const TICK_MS = SILENCE_MS / 8;

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
  /** What becomes of probes: `answered` at once, `swallowed`, or `held` until there is a token. */
  server: 'answers' | 'swallows' | 'has-no-token' = 'answers';
  probes = 0;
  probe({ onSent, onAnswer }: ProbeListener): void {
    this.probes += 1;
    if (this.server === 'has-no-token') return;
    onSent();
    if (this.server === 'answers') onAnswer();
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

describe('ChannelPool', () => {
  let clock: SettableClock;
  let transports: FakeTransport[];
  let failing: boolean;
  let pool: ChannelPool;
  beforeEach(() => {
    clock = new SettableClock();
    transports = [];
    failing = false;
    pool = newPool({ count: 3, maxConcurrentCalls: 2 });
  });

  const newPool = (channels: ChannelPoolOptions['channels']): ChannelPool =>
    new ChannelPool({
      clock,
      channels,
      silenceMs: SILENCE_MS,
      open: async () => {
        if (failing) throw new Error('no credentials');
        const transport = new FakeTransport();
        transports.push(transport);
        return transport;
      },
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
    pool.failed(channel, { sentAt: clock.monotonic(), kind });
    pool.release(channel);
  };
  const transportOf = ({ transport }: Channel): FakeTransport => {
    if (!(transport instanceof FakeTransport)) throw new Error('not of this test');
    return transport;
  };
  /** Time passes as it does: with turns of the event loop in between. */
  const wait = async (ticks: number): Promise<void> => {
    for (let tick = 0; tick < ticks; tick++) {
      clock.advance(TICK_MS);
      await settle();
    }
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
    pool.failed(other, { sentAt: clock.monotonic(), kind: 'connection' });
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

  it('replaces a channel that made no connection in the time after which one counts as silent, but not sooner', async () => {
    await pool.open();
    const channel = await take();
    transportOf(channel).connected = false;
    const sentAt = clock.monotonic();
    clock.advance(SILENCE_MS - 1);
    pool.failed(channel, { sentAt, kind: 'no-answer' });
    expect(channel.state).toBe('serving');
    clock.advance(1);
    pool.failed(channel, { sentAt, kind: 'no-answer' });
    expect(channel.state).toBe('retired');
  });

  it('goes by the time that passes, not by a clock that is set', async () => {
    await pool.open();
    const channel = await take();
    pool.answered(channel);
    transportOf(channel).connected = false;
    const sentAt = clock.monotonic();
    clock.stepMs = -3_600_000;
    clock.advance(SILENCE_MS);
    pool.failed(channel, { sentAt, kind: 'no-answer' });
    expect(channel.state).toBe('retired');
    await pool.open();
    const burst = [await take(), await take(), await take()];
    clock.advance(60_000);
    for (const each of burst) pool.release(each);
    clock.stepMs = 3_600_000;
    clock.advance(40_000);
    await settle();
    expect(pool.stats.channelsOpen).toBe(2);
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
    const [other, kept] = [await take(), await take()];
    expect(kept?.transport).toBe(transports[1]);
    clock.advance(60_000);
    clock.advance(60_000);
    await settle();
    expect([0, 1, 2].map(stateOf)).toEqual(['open', 'open', 'closed']);
    for (const channel of [other, kept]) if (channel !== undefined) pool.release(channel);
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

  describe('when a channel with calls under way brings no answer', () => {
    /** A call that was sent, and the status that the pool ended it with. */
    const send = (channel: Channel): { readonly ended: readonly number[] } => {
      const ended: number[] = [];
      channel.calls.add({ cancel() {}, call: { cancelWithStatus: (status) => ended.push(status) } });
      return { ended };
    };
    /** A pool whose second channel is open as well, though one is enough for a few calls. */
    const openTwo = async (): Promise<void> => {
      pool = newPool({ count: 3, maxConcurrentCalls: 10 });
      await pool.open();
      const burst: Channel[] = [];
      while (transports.length < 2) burst.push(await take());
      for (const channel of burst) pool.release(channel);
    };

    it('keeps it and its calls for as long as the server answers probes: it is slow', async () => {
      await pool.open();
      const channel = await take();
      const call = send(channel);
      await wait(80);
      expect(channel.state).toBe('serving');
      expect(call.ended).toEqual([]);
      expect(transports).toHaveLength(1);
      expect(transportOf(channel).probes).toBe(16);
    });

    it('replaces it when a probe is not answered either, and ends its calls as UNAVAILABLE', async () => {
      await pool.open();
      const channel = await take();
      const call = send(channel);
      transportOf(channel).server = 'swallows';
      await wait(7);
      expect([channel.state, call.ended]).toEqual(['serving', []]);
      await wait(1);
      expect([channel.state, call.ended]).toEqual(['retired', [14]]);
      expect((await take()).transport).toBe(transports[1]);
      expect(stateOf(0)).toBe('open');
      pool.release(channel);
      expect(stateOf(0)).toBe('closed');
    });

    it('replaces it also when it is the only one that there may be', async () => {
      pool = newPool({ count: 1, maxConcurrentCalls: 2 });
      await pool.open();
      const channel = await take();
      pool.answered(channel);
      transportOf(channel).server = 'swallows';
      await wait(9);
      expect((await take()).transport).toBe(transports[1]);
    });

    it('keeps it when an answer comes, however late', async () => {
      await pool.open();
      const channel = await take();
      transportOf(channel).server = 'swallows';
      for (let times = 0; times < 3; times++) {
        await wait(7);
        pool.answered(channel);
      }
      await wait(7);
      expect(channel.state).toBe('serving');
    });

    it('gives new calls to channels that do answer, and opens no other', async () => {
      await openTwo();
      const late = await take();
      transportOf(late).server = 'swallows';
      await wait(1);
      for (let tick = 1; tick < 7; tick++) {
        const next = await take();
        expect([late, next].map((channel) => transports.indexOf(transportOf(channel)))).toEqual([0, 1]);
        pool.answered(next);
        pool.release(next);
        await wait(1);
      }
      expect(transports).toHaveLength(2);
    });

    it('opens another one before it is certain', async () => {
      await pool.open();
      const late = await take();
      transportOf(late).server = 'swallows';
      await wait(4);
      expect(transports).toHaveLength(1);
      await wait(1);
      expect(transports).toHaveLength(2);
      const next = await take();
      expect(next.transport).toBe(transports[1]);
    });

    it('does not count the time that a probe waits for a token', async () => {
      await pool.open();
      const channel = await take();
      transportOf(channel).server = 'has-no-token';
      await wait(40);
      expect([channel.state, transportOf(channel).probes]).toEqual(['serving', 1]);
    });

    it('does not count the time without a connection', async () => {
      await pool.open();
      const channel = await take();
      transportOf(channel).connected = false;
      await wait(40);
      expect([channel.state, transportOf(channel).probes]).toEqual(['serving', 0]);
    });

    it('takes a clock that jumps for one look', async () => {
      await pool.open();
      const channel = await take();
      transportOf(channel).server = 'swallows';
      clock.advance(3_600_000);
      await settle();
      expect([channel.state, transportOf(channel).probes]).toEqual(['serving', 0]);
    });

    it('sends no probe that would wait for a stream, and keeps one free for it from then on', async () => {
      pool = newPool({ count: 1, maxConcurrentCalls: 2 });
      await pool.open();
      const [channel] = [await take(), await take()];
      pool.answered(channel);
      transportOf(channel).server = 'swallows';
      await wait(40);
      expect([channel.state, transportOf(channel).probes]).toEqual(['serving', 0]);
      pool.release(channel);
      const queued = pool.lease();
      await wait(5);
      expect([channel.state, transportOf(channel).probes, channel.inFlight]).toEqual(['retired', 1, 1]);
      expect((await waiting(queued)).transport).toBe(transports[1]);
    });

    it('looks no more when there is nothing under way', async () => {
      await pool.open();
      pool.release(await take());
      await wait(1);
      expect(clock.pendingTimers).toBe(0);
    });
  });
});
