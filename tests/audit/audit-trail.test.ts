/** What a trail holds of the calls of a provider, when it is signed, and what a broken sink does to the calls. */

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { auditedKeys, auditKeyOf, memorySink, parsed, signingSpec, verifyLines } from '../support/audit.js';

const message = Buffer.from('pay 10 EUR to alice');
const spec = { ...signingSpec, protectionLevel: 'SOFTWARE' } as const;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('an audit trail', () => {
  it('has an event with digests, version, agent, reason and flags for a signature, and is valid when closed', async () => {
    const sink = memorySink();
    const keys = await auditedKeys({ sink, failClosed: true });
    const key = await keys.generateKey(spec);
    const signature = await keys.sign(spec.name, message, { reason: 'ticket 7', correlationId: 'order-9' });
    const pem = await auditKeyOf(keys);
    const event = parsed(sink.lines.at(-2));
    expect(event).toMatchObject({
      v: 1,
      type: 'event',
      operation: 'sign',
      key: key.name,
      keyVersion: key.primary,
      agent: 'bot',
      algorithm: 'EC_SIGN_P256_SHA256',
      protectionLevel: 'SOFTWARE',
      subjectSha256: sha256(message),
      productSha256: sha256(signature),
      outcome: 'succeeded',
      attempts: 0,
      reason: 'ticket 7',
      correlationId: 'order-9',
      configuration: { hsmKeys: false, softwareKeys: true, failClosed: true },
    });
    await keys.close();
    const verified = await verifyLines(sink.lines, { auditKeys: pem });
    expect(verified).toMatchObject({ verdict: 'valid', problems: [] });
    expect(verified.chains[0]?.signers).toMatchObject([{ protectionLevel: 'SOFTWARE' }]);
  });
});
