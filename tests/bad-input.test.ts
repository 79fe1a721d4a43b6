/** What callers get wrong is refused with a typed error that says what, before any call is made. */

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type KmsEmulator, startKmsEmulator } from '../src/emulator/index.js';
import {
  type A2AKeyExchange,
  BatchSigner,
  EnvelopeCipher,
  encryptCompactJwe,
  FilePublicKeyArchive,
  issueEndorsement,
  KeyHierarchy,
  type KMSClient,
  ReceiptTrust,
  signCompactJws,
  toPublicJwk,
  verifyAttestation,
  verifyCompactJws,
  verifyEndorsement,
  verifyHandover,
} from '../src/index.js';
import { newClient, newExchange, startTestEmulator } from './support/emulator.js';

/** What JavaScript lets through. */
const untyped = (text: string) => JSON.parse(text);

interface World {
  readonly emulator: KmsEmulator;
  readonly exchange: A2AKeyExchange;
  readonly keys: KMSClient;
}

let world: World;
beforeAll(async () => {
  const emulator = await startTestEmulator();
  world = { emulator, exchange: newExchange(emulator), keys: newClient(emulator) };
});
afterAll(async () => {
  await Promise.all([world.exchange.close(), world.keys.close()]);
  await world.emulator.close();
});
beforeEach(() => world.emulator.requests.clear());

const role = untyped('{"role":"x"}');
const message = Buffer.from('x');

describe('calls', () => {
  const cases: readonly (readonly [string, (world: World) => Promise<unknown>, RegExp])[] = [
    [
      'verifyHandover without options',
      () => verifyHandover('x', untyped('null')),
      /options\.agentId .*options\.oldKey/,
    ],
    [
      'verifyHandover with text as options',
      () => verifyHandover('x', untyped('"x"')),
      /options must be an object/,
    ],
    [
      'verifyHandover with an option that there is not',
      () => verifyHandover('x', untyped('{"agentId":"a","oldKey":{},"key":{}}')),
      /options\.key is not an option/,
    ],
    [
      'verifyEndorsement without options',
      () => verifyEndorsement('x', untyped('null')),
      /options\.rootPublicKey is required/,
    ],
    [
      'verifyEndorsement with a clock that is none',
      () => verifyEndorsement('x', untyped('{"agentId":"a","key":{},"rootPublicKey":{},"clock":7}')),
      /options\.clock/,
    ],
    [
      'verifyCompactJws without options',
      () => verifyCompactJws('x', Buffer.from('x'), untyped('null')),
      /algorithm/,
    ],
    [
      'verifyCompactJws with a misspelt check',
      () => verifyCompactJws('x', message, untyped('{"algorithm":"ES384","type":"x","critical":[]}')),
      /options\.type is not an option; options\.critical is not an option/,
    ],
    [
      'verifyCompactJws with checks of other types',
      () =>
        verifyCompactJws(
          'x',
          message,
          untyped('{"algorithm":"ES384","typ":7,"understoodCritical":"exp","limitCharacters":"9"}'),
        ),
      /options\.limitCharacters .*options\.typ must be a string.*options\.understoodCritical must be a list/,
    ],
    [
      'signCompactJws with an option that there is not',
      ({ keys }) => signCompactJws(keys, 'k', message, {}, untyped('{"ed25519name":"EdDSA","timeoutMS":1}')),
      /options\.ed25519name is not an option; options\.timeoutMS is not an option/,
    ],
    [
      'signCompactJws with another name of Ed25519',
      ({ keys }) => signCompactJws(keys, 'k', message, {}, untyped('{"ed25519Name":"ed25519"}')),
      /options\.ed25519Name must be EdDSA or Ed25519/,
    ],
    [
      'signCompactJws with a header of other types',
      ({ keys }) => signCompactJws(keys, 'k', message, untyped('{"kid":7,"typ":8,"other":9}')),
      /: header\.typ must be a string; header\.kid must be a string\./,
    ],
    [
      'signCompactJws with null for a header',
      ({ keys }) => signCompactJws(keys, 'k', message, untyped('null')),
      /header must be an object/,
    ],
    [
      'toPublicJwk with an option that there is not',
      async () => toPublicJwk('x', 'EC_SIGN_ED25519', untyped('{"ed25519name":"Ed25519"}')),
      /options\.ed25519name is not an option/,
    ],
    [
      'encryptCompactJwe with an option that there is not',
      async () => encryptCompactJwe('x', message, untyped('{"ctype":"x"}')),
      /options\.ctype is not an option/,
    ],
    [
      'verifyMessage by a version that is a number',
      ({ exchange }) => exchange.verifyMessage('a', message, message, untyped('{"keyVersion":1}')),
      /options\.keyVersion must be the full name of a version/,
    ],
    [
      'verifyMessage with an option that there is not',
      ({ exchange }) => exchange.verifyMessage('a', message, message, untyped('{"version":"1"}')),
      /options\.version is not an option/,
    ],
    [
      'verifyAttestation of nothing',
      async () => verifyAttestation(untyped('{}')),
      /input\.format .*input\.content .*input\.certChains .*input\.key .*input\.at /,
    ],
    [
      'verifyAttestation with a field that there is not, of other keys',
      async () =>
        verifyAttestation({
          ...untyped('{"format":"x","certChains":{},"version":1,"key":{"kind":"pair","publicKey":"PEM"}}'),
          ...{ content: message, at: new Date(Number.NaN) },
        }),
      /certChains\.caviumCerts must be a list.*key\.publicKey must be a KeyObject.*at must be a date.*input\.version is not/,
    ],
    [
      'faults of an RPC and a status that there is not',
      async ({ emulator }) =>
        emulator.faults.add(untyped('{"rpc":"Sign","status":{"code":"DOWN"},"time":1}')),
      /rule\.rpc is not the name of an RPC.*rule\.status\.code is not a status.*rule\.time is not an option/,
    ],
    [
      'faults that never come',
      async ({ emulator }) => emulator.faults.add({ rpc: '*', hang: true, times: 0, every: 0.5 }),
      /rule\.every must be a whole number.*rule\.times must be at least 1/,
    ],
    [
      'issueToken for no member, with an option that there is not',
      async ({ emulator }) => emulator.iam.issueToken('eve@example.com', untyped('{"lifetime":60}')),
      /issueToken\.member is not written as in a policy.*issueToken\.options\.lifetime is not an option/,
    ],
    [
      'signCompactJws of text',
      ({ keys }) => signCompactJws(keys, 'k', untyped('"x"')),
      /payload must be bytes/,
    ],
    [
      'issueEndorsement for an agent that is a number',
      ({ keys }) => issueEndorsement(keys, 'k', untyped('{"agentId":7}')),
      /agent \(number\)/,
    ],
    [
      'encryptCompactJwe of text',
      async ({ keys }) => encryptCompactJwe(untyped('"x"'), untyped('"x"'), untyped('{}')) + String(keys),
      /PEM|key/,
    ],
    [
      'endorseAgentKey with a role that there is not',
      ({ exchange }) => exchange.hierarchy.endorseAgentKey('a', role),
      /role must be signing or encryption/,
    ],
    [
      'endorseAgentKey with a validity of zero',
      ({ exchange }) => exchange.hierarchy.endorseAgentKey('a', { validitySeconds: 0 }),
      /validitySeconds/,
    ],
    [
      'getAgentJwk with a role that there is not',
      ({ exchange }) => exchange.hierarchy.getAgentJwk('a', role),
      /role must be signing or encryption/,
    ],
    [
      'rotateAgentKey with a role that there is not',
      ({ exchange }) => exchange.rotateAgentKey('a', role),
      /role must be signing or encryption/,
    ],
    [
      'rotateAgentKey to an algorithm that there is not',
      ({ exchange }) => exchange.rotateAgentKey('a', untyped('{"algorithm":"x"}')),
      /options\.algorithm is no algorithm: .*ecdsa-p256, .*rsa-oaep-4096/,
    ],
    [
      'grantAgentAccess of a role that there is not',
      ({ exchange }) => exchange.grantAgentAccess('a', 'user:a@example.com', 'Signer'),
      /short names are signer, verifier, rotator, administrator/,
    ],
    [
      'describeHierarchy of agents that are no list',
      ({ exchange }) => exchange.describeHierarchy(untyped('{"agentIds":"a"}')),
      /options\.agentIds must be a list of agent ids/,
    ],
    [
      'restoreAgent to a state that there is not',
      ({ exchange }) => exchange.restoreAgent('a', untyped('{"state":"X"}')),
      /options\.state must be ENABLED or DISABLED/,
    ],
    [
      'listAgentAccess of a key that there is not',
      ({ exchange }) => exchange.listAgentAccess('a', untyped('{"key":"x"}')),
      /key must be signing or encryption/,
    ],
    [
      'generateAgentKey with a level that there is not',
      ({ exchange }) => exchange.generateAgentKey('a', untyped('{"protectionLevel":"TPM"}')),
      /options\.protectionLevel must be HSM or SOFTWARE/,
    ],
    [
      'generateAgentKey with labels that are no text',
      ({ exchange }) => exchange.generateAgentKey('a', untyped('{"labels":{"a":7}}')),
      /options\.labels\.a must be a string/,
    ],
    [
      'destroyAgent with a reason that is no text',
      ({ exchange }) => exchange.destroyAgent('a', untyped('{"reason":7}')),
      /options\.reason must be a string/,
    ],
    [
      'rotateDueKeys with a concurrency of zero',
      ({ exchange }) => exchange.rotateDueKeys({ concurrency: 0 }),
      /options\.concurrency/,
    ],
    [
      'signMessage for an agent that is no text',
      ({ exchange }) => exchange.signMessage(untyped('[7]'), message),
      /agent \(object\)/,
    ],
  ];
  it.each(cases)('%s is refused before any call', async (_, call, problem) => {
    const refused = call(world);
    await expect(refused).rejects.toThrow(problem);
    await expect(refused).rejects.toMatchObject({ code: expect.stringMatching(/^INVALID_(ARGUMENT|JWK)$/) });
    expect(world.emulator.requests.count()).toBe(0);
  });
});

const none = untyped('null');
describe('null for options', () => {
  const cases: readonly (readonly [string, (exchange: A2AKeyExchange) => Promise<unknown>])[] = [
    ['verifyMessage', (exchange) => exchange.verifyMessage('a', message, message, none)],
    ['signMany', (exchange) => exchange.signMany('a', [message], none)],
    ['rotateAgentKey', (exchange) => exchange.rotateAgentKey('a', none)],
    ['setRotationPolicy', (exchange) => exchange.setRotationPolicy('a', null, none)],
    ['attestAgentKey', (exchange) => exchange.attestAgentKey('a', none)],
    ['grantAgentAccess', (exchange) => exchange.grantAgentAccess('a', 'user:a@example.com', 'signer', none)],
    [
      'revokeAgentAccess',
      (exchange) => exchange.revokeAgentAccess('a', 'user:a@example.com', 'signer', none),
    ],
    ['listAgentAccess', (exchange) => exchange.listAgentAccess('a', none)],
    ['getAgentJwk', (exchange) => exchange.hierarchy.getAgentJwk('a', none)],
    ['endorseAgentKey', (exchange) => exchange.hierarchy.endorseAgentKey('a', none)],
  ];
  it.each(cases)('is none to %s, which goes on to look up the agent', async (_, call) => {
    await expect(call(world.exchange)).rejects.toMatchObject({ code: 'AGENT_KEY_NOT_FOUND' });
  });

  it('is none to envelope and describeHierarchy', async () => {
    await world.exchange.initialize();
    expect(await world.exchange.describeHierarchy(none)).toMatchObject({ agents: [] });
    expect(() => world.exchange.envelope(none)).not.toThrow();
  });
});

describe('constructors', () => {
  const cases: readonly (readonly [string, (world: World) => unknown, string])[] = [
    [
      'KeyHierarchy',
      ({ keys }) => new KeyHierarchy(keys, { endorsementValiditySeconds: 0 }),
      'hierarchy.endorsementValiditySeconds',
    ],
    ['ReceiptTrust', () => new ReceiptTrust([], { maxCachedRoots: 0 }), 'receiptTrust.maxCachedRoots'],
    [
      'ReceiptTrust by an unknown name',
      () => new ReceiptTrust([], untyped('{"maxCachedRoot":5}')),
      'receiptTrust.maxCachedRoot',
    ],
    ['EnvelopeCipher', ({ keys }) => new EnvelopeCipher(keys, 'k', { timeoutMs: 0 }), 'envelope.timeoutMs'],
    [
      'BatchSigner',
      ({ exchange }) => new BatchSigner(exchange, 'a', { maxBatch: 0 }),
      'batchSigner.maxBatch',
    ],
    ['FilePublicKeyArchive', () => new FilePublicKeyArchive(untyped('{}')), 'directory'],
    ['FilePublicKeyArchive without options', () => new FilePublicKeyArchive(untyped('null')), 'directory'],
    [
      'FilePublicKeyArchive by an unknown name',
      () => new FilePublicKeyArchive(untyped('{"directory":"x","mode":7}')),
      'mode',
    ],
    ['startKmsEmulator', () => startKmsEmulator({ port: -1 }), 'emulator.port'],
  ];
  it.each(cases)('%s refuses an option that is wrong as a configuration', async (_, make, field) => {
    await expect((async () => make(world))()).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      problems: [{ field }],
    });
  });
});
