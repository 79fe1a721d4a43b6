/** What names the version that signs it, signed while one location answers every second time and the other one steps in. */

import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  type A2AKeyExchange,
  ReceiptTrust,
  signCompactJws,
  toPublicJwk,
  verifyCompactJws,
  verifyReceipt,
} from '../../src/index.js';
import { startTwoLocations, type TwoLocations } from '../support/two-locations.js';

const message = Buffer.from('pay 10 EUR to alice');

let locations: TwoLocations;
let exchange: A2AKeyExchange;
let pems: readonly string[];

beforeEach(async () => {
  locations = await startTwoLocations();
  exchange = locations.newExchange({ retry: { maxAttempts: 1 } });
  await exchange.initialize();
  await exchange.generateAgentKey('bot', { algorithm: 'ecdsa-p256' });
  pems = (await exchange.getPublicKeys('bot')).map(({ pem }) => pem);
  locations.first.faults.add({ rpc: 'AsymmetricSign', status: { code: 'UNAVAILABLE' }, every: 2 });
});
afterEach(() => locations.close());

it('is a receipt by either key', async () => {
  const trust = new ReceiptTrust(pems);
  for (let round = 0; round < 6; round++) {
    const [receipt] = await exchange.signBatch('bot', [message]);
    expect(await verifyReceipt(message, receipt ?? Buffer.alloc(0), trust)).toBe(true);
  }
});

it('is a JWS by either key', async () => {
  const keys = pems.map((pem) => toPublicJwk(pem, 'EC_SIGN_P256_SHA256'));
  const { keyName } = await exchange.describeAgent('bot');
  for (let round = 0; round < 6; round++) {
    const jws = await signCompactJws(exchange.keys, keyName, message);
    const verified = await Promise.allSettled(
      keys.map((key) => verifyCompactJws(jws, key, { algorithm: 'ES256' })),
    );
    expect(verified.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  }
});
