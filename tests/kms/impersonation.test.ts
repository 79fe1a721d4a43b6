import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentIdentities } from '../../src/access/agent-identities.js';
import { systemClock } from '../../src/clock.js';
import { type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import {
  type A2AKeyExchange,
  type A2AKeyExchangeConfig,
  ImpersonationError,
  InvalidArgumentError,
  InvalidConfigError,
  KMSClient,
  PermissionDeniedError,
  UnauthenticatedError,
  UnavailableError,
} from '../../src/index.js';
import { agentKeyId, parseAgentId } from '../../src/keys/agent-key-name.js';
import { parseImpersonation } from '../../src/keys/impersonation.js';
import { KmsConnection } from '../../src/kms/connection.js';
import {
  clientConfig,
  KEY_RING,
  newExchange,
  silentLogger,
  startTestEmulator,
  UNHURRIED,
} from '../support/emulator.js';
import { memberOf, OWNER_TOKEN, serviceAccount, startEnforcingEmulator } from '../support/iam.js';

const message = Buffer.from('pay 10 EUR to alice');
const HOST_TOKEN = 'host-token';

let clock: ManualClock;
let emulator: KmsEmulator;
let owner: A2AKeyExchange;
beforeAll(async () => {
  clock = new ManualClock();
  const creator = (...members: string[]) => [{ role: 'roles/iam.serviceAccountTokenCreator', members }];
  emulator = await startEnforcingEmulator(
    {
      tokens: { [HOST_TOKEN]: memberOf('host') },
      serviceAccounts: {
        [serviceAccount('bot-a')]: creator(memberOf('host')),
        [serviceAccount('bot-b')]: creator(memberOf('host')),
        [serviceAccount('middle')]: creator(memberOf('host')),
        [serviceAccount('far')]: creator(memberOf('middle')),
      },
    },
    { clock, asymmetricGenerationMs: 0, hsmGenerationMs: 0 },
  );
  owner = newExchange(emulator, { emulatorAccessToken: OWNER_TOKEN });
  await owner.initialize();
});
afterAll(async () => {
  await owner.close();
  await emulator.close();
});

const asHost = (rest: Partial<A2AKeyExchangeConfig> = {}): A2AKeyExchange =>
  newExchange(emulator, {
    emulatorAccessToken: HOST_TOKEN,
    retry: { maxAttempts: 2, initialDelayMs: 1, maxDelayMs: 2 },
    ...rest,
  });

let count = 0;
async function newAgent(user: string, purpose: 'signing' | 'both' = 'signing') {
  const agentId = `agent-${++count}`;
  const keyName = await owner.generateAgentKey(agentId, { purpose });
  for (const role of ['roles/cloudkms.signer', 'roles/cloudkms.viewer'])
    await owner.grantAgentAccess(agentId, memberOf(user), role);
  return { agentId, keyName };
}
const minted = (): number => emulator.requests.count('GenerateAccessToken');

describe('impersonate', () => {
  it('makes all calls as the service account, with one token for any number of them', async () => {
    const { agentId, keyName } = await newAgent('bot-a');
    await using plain = asHost();
    await expect(plain.signMessage(agentId, message)).rejects.toThrow(PermissionDeniedError);
    // Pinned, so that no look-up that all share comes before.
    const pinnedVersions = [
      { name: `${keyName}/cryptoKeyVersions/1`, algorithm: 'EC_SIGN_P384_SHA384' as const },
    ];
    await using exchange = asHost({ impersonate: serviceAccount('bot-a'), pinnedVersions });
    const before = minted();
    const signatures = await Promise.all(
      Array.from({ length: 50 }, () => exchange.signMessage(agentId, message)),
    );
    expect(minted() - before).toBe(1);
    expect(await owner.verifyMessage(agentId, message, signatures[0] ?? Buffer.alloc(0))).toBe(true);
  });

  it('goes through delegates, for as long as said', async () => {
    const { agentId } = await newAgent('far');
    const impersonate = {
      serviceAccount: serviceAccount('far'),
      delegates: [serviceAccount('middle')],
      lifetimeSeconds: 60,
    };
    await using exchange = asHost({ impersonate });
    await exchange.signMessage(agentId, message);
    const call = emulator.requests.entries.findLast(({ rpc }) => rpc === 'GenerateAccessToken');
    expect(call?.request).toMatchObject({
      delegates: [`projects/-/serviceAccounts/${serviceAccount('middle')}`],
      lifetime: { seconds: 60 },
    });
  });

  it('is a typed error that names the permission, when the service account may not be acted as', async () => {
    const { agentId } = await newAgent('bot-a');
    await using exchange = asHost({ impersonate: serviceAccount('stranger') });
    const failure = exchange.signMessage(agentId, message);
    await expect(failure).rejects.toThrow(ImpersonationError);
    await expect(failure).rejects.toMatchObject({
      code: 'IMPERSONATION_FAILED',
      serviceAccount: serviceAccount('stranger'),
      permission: 'iam.serviceAccounts.getAccessToken',
      message: expect.stringContaining('iam.serviceAccounts.getAccessToken'),
    });
    await expect(failure).rejects.not.toMatchObject({ message: expect.stringContaining(HOST_TOKEN) });
  });

  it('repeats an attempt that failed on the way, and gives up when IAM Credentials stays away', async () => {
    const { agentId } = await newAgent('bot-a');
    const unavailable = { rpc: 'GenerateAccessToken', status: { code: 'UNAVAILABLE' } } as const;
    await using exchange = asHost({ impersonate: serviceAccount('bot-a') });
    {
      using _ = emulator.faults.add(unavailable);
      await expect(exchange.signMessage(agentId, message)).rejects.toThrow(UnavailableError);
    }
    using fault = emulator.faults.add({ ...unavailable, times: 1 });
    await exchange.signMessage(agentId, message);
    expect(fault.hits).toBe(1);
  });

  it('asks for a new token when Cloud KMS does not take the old one, once', async () => {
    const { agentId } = await newAgent('bot-a');
    await using exchange = asHost({ impersonate: serviceAccount('bot-a') });
    await exchange.signMessage(agentId, message);
    emulator.iam.revokeTokens(memberOf('bot-a'));
    const before = minted();
    await exchange.signMessage(agentId, message);
    expect(minted() - before).toBe(1);
    using _ = emulator.faults.add({ rpc: 'AsymmetricSign', status: { code: 'UNAUTHENTICATED' } });
    await expect(exchange.signMessage(agentId, message)).rejects.toThrow(UnauthenticatedError);
    expect(minted() - before).toBe(2);
  });

  it('says when its own credentials are missing or not accepted, before it asks Cloud KMS', async () => {
    await using guessing = asHost({ emulatorAccessToken: 'guessed', impersonate: serviceAccount('bot-a') });
    await expect(guessing.listAgents()).rejects.toThrow(UnauthenticatedError);
    await using kms = new KMSClient({
      ...KEY_RING,
      credentialsPath: '/nowhere.json',
      iamCredentialsEndpoint: 'localhost:1',
      impersonate: serviceAccount('bot-a'),
      logger: silentLogger,
    });
    await expect(kms.listKeys()).rejects.toThrow(/\/nowhere\.json/);
  });

  it('leaves calls to the connection that nobody is named for', async () => {
    await using open = await startTestEmulator();
    await using kms = new KMSClient({ ...clientConfig(open), impersonateKeys: () => undefined });
    await kms.initialize();
    expect(open.requests.entries.some(({ metadata }) => metadata.has('authorization'))).toBe(false);
    expect(kms.stats()).toMatchObject({ connection: { channelsOpen: 1 } });
  });

  it('needs no credentials on the connection that its calls take', async () => {
    const connection = new KmsConnection({
      endpoint: { kind: 'cloud', apiEndpoint: 'localhost:1', credentialsPath: '/nowhere.json' },
      channels: { count: 1, maxConcurrentCalls: 1 },
      clock: systemClock,
      attemptMs: 1_000,
      identity: 'call',
    });
    await connection.open();
    expect(connection.isOpen).toBe(true);
    await connection.close();
  });

  it('has no other token in place of one that it was given', async () => {
    await using exchange = newExchange(emulator, { emulatorAccessToken: 'guessed' });
    emulator.requests.clear();
    await expect(exchange.listAgents()).rejects.toThrow(UnauthenticatedError);
    expect(emulator.requests.count()).toBe(1);
  });
});

describe('a token', () => {
  const identity = serviceAccount('bot-a');
  /** A client whose clock is not the emulator's: it may be ahead or behind. */
  const withClock = (own: ManualClock) => asHost({ impersonate: identity, clock: own, deadlines: UNHURRIED });

  it('is renewed ahead of its end, in the background', async () => {
    const { agentId } = await newAgent('bot-a');
    const own = new ManualClock(clock.now());
    await using exchange = withClock(own);
    await exchange.signMessage(agentId, message);
    const before = minted();
    own.advance(54 * 60_000);
    await exchange.signMessage(agentId, message);
    expect(minted() - before).toBe(0);
    own.advance(2 * 60_000);
    await exchange.signMessage(agentId, message);
    await expect.poll(() => minted() - before).toBe(1);
  });

  it('at hand is used to its end when it cannot be renewed, and not after it', async () => {
    const { agentId } = await newAgent('bot-a');
    const own = new ManualClock(clock.now());
    await using exchange = withClock(own);
    await exchange.signMessage(agentId, message);
    own.advance(56 * 60_000);
    using _ = emulator.faults.add({ rpc: 'GenerateAccessToken', status: { code: 'PERMISSION_DENIED' } });
    await exchange.signMessage(agentId, message);
    own.advance(4 * 60_000);
    await expect(exchange.signMessage(agentId, message)).rejects.toThrow(ImpersonationError);
  });

  it.each([
    ['a day ahead', 86_400_000],
    ['a day behind', -86_400_000],
  ])('is used by a process whose clock is %s', async (_, skewMs) => {
    const { agentId } = await newAgent('bot-a');
    await using exchange = withClock(new ManualClock(clock.now() + skewMs));
    const before = minted();
    await exchange.signMessage(agentId, message);
    await exchange.signMessage(agentId, message);
    expect(minted() - before).toBe(1);
  });
});

describe('impersonateAgents', () => {
  const identities = (a: string, b: string) => ({
    [a]: serviceAccount('bot-a'),
    [b]: serviceAccount('bot-b'),
  });

  it("signs as each agent's own service account, over one connection, and looks keys up as the process", async () => {
    const [a, b] = [await newAgent('bot-a'), await newAgent('bot-b')];
    for (const { agentId } of [a, b])
      await owner.grantAgentAccess(agentId, memberOf('host'), 'roles/cloudkms.viewer');
    await using exchange = asHost({ impersonateAgents: identities(a.agentId, b.agentId) });
    for (const { agentId } of [a, b]) await exchange.signMessage(agentId, message);
    await exchange.idle();
    expect(exchange.stats()).toBeDefined();
    const tokens = emulator.requests.entries
      .filter(({ rpc }) => rpc === 'AsymmetricSign')
      .slice(-2)
      .map(({ metadata }) => metadata.get('authorization'));
    expect(new Set(tokens).size).toBe(2);
    expect(tokens).not.toContain(`Bearer ${HOST_TOKEN}`);
    const looked = emulator.requests.entries.findLast(({ rpc }) => rpc === 'GetCryptoKey');
    expect(looked?.metadata.get('authorization')).toBe(`Bearer ${HOST_TOKEN}`);
  });

  it("agent A's identity cannot use agent B's key", async () => {
    const [a, b] = [await newAgent('bot-a'), await newAgent('bot-b')];
    await owner.grantAgentAccess(b.agentId, memberOf('host'), 'roles/cloudkms.viewer');
    await using crossed = asHost({ impersonateAgents: { [b.agentId]: serviceAccount('bot-a') } });
    await expect(crossed.signMessage(b.agentId, message)).rejects.toThrow(PermissionDeniedError);
    await using kms = new KMSClient({
      ...clientConfig(emulator),
      emulatorAccessToken: HOST_TOKEN,
      impersonateKeys: () => serviceAccount('bot-a'),
    });
    await expect(kms.sign(`${b.keyName}/cryptoKeyVersions/1`, message)).rejects.toThrow(
      PermissionDeniedError,
    );
    await expect(kms.sign(b.keyName, message)).rejects.toThrow(PermissionDeniedError);
    expect(a.keyName).not.toBe(b.keyName);
  });

  it('decrypts as the agent what was encrypted to it', async () => {
    const { agentId } = await newAgent('bot-a', 'both');
    await owner.grantAgentAccess(agentId, memberOf('bot-a'), 'roles/cloudkms.cryptoKeyDecrypter', {
      key: 'encryption',
    });
    for (const role of ['roles/cloudkms.viewer', 'roles/cloudkms.publicKeyViewer'])
      await owner.grantAgentAccess(agentId, memberOf('host'), role, { key: 'encryption' });
    await using exchange = asHost({ impersonateAgents: () => serviceAccount('bot-a') });
    const jwe = await exchange.encryptForAgent(agentId, message);
    expect(await exchange.decryptAsAgent(agentId, jwe)).toEqual(message);
    await using plain = asHost();
    await expect(plain.decryptAsAgent(agentId, jwe)).rejects.toThrow(PermissionDeniedError);
  });

  it('refuses a service account that is none when the key is used', async () => {
    const { agentId } = await newAgent('bot-a');
    await owner.grantAgentAccess(agentId, memberOf('host'), 'roles/cloudkms.viewer');
    await using exchange = asHost({ impersonateAgents: () => 'nobody' });
    await expect(exchange.signMessage(agentId, message)).rejects.toThrow(InvalidArgumentError);
  });
});

describe('AgentIdentities', () => {
  const long = 'an agent / with an id that a key cannot be named after';
  const parsed = parseAgentId(long);
  const hashed = parsed.ok ? agentKeyId(parsed.value, 'signing') : '';

  it('knows the agents of a map by all their keys, and nobody else', () => {
    const identities = new AgentIdentities({ [long]: 'a@b.c', bot: 'd@e.f', '': 'x@y.z' }, 10);
    expect(identities.identityOf(hashed)).toBe('a@b.c');
    expect(identities.identityOf('agent-bot-encryption-key')).toBe('d@e.f');
    expect(identities.identityOf('agent-other-signing-key')).toBeUndefined();
    expect(identities.identityOf(hashed.replace(/_.{4}/, '_aaaa'))).toBeUndefined();
    expect(identities.identityOf('a2a-kek')).toBeUndefined();
  });

  it('asks a function for ids it can read or has seen, and does not guess', () => {
    const identities = new AgentIdentities((agentId) => `${agentId.length}@b.c`, 10);
    expect(identities.identityOf('agent-bot-signing-key')).toBe('3@b.c');
    expect(() => identities.identityOf(hashed)).toThrow(InvalidArgumentError);
    identities.note(long);
    expect(identities.identityOf(hashed)).toBe(`${long.length}@b.c`);
    expect(identities.identityOf('a2a-kek')).toBeUndefined();
  });
});

describe('the configuration', () => {
  it.each([
    [7, 'must be the email'],
    ['nobody', 'serviceAccount must be'],
    [{ serviceAccount: 'a@b.c', delegates: ['x'] }, 'delegates'],
    [{ serviceAccount: 'a@b.c', lifetimeSeconds: 3_601 }, 'lifetimeSeconds'],
    [{ serviceAccount: 'a@b.c', scope: 'x' }, 'scope is not an option'],
  ])('refuses to act as %j', (input, problem) => {
    expect(parseImpersonation(input)).toMatchObject({ ok: false, problem: expect.stringContaining(problem) });
  });

  const problemsOf = (config: object): string[] => {
    try {
      newExchange(emulator, config);
    } catch (error) {
      if (error instanceof InvalidConfigError) return error.problems.map(({ field }) => field);
      throw error;
    }
    return [];
  };

  it('takes no option without use', () => {
    const software = { enableHsmKeys: false, useSoftwareKeys: true, softwareKeyStore: { type: 'memory' } };
    expect(problemsOf({ ...software, impersonate: 'a@b.c' })).toEqual(['impersonate']);
    expect(problemsOf({ ...software, impersonateAgents: {} })).toEqual(['impersonateAgents']);
    expect(problemsOf({ iamCredentialsEndpoint: 'iam.example' })).toEqual(['iamCredentialsEndpoint']);
    expect(
      problemsOf({ impersonate: 'nobody', impersonateAgents: { a: 'b' }, accessRoles: { signer: 'x' } }),
    ).toEqual(['impersonate', 'accessRoles.signer', 'impersonateAgents.a']);
    expect(() => new KMSClient({ ...KEY_RING, emulatorAccessToken: 'x' })).toThrow(/emulatorAccessToken/);
  });
});
