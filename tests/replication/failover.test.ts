/** Signing goes on when a location fails, and comes back to it; nothing but a failed location leads elsewhere. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type A2AKeyExchange, signCompactJws, verifyCompactJws } from '../../src/index.js';
import { startTestEmulator } from '../support/emulator.js';
import { startTwoLocations, type TwoLocations } from '../support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');
const SIGNATURES = 10_000;
const CONCURRENCY = 100;

let folder: string;
let locations: TwoLocations;
let exchange: A2AKeyExchange;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'replication-'));
  locations = await startTwoLocations({ stateFile: join(folder, 'state.json') });
  exchange = locations.newExchange({ quota: { mode: 'off' } });
  await exchange.initialize();
  await exchange.generateAgentKey('bot', { algorithm: 'ecdsa-p256' });
});
afterEach(async () => {
  await locations.close();
  await rm(folder, { recursive: true });
});

const rejectionOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no rejection',
    (error: unknown) => error,
  );
const stateOfFirst = (): string | undefined => exchange.replication()[0]?.state;
const isByStandby = (keyVersion: string): boolean => keyVersion.includes('/keyRings/standby/');

/** Has the standby sign once, so that it is connected to and its version is known, and then the first again. */
async function warmUp(own: A2AKeyExchange): Promise<void> {
  const signsInStandby = async (): Promise<boolean> =>
    isByStandby((await own.signMessageDetailed('bot', message)).keyVersion);
  const fault = locations.first.faults.add({ rpc: 'AsymmetricSign', status: { code: 'UNAVAILABLE' } });
  expect(await signsInStandby()).toBe(true);
  fault.remove();
  expect(await signsInStandby()).toBe(false);
}

async function signUntil(done: () => boolean): Promise<void> {
  for (let tries = 0; tries < 5_000; tries++) {
    await exchange.signMessage('bot', message);
    if (done()) return;
  }
  throw new Error('it never came to that');
}

describe('when the first location stops', () => {
  it('in the middle of 10,000 signatures under load, no call fails and every signature verifies', async () => {
    const cheap = locations.newExchange({ protectionLevel: 'SOFTWARE', defaultAlgorithm: 'ed25519' });
    await cheap.generateAgentKey('busy-bot');
    const signed: { readonly data: Buffer; readonly signature: Buffer; readonly keyVersion: string }[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < SIGNATURES) {
        const index = next++;
        if (index === SIGNATURES / 2) void locations.first.close();
        const data = Buffer.from(`message ${index}`);
        signed.push({ data, ...(await cheap.signMessageDetailed('busy-bot', data)) });
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    expect(signed).toHaveLength(SIGNATURES);
    const byStandby = signed.filter(({ keyVersion }) => isByStandby(keyVersion)).length;
    expect(byStandby).toBeGreaterThan(SIGNATURES / 4);
    expect(byStandby).toBeLessThan(SIGNATURES);
    const checked = await Promise.all(
      signed.map(({ data, signature, keyVersion }) =>
        cheap.verifyMessage('busy-bot', data, signature, { keyVersion }),
      ),
    );
    expect(checked.filter((good) => !good)).toEqual([]);
    expect(cheap.replication()[0]).toMatchObject({ state: 'open', lastFailure: 'UNAVAILABLE' });
  });

  it('signing comes back to it when it is up again', async () => {
    const { port } = locations.first;
    await locations.first.close();
    await signUntil(() => stateOfFirst() === 'open');
    expect(isByStandby((await exchange.signMessageDetailed('bot', message)).keyVersion)).toBe(true);
    locations.first = await startTestEmulator({ port, stateFile: join(folder, 'state.json') });
    await signUntil(() => stateOfFirst() === 'closed');
    expect(isByStandby((await exchange.signMessageDetailed('bot', message)).keyVersion)).toBe(false);
  });

  it('a process that starts meanwhile signs, and verifies what the standby signed', async () => {
    await locations.first.close();
    const late = locations.newExchange();
    await late.initialize();
    const { signature, keyVersion } = await late.signMessageDetailed('bot', message);
    expect(isByStandby(keyVersion)).toBe(true);
    expect(await late.verifyMessage('bot', message, signature)).toBe(true);
    expect(await late.verifyMessage('bot', message, signature, { keyVersion })).toBe(true);
  });

  it('signatures that it made before verify, and forgeries do not', async () => {
    const signature = await exchange.signMessage('bot', message);
    expect(await exchange.verifyMessage('bot', message, signature)).toBe(true);
    await exchange.verifyMessage('bot', message, Buffer.alloc(70, 1));
    await locations.first.close();
    expect(await exchange.verifyMessage('bot', message, signature)).toBe(true);
    expect(await exchange.verifyMessage('bot', Buffer.from('pay 99'), signature)).toBe(false);
  });

  it('and the standby too, the error names both', async () => {
    await Promise.all([locations.first.close(), locations.standby.close()]);
    const error = await rejectionOf(exchange.signMessage('bot', message));
    expect(error).toMatchObject({
      code: 'ALL_LOCATIONS_FAILED',
      failures: [
        { keyRing: expect.stringContaining('/keyRings/agents'), problem: 'UNAVAILABLE' },
        { keyRing: expect.stringContaining('/keyRings/standby'), problem: 'UNAVAILABLE' },
      ],
    });
  });
});

describe('when the first location stops, what first asks which version signs', () => {
  it('signs too: batches and JWS, while the version of the first is still in the cache', async () => {
    const keyName = await exchange.generateAgentKey('bot', { algorithm: 'ecdsa-p256' });
    await exchange.signBatch('bot', [message]);
    await locations.first.close();
    const [receipt] = await exchange.signBatch('bot', [message]);
    expect(receipt).toBeInstanceOf(Buffer);
    const jws = await signCompactJws(exchange.keys, keyName, message);
    const { keyVersion } = await exchange.keys.resolveKeyVersion(keyName);
    expect(isByStandby(keyVersion)).toBe(true);
    const pem = await exchange.keys.getPublicKey(keyVersion);
    expect((await verifyCompactJws(jws, pem, { algorithm: 'ES256' })).payload).toEqual(message);
    // What is answered from the cache does not pass for a sign of life.
    await signUntil(() => stateOfFirst() === 'open');
    expect(isByStandby((await exchange.keys.resolveKeyVersion(keyName)).keyVersion)).toBe(true);
  });

  it('but nothing is encrypted to a key of the standby, where the agent does not look for it', async () => {
    await exchange.generateAgentKey('bot', { algorithm: 'ecdsa-p256', purpose: 'both' });
    await exchange.signMessage('bot', message);
    await locations.first.close();
    await signUntil(() => stateOfFirst() === 'open');
    const late = locations.newExchange();
    expect(await rejectionOf(late.encryptForAgent('bot', message))).toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('when the first location hangs', () => {
  it('calls under way and in the queue go on in the standby as soon as the breaker opens: none fails', async () => {
    const crowded = locations.newExchange({ channels: { count: 1, maxConcurrentCalls: 5 } });
    await warmUp(crowded);
    locations.first.faults.add({ rpc: 'AsymmetricSign', hang: true });
    const signed = await Promise.all(
      Array.from({ length: 60 }, () => crowded.signMessageDetailed('bot', message)),
    );
    expect(signed.filter(({ keyVersion }) => !isByStandby(keyVersion))).toEqual([]);
  });

  it('a probe whose caller leaves does not close the breaker', async () => {
    locations.first.faults.add({ rpc: 'AsymmetricSign', hang: true });
    const impatient = (): Promise<unknown> =>
      rejectionOf(exchange.signMessage('bot', message, { timeoutMs: 400 }));
    while (stateOfFirst() !== 'open') await impatient();
    for (;;) {
      const controller = new AbortController();
      const call = rejectionOf(exchange.signMessage('bot', message, { signal: controller.signal }));
      let isOver = false;
      void call.then(() => {
        isOver = true;
      });
      while (!isOver && stateOfFirst() === 'open') await setImmediate();
      if (stateOfFirst() === 'half-open') {
        controller.abort();
        expect(await call).toMatchObject({ code: 'ABORTED' });
        break;
      }
      await call;
    }
    expect(stateOfFirst()).toBe('open');
  });

  it('the standby signs within the deadline of the call', async () => {
    await warmUp(exchange);
    locations.first.faults.add({ rpc: 'AsymmetricSign', hang: true });
    const signed = await exchange.signMessageDetailed('bot', message, { timeoutMs: 6_000 });
    expect(isByStandby(signed.keyVersion)).toBe(true);
    expect(exchange.replication()[0]).toMatchObject({ lastFailure: 'DEADLINE_EXCEEDED' });
  });

  it('an abort by the caller ends the call and leads nowhere else', async () => {
    locations.first.faults.add({ rpc: 'AsymmetricSign', hang: true });
    const controller = new AbortController();
    const call = rejectionOf(exchange.signMessage('bot', message, { signal: controller.signal }));
    const before = locations.standby.requests.count('AsymmetricSign');
    controller.abort();
    expect(await call).toMatchObject({ code: 'ABORTED' });
    expect(locations.standby.requests.count('AsymmetricSign')).toBe(before);
    expect(stateOfFirst()).toBe('closed');
  });
});

describe('what is no failure of a location', () => {
  it.each([
    'PERMISSION_DENIED',
    'RESOURCE_EXHAUSTED',
    'UNAUTHENTICATED',
    'FAILED_PRECONDITION',
    'NOT_FOUND',
  ] as const)('%s is reported, and the standby is not called', async (status) => {
    locations.first.faults.add({ rpc: 'AsymmetricSign', status: { code: status } });
    for (let times = 0; times < 3; times++) {
      expect(await rejectionOf(exchange.signMessage('bot', message))).toMatchObject({ code: status });
    }
    expect(locations.standby.requests.count('AsymmetricSign')).toBe(0);
    expect(stateOfFirst()).toBe('closed');
  });

  it('bad input is refused without any call', async () => {
    const before = locations.standby.requests.count() + locations.first.requests.count();
    const wrong: never[] = [];
    const call = exchange.keys.sign('a/b', Buffer.from(wrong));
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(locations.standby.requests.count() + locations.first.requests.count()).toBe(before);
  });
});
