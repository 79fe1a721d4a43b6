import { createPublicKey } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { toPublicJwk } from '../../src/index.js';
import { DAY_SECONDS, startWorld } from '../support/lifecycle.js';

const message = Buffer.from('pay 10 EUR to alice');
const policy = { rotateAfterSeconds: 30 * DAY_SECONDS, keepVersions: 3 };

describe('an agent', () => {
  it('is described with the state, times, algorithm and thumbprint of each of its versions', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ rotationPolicy: policy });
    await exchange.generateAgentKey('bot');
    world.clock.advanceDays(1);
    await exchange.rotateAgentKey('bot', { algorithm: 'EC_SIGN_P384_SHA384' });
    world.clock.advanceDays(1);
    await exchange.keys.retire(await exchange.generateAgentKey('bot', { algorithm: 'EC_SIGN_P384_SHA384' }), {
      graceSeconds: 0,
    });
    const agent = await exchange.describeAgent('bot');
    expect(agent).toMatchObject({
      agentId: 'bot',
      rotationPolicy: policy,
      lastSeen: expect.any(Date),
      versions: [
        {
          version: 1,
          state: 'DISABLED',
          lifecycle: 'retired',
          algorithm: 'EC_SIGN_P256_SHA256',
          createTime: expect.any(Date),
          activatedTime: expect.any(Date),
          replacedTime: expect.any(Date),
          retiredTime: expect.any(Date),
          thumbprint: expect.stringMatching(/^[\w-]{43}$/),
        },
        {
          version: 2,
          state: 'ENABLED',
          lifecycle: 'active',
          algorithm: 'EC_SIGN_P384_SHA384',
          thumbprint: expect.stringMatching(/^[\w-]{43}$/),
        },
      ],
    });
    const [first, second] = agent.versions;
    expect(first?.replacedTime).toEqual(second?.activatedTime);
    expect(first?.thumbprint).not.toBe(second?.thumbprint);
    await exchange.destroyAgent('bot');
    world.clock.advanceDays(31);
    const gone = await exchange.describeAgent('bot');
    expect(gone.keyVersion).toBeUndefined();
    expect(gone.versions).toMatchObject([
      { lifecycle: 'destroyed', destroyEventTime: expect.any(Date), thumbprint: first?.thumbprint },
      { lifecycle: 'destroyed', destroyEventTime: expect.any(Date), thumbprint: second?.thumbprint },
    ]);
  });

  it('goes over to an algorithm by the short names of encryption keys too', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const name = await exchange.generateAgentKey('bot', { purpose: 'encryption' });
    await exchange.prepareAgentRotation('bot', { role: 'encryption', algorithm: 'rsa-oaep-3072' });
    const versions = await exchange.keys.listKeyVersions(name);
    expect(versions.map(({ algorithm }) => algorithm)).toEqual(
      Array.from({ length: 2 }, () => 'RSA_DECRYPT_OAEP_3072_SHA256'),
    );
  });

  it('goes over to another algorithm, and signatures by both verify', async () => {
    await using world = await startWorld();
    const exchange = await world.join({ defaultAlgorithm: 'ecdsa-p384' });
    await exchange.generateAgentKey('bot');
    const old = await exchange.signMessage('bot', message);
    await exchange.rotateAgentKey('bot', { algorithm: 'ecdsa-p256' });
    const recent = await exchange.signMessageDetailed('bot', message);
    expect(recent.algorithm).toBe('EC_SIGN_P256_SHA256');
    const verifier = await world.join();
    expect(await verifier.verifyMessage('bot', message, old)).toBe(true);
    expect(await verifier.verifyMessage('bot', message, recent.signature)).toBe(true);
    const key = createPublicKey(await verifier.getPublicKey('bot'));
    expect(key.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  });

  it('has its public keys published: what waits, what is in use and what was replaced, until it is disabled', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const name = await exchange.generateAgentKey('bot');
    await exchange.rotateAgentKey('bot');
    await exchange.prepareAgentRotation('bot');
    const published = await exchange.getPublicKeys('bot');
    expect(published.map(({ keyVersion, lifecycle }) => [keyVersion, lifecycle])).toEqual([
      [`${name}/cryptoKeyVersions/1`, 'retiring'],
      [`${name}/cryptoKeyVersions/2`, 'active'],
      [`${name}/cryptoKeyVersions/3`, 'prepared'],
    ]);
    expect(published[1]?.pem).toBe((await exchange.getPublicKey('bot')).toString());
    await exchange.keys.retire(name, { graceSeconds: 0 });
    expect((await exchange.getPublicKeys('bot')).map(({ lifecycle }) => lifecycle)).toEqual([
      'active',
      'prepared',
    ]);
    await expect(exchange.getPublicKeys('nobody')).rejects.toMatchObject({ code: 'AGENT_KEY_NOT_FOUND' });
    await expect(exchange.getPublicKeys('')).rejects.toThrow('at least one character');
  });

  it('has the same keys published as JWKs, whatever it signs with, and as nothing where one has no form in JOSE', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot');
    await exchange.rotateAgentKey('bot', { algorithm: 'RSA_SIGN_PSS_2048_SHA256' });
    const { kid } = await exchange.hierarchy.getAgentJwk('bot');
    await exchange.prepareAgentRotation('bot', { algorithm: 'EC_SIGN_P384_SHA384' });
    const jwks = await exchange.getAgentJwks('bot');
    expect(jwks.map(({ alg, use }) => [alg, use])).toEqual([
      ['ES256', 'sig'],
      ['PS256', 'sig'],
      ['ES384', 'sig'],
    ]);
    expect(jwks[1]?.kid).toBe(kid);
    expect(jwks).toEqual(
      (await exchange.getPublicKeys('bot')).map(({ pem, algorithm }) => toPublicJwk(pem, algorithm)),
    );
    await exchange.activateAgentRotation('bot');
    const raw = { algorithm: 'RSA_SIGN_RAW_PKCS1_2048' } as const;
    const { prepared } = await exchange.prepareAgentRotation('bot', raw);
    await expect(exchange.getAgentJwks('bot')).rejects.toMatchObject({
      code: 'UNSUPPORTED_ALGORITHM',
      message: expect.stringContaining(`${prepared}`),
      alternatives: expect.arrayContaining(['EC_SIGN_P384_SHA384']),
    });
    expect((await exchange.getPublicKeys('bot')).at(-1)).toMatchObject(raw);
    await expect(exchange.getAgentJwks('nobody')).rejects.toMatchObject({ code: 'AGENT_KEY_NOT_FOUND' });
  });

  it('has no keys published of an algorithm that this library does not know', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const name = await exchange.generateAgentKey('bot');
    const versions = await exchange.keys.listKeyVersions(name);
    vi.spyOn(exchange.keys, 'listKeyVersions').mockResolvedValue(
      versions.map((version) => ({ ...version, algorithm: 'EC_SIGN_OF_THE_FUTURE' })),
    );
    const unsupported = {
      code: 'UNSUPPORTED_ALGORITHM',
      message: expect.stringContaining('EC_SIGN_OF_THE_FUTURE'),
    };
    await expect(exchange.getPublicKeys('bot')).rejects.toMatchObject(unsupported);
    await expect(exchange.getAgentJwks('bot')).rejects.toMatchObject(unsupported);
  });

  it('rolls back in one call, by number or by name, and only to an ENABLED version', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const name = await exchange.generateAgentKey('bot');
    await exchange.rotateAgentKey('bot');
    expect((await exchange.setAgentPrimaryVersion('bot', 1)).primary).toBe(`${name}/cryptoKeyVersions/1`);
    expect((await exchange.signMessageDetailed('bot', message)).keyVersion).toBe(
      `${name}/cryptoKeyVersions/1`,
    );
    await exchange.setAgentPrimaryVersion('bot', `${name}/cryptoKeyVersions/2`);
    expect((await exchange.describeAgent('bot')).keyVersion).toBe(`${name}/cryptoKeyVersions/2`);
    await expect(exchange.setAgentPrimaryVersion('bot', 3)).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
  });

  it('has its policy set and taken out, of either key', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    await exchange.generateAgentKey('bot', { purpose: 'both' });
    await exchange.setRotationPolicy('bot', policy);
    await exchange.setRotationPolicy('bot', policy, { role: 'encryption' });
    expect((await exchange.rotateDueKeys()).keys.map(({ role }) => role)).toEqual(['encryption', 'signing']);
    await exchange.setRotationPolicy('bot', null);
    expect((await exchange.rotateDueKeys()).keys.map(({ role }) => role)).toEqual(['encryption']);
    await expect(exchange.setRotationPolicy('bot', { rotateAfterSeconds: 1 })).rejects.toThrow(
      'rotateAfterSeconds',
    );
    const badRole = Reflect.apply(exchange.setRotationPolicy, exchange, ['bot', policy, { role: 'root' }]);
    await expect(badRole).rejects.toThrow('role must be signing or encryption');
  });

  it('is listed by its own id, with its labels, and other keys are not', async () => {
    await using world = await startWorld();
    const exchange = await world.join();
    const ids = ['bot', 'K\u00e4the / gr\u00f6\u00dfer'];
    for (const id of ids) await exchange.generateAgentKey(id, { labels: { team: 'billing' } });
    await exchange.keys.generateKey({
      name: 'other',
      purpose: 'ASYMMETRIC_SIGN',
      algorithm: 'EC_SIGN_P256_SHA256',
      labels: { team: 'billing' },
    });
    const agents = await exchange.listAgents();
    expect(agents.map(({ agentId }) => agentId).toSorted()).toEqual(ids.toSorted());
    expect(agents[0]).toMatchObject({ labels: { team: 'billing' }, protectionLevel: 'HSM' });
  });
});
