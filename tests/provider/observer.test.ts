/** What observers are told of calls of either provider, and what they can do about them. */

import { describe, expect, it, onTestFinished } from 'vitest';
import { A2AKmsError } from '../../src/errors/base.js';
import { InvalidArgumentError } from '../../src/errors/input.js';
import { DecryptionFailedError } from '../../src/errors/service.js';
import type { KeyProvider } from '../../src/keys/key-provider.js';
import type {
  ObservedAttempt,
  ObservedCall,
  ObservedOutcome,
  ProviderObserver,
} from '../../src/provider/observer.js';
import { newClient, startTestEmulator } from '../support/emulator.js';
import { softwareProvider } from '../support/software-provider.js';

const message = Buffer.from('pay 10 EUR to alice');
const spec = { name: 'key', purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256' } as const;
const secretSpec = {
  name: 'box',
  purpose: 'ENCRYPT_DECRYPT',
  algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
} as const;

/** The error itself, whatever it is. */
const rejectionOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'nothing was thrown',
    (error: unknown) => error,
  );

interface Seen {
  readonly call: ObservedCall;
  readonly attempts: (ObservedAttempt & { status?: string })[];
  outcome?: ObservedOutcome;
}

function recorder(): ProviderObserver & { readonly seen: Seen[]; last(): Seen } {
  const seen: Seen[] = [];
  return {
    seen,
    last: () => {
      const last = seen.at(-1);
      if (last === undefined) throw new Error('nothing was seen');
      return last;
    },
    begin(call) {
      const entry: Seen = { call, attempts: [] };
      seen.push(entry);
      return {
        attempt: (attempt) => {
          const own: ObservedAttempt & { status?: string } = { ...attempt };
          entry.attempts.push(own);
          return (status) => {
            own.status = status;
          };
        },
        end: (outcome) => {
          entry.outcome = outcome;
        },
      };
    },
  };
}

const makers = {
  HSM: async (observers: readonly ProviderObserver[]): Promise<KeyProvider> => {
    const emulator = await startTestEmulator();
    const client = newClient(emulator, { observers });
    onTestFinished(async () => {
      await client.close();
      await emulator.close();
    });
    return client;
  },
  SOFTWARE: async (observers: readonly ProviderObserver[]): Promise<KeyProvider> =>
    softwareProvider({ observers }),
} as const;

describe.each(['HSM', 'SOFTWARE'] as const)('observers of a provider of %s keys', (protectionLevel) => {
  it('see a signature with its version, the message as subject and the signature as product', async () => {
    const observer = recorder();
    const keys = await makers[protectionLevel]([observer]);
    await keys.initialize();
    const key = await keys.generateKey({ ...spec, protectionLevel });
    const signature = await keys.sign('key', message, { reason: 'ticket 7', correlationId: 'order-9' });
    expect(observer.last()).toMatchObject({
      call: {
        method: 'sign',
        keyId: 'key',
        keyRing: 'projects/test-project/locations/global/keyRings/agents',
        subject: message,
        reason: 'ticket 7',
        correlationId: 'order-9',
      },
      outcome: {
        status: 'succeeded',
        errorCode: undefined,
        version: { keyVersion: key.primary, algorithm: 'EC_SIGN_P256_SHA256', protectionLevel },
        product: signature,
      },
    });
    expect(observer.seen.map(({ call }) => call.method)).toEqual(['initialize', 'generateKey', 'sign']);
  });

  it('see whether a signature was valid, and by which version', async () => {
    const observer = recorder();
    const keys = await makers[protectionLevel]([observer]);
    await keys.initialize();
    const key = await keys.generateKey({ ...spec, protectionLevel });
    const signature = await keys.sign('key', message);
    for (const _ of ['cold', 'warm']) {
      expect(await keys.verify('key', message, signature)).toBe(true);
      expect(observer.last().outcome).toMatchObject({
        verdict: 'valid',
        version: { keyVersion: key.primary, algorithm: 'EC_SIGN_P256_SHA256' },
      });
    }
    expect(await keys.verify('key', Buffer.from('pay 99 EUR'), signature)).toBe(false);
    expect(observer.last().outcome).toMatchObject({ status: 'succeeded', verdict: 'invalid' });
  });

  it('never see plaintext: encryption has no subject, decryption no product', async () => {
    const observer = recorder();
    const keys = await makers[protectionLevel]([observer]);
    await keys.initialize();
    await keys.generateKey({ ...secretSpec, protectionLevel });
    const ciphertext = await keys.encrypt('box', message);
    expect(observer.last()).toMatchObject({ call: { subject: undefined }, outcome: { product: ciphertext } });
    await keys.decrypt('box', ciphertext);
    expect(observer.last()).toMatchObject({ call: { subject: ciphertext }, outcome: { product: undefined } });
  });

  it('see what was refused before anything was asked, and what failed after it', async () => {
    const observer = recorder();
    const keys = await makers[protectionLevel]([observer]);
    await keys.initialize();
    await keys.generateKey({ ...secretSpec, protectionLevel });
    expect(await rejectionOf(keys.sign('no/key', message))).toBeInstanceOf(InvalidArgumentError);
    expect(observer.last().outcome).toMatchObject({ status: 'refused', errorCode: 'INVALID_ARGUMENT' });
    expect(await rejectionOf(keys.decrypt('box', Buffer.alloc(100)))).toBeInstanceOf(DecryptionFailedError);
    expect(observer.last().outcome).toMatchObject({ status: 'failed', errorCode: 'DECRYPTION_FAILED' });
  });

  it('are not given reasons and correlation ids that are refused', async () => {
    const observer = recorder();
    const keys = await makers[protectionLevel]([observer]);
    await keys.initialize();
    const error = await rejectionOf(keys.sign('key', message, { reason: 'line\nbreak', correlationId: '' }));
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect(observer.last().call).toMatchObject({ reason: undefined, correlationId: undefined });
  });

  it('can refuse a call before it is made, and take back its result', async () => {
    const refusal = new InvalidArgumentError({ operation: 'sign', resource: 'key' }, 'not today.');
    const witness = recorder();
    const keys = await makers[protectionLevel]([
      witness,
      {
        begin: ({ method, reason }) => {
          if (method === 'sign' && reason === 'refuse') throw refusal;
          return {
            end: () => (reason === 'take-back' ? Promise.reject(refusal) : undefined),
          };
        },
      },
    ]);
    await keys.initialize();
    await keys.generateKey({ ...spec, protectionLevel });
    expect(await rejectionOf(keys.sign('key', message, { reason: 'refuse' }))).toBe(refusal);
    expect(witness.last().outcome).toMatchObject({ status: 'refused', version: undefined });
    expect(await rejectionOf(keys.sign('key', message, { reason: 'take-back' }))).toBe(refusal);
    expect(witness.last().outcome).toMatchObject({ status: 'succeeded' });
  });

  it('are told of errors that are none of this library', async () => {
    const observer = recorder();
    const odd = new Error('odd');
    const keys = await makers[protectionLevel]([
      observer,
      { begin: ({ method }) => (method === 'getKey' ? Promise.reject(odd) : { end: () => {} }) },
    ]);
    const error = await rejectionOf(keys.getKey('key'));
    expect(error).toBe(odd);
    expect(error).not.toBeInstanceOf(A2AKmsError);
    expect(observer.last().outcome).toMatchObject({ status: 'refused', errorCode: 'UNEXPECTED' });
  });
});

describe('attempts', () => {
  it('are seen one by one with their status, those of shared lookups too', async () => {
    const emulator = await startTestEmulator();
    const observer = recorder();
    const keys = newClient(emulator, { observers: [observer], retry: { initialDelayMs: 1 } });
    onTestFinished(async () => {
      await keys.close();
      await emulator.close();
    });
    await keys.initialize();
    await keys.generateKey({ ...spec, protectionLevel: 'HSM' });
    const fresh = newClient(emulator, { observers: [observer], retry: { initialDelayMs: 1 } });
    onTestFinished(() => fresh.close());
    emulator.faults.add({ rpc: 'AsymmetricSign', status: { code: 'UNAVAILABLE' }, times: 1 });
    await fresh.sign('key', message, { reason: 'ticket 7' });
    expect(observer.last().attempts).toEqual([
      { rpc: 'getCryptoKey', attempt: 1, status: 'OK' },
      { rpc: 'listCryptoKeyVersions', attempt: 2, status: 'OK' },
      { rpc: 'asymmetricSign', attempt: 3, status: 'UNAVAILABLE' },
      { rpc: 'asymmetricSign', attempt: 4, status: 'OK' },
    ]);
    expect(observer.last().outcome).toMatchObject({ attempts: 4 });
    const reasons = emulator.requests.entries
      .slice(-4)
      .map((entry) => entry.metadata.get('x-goog-request-reason'));
    expect(reasons).toEqual(Array(4).fill('ticket 7'));
  });
});
