/** What preflight says a task needs is what it takes: with exactly that the work is done, and without any of it, it fails. */

import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Need, needsOf, type PreflightTask, TASKS } from '../../src/access/preflight-needs.js';
import { EMULATOR_ATTESTATION_ROOTS, type KmsEmulator, ManualClock } from '../../src/emulator/index.js';
import {
  type A2AKeyExchange,
  type A2AKeyExchangeConfig,
  KMSClient,
  signCompactJws,
} from '../../src/index.js';
import { newExchange, officialClient } from '../support/emulator.js';
import { memberOf, OWNER_TOKEN, PROJECT, startEnforcingEmulator, withToken } from '../support/iam.js';
import { MemoryPublicKeyArchive } from '../support/memory-archive.js';

const message = Buffer.from('pay 10 EUR to alice');
/** A custom role for each permission, so that one can be left out. */
const roleOf = (permission: string): string =>
  `projects/${PROJECT}/roles/only_${permission.replaceAll('.', '_')}`;
const permissions = [...new Set(needsOf(TASKS).map(({ permission }) => permission))];

interface Service {
  readonly emulator: KmsEmulator;
  readonly official: ReturnType<typeof officialClient>;
}
const services = new Map<'fast' | 'slow', Service>();
beforeAll(async () => {
  const roles = Object.fromEntries(permissions.map((permission) => [roleOf(permission), [permission]]));
  // In the slow one a key is made when somebody asks whether it is.
  const clock = new ManualClock(Date.now());
  for (const [generation, options] of [
    ['fast', { hsmGenerationMs: 5 }],
    ['slow', { hsmGenerationMs: 1_000, clock }],
  ] as const) {
    const started = await startEnforcingEmulator({ roles }, options);
    services.set(generation, { emulator: started, official: officialClient(started) });
  }
  services.get('slow')?.emulator.faults.add({
    rpc: 'GetCryptoKeyVersion',
    when: () => {
      clock.advance(1_000);
      return false;
    },
  });
});
afterAll(async () => {
  for (const service of services.values()) {
    await service.official.close();
    await service.emulator.close();
  }
});

let count = 0;
/** A key ring, its owner, and an identity that has nothing yet. */
class World implements AsyncDisposable {
  readonly service: Service;
  readonly number = ++count;
  readonly keyRingId: string;
  readonly ring: string;
  readonly member = memberOf(`worker-${this.number}`);
  readonly owner: A2AKeyExchange;
  readonly #config: Partial<A2AKeyExchangeConfig>;

  constructor(service: Service, { config, keyRingId }: Work) {
    this.service = service;
    this.keyRingId = keyRingId ?? `ring-${this.number}`;
    this.ring = `projects/${PROJECT}/locations/global/keyRings/${this.keyRingId}`;
    this.#config = {
      defaultAlgorithm: 'ecdsa-p256',
      publicKeyArchive: new MemoryPublicKeyArchive(),
      ...config,
    };
    this.owner = this.as(OWNER_TOKEN, {
      audit: undefined,
      requireAttestation: undefined,
      unboundAttestation: undefined,
    });
  }

  as(emulatorAccessToken: string, rest: Partial<A2AKeyExchangeConfig> = {}): A2AKeyExchange {
    const { keyRingId } = this;
    return newExchange(this.service.emulator, { ...this.#config, keyRingId, emulatorAccessToken, ...rest });
  }

  /** Grants what is needed, each where it is needed (on the key ring, where the key is not there yet), but for one. */
  async grant(needs: readonly Need[], left: Need | undefined): Promise<void> {
    const keys = (await this.owner.keys.listKeys()).map(({ name }) => name);
    const resourcesOf = ({ scope }: Need): readonly string[] => {
      if (scope === 'key-ring') return [this.ring];
      const found = keys.filter((name) =>
        scope === 'agents' ? name.includes('/agent-') : name.endsWith(`/${scope.keyId}`),
      );
      return found.length > 0 ? found : [this.ring];
    };
    const roles = new Map<string, Set<string>>();
    for (const need of needs)
      for (const resource of resourcesOf(need))
        roles.set(resource, (roles.get(resource) ?? new Set()).add(roleOf(need.permission)));
    for (const resource of left === undefined ? [] : resourcesOf(left))
      roles.get(resource)?.delete(roleOf(left?.permission ?? ''));
    for (const [resource, held] of roles) {
      const bindings = [...held].map((role) => ({ role, members: [this.member] }));
      const request = JSON.parse(JSON.stringify({ resource, policy: { bindings } }));
      await this.service.official.setIamPolicy(request, withToken(OWNER_TOKEN));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.owner.close();
  }
}

interface Work {
  readonly name: string;
  readonly tasks: readonly PreflightTask[];
  readonly config?: Partial<A2AKeyExchangeConfig>;
  /** A key ring for all of it, because some of it takes long to make. */
  readonly keyRingId?: string;
  /** How long the HSM takes to make a key: `slow` where it has to be waited for. Default `fast`. */
  readonly generation?: 'fast' | 'slow';
  /** Which of the needs show in this work. Default: all. */
  readonly shows?: (need: Need) => boolean;
  prepare?(world: World): Promise<unknown>;
  run(exchange: A2AKeyExchange, world: World): Promise<unknown>;
}

const clientOf = ({ keys }: A2AKeyExchange): KMSClient => {
  if (keys instanceof KMSClient) return keys;
  throw new Error('the keys are not in Cloud KMS');
};
const BOT = 'agent-bot-signing-key';
const withAgent = ({ owner }: World) => owner.generateAgentKey('bot');

const newPkcs8 = (): Buffer =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'der' });
const imported = (name: string) =>
  ({ name, purpose: 'ASYMMETRIC_SIGN', algorithm: 'EC_SIGN_P256_SHA256', protectionLevel: 'HSM' }) as const;

/** A key whose import failed. */
async function withFailedImport({ owner, ring, number, service: { official } }: World): Promise<void> {
  await clientOf(owner).importKey(imported(`before-${number}`), newPkcs8());
  const { purpose, algorithm, protectionLevel } = imported('failed');
  const cryptoKeyId = `failed-${number}`;
  const cryptoKey = { purpose, versionTemplate: { algorithm, protectionLevel } };
  const key = { parent: ring, cryptoKeyId, cryptoKey, skipInitialVersionCreation: true };
  await official.createCryptoKey(key, withToken(OWNER_TOKEN));
  const [[job]] = await official.listImportJobs({ parent: ring }, withToken(OWNER_TOKEN));
  const parent = `${ring}/cryptoKeys/${cryptoKeyId}`;
  const version = { parent, algorithm, importJob: job?.name ?? '', wrappedKey: Buffer.alloc(440) };
  await official.importCryptoKeyVersion(version, withToken(OWNER_TOKEN));
}

async function withMasters({ owner }: World): Promise<void> {
  await owner.initialize();
  await owner.generateAgentKey('bot');
}

async function useMasters(exchange: A2AKeyExchange): Promise<void> {
  await exchange.hierarchy.endorseAgentKey('bot');
  await using cipher = exchange.envelope();
  const ciphertext = await cipher.encrypt(message, Buffer.alloc(0));
  await using other = exchange.envelope();
  await other.decrypt(ciphertext, Buffer.alloc(0));
}

const audit = { sink: { write: () => undefined }, failClosed: true };
const attested = { requireAttestation: true, attestationRoots: EMULATOR_ATTESTATION_ROOTS };
const isWaiting = ({ permission }: Need): boolean => permission === 'cloudkms.cryptoKeyVersions.get';
const ofOwnKeys = ({ task, scope }: Need): boolean => task === 'attest' && scope !== 'agents';

const works: readonly Work[] = [
  { name: 'initialize', tasks: ['initialize'], run: (exchange) => exchange.initialize() },
  {
    name: 'sign',
    tasks: ['sign'],
    prepare: withAgent,
    run: (exchange) => exchange.signMessage('bot', message),
  },
  {
    name: 'receipts',
    tasks: ['batch'],
    prepare: withAgent,
    run: (exchange) => exchange.signBatch('bot', [message]),
  },
  {
    name: 'JWS',
    tasks: ['batch'],
    prepare: withAgent,
    run: (exchange) => signCompactJws(exchange.keys, BOT, message),
  },
  {
    name: 'verify',
    tasks: ['verify'],
    prepare: withAgent,
    run: (exchange) => exchange.verifyMessage('bot', message, Buffer.alloc(70)),
  },
  {
    name: 'create, also where a generation failed',
    tasks: ['create'],
    prepare: async ({ owner, service: { emulator } }) => {
      emulator.failGeneration('no entropy');
      await expect(owner.generateAgentKey('failed')).rejects.toMatchObject({ code: 'KEY_GENERATION_FAILED' });
      emulator.failGeneration(undefined);
    },
    run: async (exchange) => {
      await exchange.generateAgentKey('new');
      await exchange.generateAgentKey('failed');
    },
  },
  {
    name: 'wait for a new version',
    tasks: ['rotate'],
    generation: 'slow',
    prepare: withAgent,
    shows: isWaiting,
    run: (exchange) => exchange.rotateAgentKey('bot'),
  },
  {
    name: 'wait for the master keys',
    tasks: ['initialize', 'masters'],
    generation: 'slow',
    config: { hierarchy: {} },
    shows: isWaiting,
    run: (exchange) => exchange.initialize(),
  },
  {
    name: 'wait for the audit key',
    tasks: ['initialize', 'audit'],
    generation: 'slow',
    config: { audit },
    shows: isWaiting,
    run: (exchange) => exchange.initialize(),
  },
  {
    name: 'rotate and retire',
    tasks: ['rotate'],
    shows: (need) => !isWaiting(need),
    prepare: async (world) => {
      await withAgent(world);
      await world.owner.rotateAgentKey('bot');
    },
    run: async (exchange) => {
      await exchange.rotateDueKeys();
      await exchange.rotateAgentKey('bot');
      await clientOf(exchange).retire(BOT, { graceSeconds: 0, retireAfterSeconds: 0 });
    },
  },
  {
    name: 'destroy and restore',
    tasks: ['destroy'],
    prepare: withAgent,
    run: async (exchange) => {
      const { versions } = await exchange.destroyAgent('bot');
      for (const version of versions) if (version.outcome === 'failed') throw new Error(version.reason);
      await exchange.restoreAgent('bot');
    },
  },
  {
    name: 'make an import job',
    tasks: ['import'],
    shows: ({ permission }) => permission.endsWith('importJobs.create'),
    run: (exchange) => clientOf(exchange).importKey(imported('first'), newPkcs8()),
  },
  {
    name: 'import, also where an import failed',
    tasks: ['import'],
    keyRingId: 'imports',
    shows: ({ permission }) => !permission.endsWith('importJobs.create'),
    prepare: withFailedImport,
    run: async (exchange, { number }) => {
      await clientOf(exchange).importKey(imported(`new-${number}`), newPkcs8());
      await clientOf(exchange).importKey(imported(`failed-${number}`), newPkcs8());
    },
  },
  {
    name: 'make the master keys',
    tasks: ['initialize', 'masters'],
    config: { hierarchy: {} },
    shows: ({ permission, scope }) =>
      scope !== 'agents' && !/useTo|viewPublicKey|cryptoKeyVersions\.get/.test(permission),
    run: (exchange) => exchange.initialize(),
  },
  {
    name: 'use the master keys',
    tasks: ['masters'],
    config: { hierarchy: {} },
    prepare: withMasters,
    shows: ({ permission, scope }) =>
      scope !== 'key-ring' && !/cryptoKeys\.update|cryptoKeyVersions\.get/.test(permission),
    run: useMasters,
  },
  {
    name: 'use the master keys with attestation',
    tasks: ['masters', 'attest'],
    config: { hierarchy: {}, ...attested, unboundAttestation: 'accepted' },
    prepare: withMasters,
    shows: ofOwnKeys,
    run: useMasters,
  },
  {
    name: 'audit',
    tasks: ['initialize', 'audit'],
    config: { audit },
    shows: (need) => !isWaiting(need),
    run: (exchange) => exchange.initialize(),
  },
  {
    name: 'audit with attestation',
    tasks: ['initialize', 'audit', 'attest'],
    config: { audit, ...attested },
    shows: ofOwnKeys,
    run: (exchange) => exchange.initialize(),
  },
  {
    name: 'attest',
    tasks: ['attest'],
    prepare: withAgent,
    run: (exchange) => clientOf(exchange).attestKey(BOT),
  },
  {
    name: 'sign with attestation',
    tasks: ['sign', 'attest'],
    config: attested,
    prepare: withAgent,
    run: (exchange) => exchange.signMessage('bot', message),
  },
  {
    name: 'grant access',
    tasks: ['access'],
    prepare: withAgent,
    run: (exchange) => exchange.grantAgentAccess('bot', memberOf('other'), 'roles/cloudkms.signer'),
  },
];

/** Of an import the error names one permission of several. The audit trail says that it cannot sign, and the log why. */
const refusalOf = ({ tasks }: Work, { permission }: Need): RegExp => {
  if (tasks.includes('audit')) return /permission \S+ is missing|no checkpoint can be signed/;
  return tasks.includes('import')
    ? /permission \S+ is missing/
    : new RegExp(`permission ${permission} is missing`);
};

const shown = ({ tasks, shows = () => true }: Work): readonly Need[] => needsOf(tasks).filter(shows);

describe.each(works)('$name', (work) => {
  const attempt = async (left?: Need): Promise<void> => {
    const service = services.get(work.generation ?? 'fast');
    if (service === undefined) throw new Error('it has not started');
    await using world = new World(service, work);
    await world.owner.keys.initialize();
    await work.prepare?.(world);
    await world.grant(needsOf(work.tasks), left);
    await using exchange = world.as(service.emulator.iam.issueToken(world.member));
    await work.run(exchange, world);
  };

  it('is done with exactly what it needs', () => attempt());

  it.each(shown(work).map((need) => [need.permission, JSON.stringify(need.scope), need] as const))(
    'fails without %s on %s',
    async (_permission, _scope, left) => {
      await expect(attempt(left)).rejects.toThrow(refusalOf(work, left));
    },
  );
});

it('each need of each task shows in one of these works', () => {
  const all = new Set(works.flatMap(shown));
  expect(needsOf(TASKS).filter((need) => !all.has(need))).toEqual([]);
});
