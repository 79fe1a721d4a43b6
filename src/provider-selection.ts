/**
 * Which provider of keys a configuration asks for. The configuration alone decides: no failure has a software key sign or
 * encrypt in the place of the HSM.
 */

import type { Clock } from './clock.js';
import type { KeySource } from './config/flags.js';
import type { KMSConfig } from './config/kms-config.js';
import type { ReplicaConfig } from './config/replication-config.js';
import { resolveStoreConfig, type SoftwareKeyStoreConfig } from './config/software-config.js';
import { InvalidConfigError } from './errors/input.js';
import type { SigningAlgorithm } from './keys/algorithm-types.js';
import type { CallOptions } from './keys/call-options.js';
import type { KeyProvider } from './keys/key-provider.js';
import { cryptoKeyName, keyRingName } from './keys/resource-name.js';
import { attestationFailed } from './kms/attestation.js';
import { KMSClient } from './kms/kms-client.js';
import type { Logger } from './logger.js';
import { AgentMigration, type AgentMigrationOptions } from './migration/agent-migration.js';
import { ArchivedKeys } from './migration/archived-keys.js';
import { KeyRouter, type Providers } from './migration/key-router.js';
import type { KeyImporter, MigrationServices } from './migration/migrate-key.js';
import { MigratingKeyProvider } from './migration/migrating-key-provider.js';
import { phaseCheck, type StoreLook } from './migration/phase-check.js';
import { listLeftKeys } from './migration/remains.js';
import { SoftwareArchive } from './migration/software-archive.js';
import { SoftwareKeys } from './migration/software-keys.js';
import { Location } from './replication/location.js';
import { ReplicatedKeyProvider } from './replication/replicated-key-provider.js';
import type { SoftwareKeyProvider } from './software/software-key-provider.js';
import { storeExists } from './software/store/store-directory.js';
import { type KeyUseWatch, WatchedKMSClient, WatchedSoftwareKeyProvider } from './watched-providers.js';

/** A provider that was opened, whatever stands in front of it. */
export type OpenedProvider = KMSClient | SoftwareKeyProvider;

/** One client for each key ring, or the client of the only one. */
function replicated(
  config: KMSConfig,
  { replicas, replication, clock, logger, operationMs }: KeySelection['agents'],
  watch: KeyUseWatch,
): { readonly keys: KeyProvider; readonly sources: readonly OpenedProvider[] } {
  if (replicas.length === 0) {
    const keys = new WatchedKMSClient(config, watch);
    return { keys, sources: [keys] };
  }
  requirePinnedInRings(config, replicas);
  const sources: OpenedProvider[] = [];
  const locate = (own: KMSConfig): Location => {
    const keyRing = keyRingName(own);
    const pinnedVersions = config.pinnedVersions?.filter(({ name }) => name.startsWith(`${keyRing}/`));
    const provider = new WatchedKMSClient({ ...own, pinnedVersions }, watch);
    sources.push(provider);
    return new Location({ keyRing, provider, ...replication, logger });
  };
  const { apiEndpoint: _, emulatorHost, ...common } = config;
  const keys = new ReplicatedKeyProvider({
    locations: [
      locate(config),
      ...replicas.map((replica) =>
        locate({ ...common, ...replica, emulatorHost: replica.emulatorHost ?? emulatorHost }),
      ),
    ],
    clock,
    operationMs,
  });
  return { keys, sources };
}

/** Each client gets the pinned versions of its own key ring, so one of none of them would go unnoticed. */
function requirePinnedInRings(config: KMSConfig, replicas: readonly ReplicaConfig[]): void {
  const { projectId } = config;
  const rings = [config, ...replicas.map((replica) => ({ projectId, ...replica }))].map(keyRingName);
  const strays = (config.pinnedVersions ?? []).flatMap(({ name }, index) =>
    rings.some((ring) => name.startsWith(`${ring}/`))
      ? []
      : [
          {
            field: `pinnedVersions.${index}.name`,
            problem: 'is not the full name of a version in a key ring named here',
          },
        ],
  );
  if (strays.length > 0) throw new InvalidConfigError(strays);
}

interface KeySelection {
  readonly kms: KMSConfig;
  readonly source: KeySource<SoftwareKeyStoreConfig>;
  readonly watch: KeyUseWatch;
  readonly agents: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly operationMs: number;
    readonly maxCachedAgents: number;
    readonly defaultAlgorithm: { readonly name: SigningAlgorithm };
    readonly replicas: readonly ReplicaConfig[];
    readonly replication: { readonly failureThreshold: number; readonly halfOpenAfterMs: number };
  };
}

/** The provider that the flags and the phase of a migration ask for, and what migrates agents where both kinds are open. */
export function selectKeys({ kms, source, agents, watch }: KeySelection): {
  readonly keys: KeyProvider;
  readonly migration: AgentMigration;
  /** All providers that were opened. */
  readonly sources: readonly OpenedProvider[];
} {
  if (source.kind === 'hsm') {
    return {
      ...replicated(kms, agents, watch),
      migration: new AgentMigration({ services: undefined, source }),
    };
  }
  const { clock, logger, maxCachedAgents, defaultAlgorithm } = agents;
  const { publicKeyArchive: archive } = kms;
  const softwareProvider = (store: SoftwareKeyStoreConfig): SoftwareKeyProvider => {
    const { projectId, locationId, keyRingId, observers, telemetry } = kms;
    const publicKeyArchive = archive && new SoftwareArchive(archive);
    const common = { projectId, locationId, keyRingId, publicKeyArchive, logger, clock };
    return new WatchedSoftwareKeyProvider(
      { ...common, observers, telemetry, softwareKeyStore: store },
      watch,
    );
  };
  const sources: OpenedProvider[] = [];
  const counted = <T extends OpenedProvider>(provider: T): T => {
    sources.push(provider);
    return provider;
  };
  const hsmKeys = source.kind === 'software' ? source.hsmKeys : 'used';
  const providers = openProviders(source, {
    openStore: (store) => new SoftwareKeys(counted(softwareProvider(store))),
    openHsm: () => counted(new WatchedKMSClient(kms, watch)),
  });
  // Two keys for each agent, and versions of each.
  const maxVersions = 8 * maxCachedAgents;
  const archived = archive && new ArchivedKeys({ archive, clock, maxVersions });
  const unopened = providers.software === undefined ? source.store : undefined;
  const look = lookInto(unopened, (store) => new SoftwareKeys(softwareProvider(store)));
  const { NODE_ENV: nodeEnv } = process.env;
  const keyRing = keyRingName(kms);
  const observers = kms.observers ?? [];
  const keys = new MigratingKeyProvider({
    router: new KeyRouter(providers),
    keyRing,
    archived,
    hsmKeys,
    defaultAlgorithm: defaultAlgorithm.name,
    requiresAttestation: kms.requireAttestation ?? false,
    phaseCheck: phaseCheck({ providers, keyRing, look, logger, observers, nodeEnv }),
  });
  const { hsm, software } = providers;
  const services: MigrationServices | undefined =
    hsm === undefined || software === undefined || archived === undefined
      ? undefined
      : {
          ...{ hsm, software, archived, defaultAlgorithm: defaultAlgorithm.name },
          importer: canImport(hsm) ? hsm : undefined,
          requireAttested: hsm instanceof KMSClient && kms.requireAttestation ? attestedBy(hsm) : undefined,
          now: () => clock.now(),
        };
  const archivedKeyName = async (keyId: string): Promise<string | undefined> => {
    if (hsmKeys !== 'switched-off' || archived === undefined) return undefined;
    const name = cryptoKeyName(keyRing, keyId);
    return (await archived.has(name, 'hsm')) ? name : undefined;
  };
  const migration = new AgentMigration({ services, source: withoutStore(source), archivedKeyName });
  return { keys, migration, sources };
}

/** The providers alone hold what opens a store, for as long as they need it. */
function withoutStore(source: KeySource<SoftwareKeyStoreConfig>): AgentMigrationOptions['source'] {
  if (source.kind !== 'migration') return { kind: source.kind };
  const { kind, phase, retentionDays, softwareKeys } = source;
  return { kind, phase, retentionDays, softwareKeys };
}

function openProviders(
  source: Exclude<KeySource<SoftwareKeyStoreConfig>, { kind: 'hsm' }>,
  open: {
    readonly openStore: (store: SoftwareKeyStoreConfig) => SoftwareKeys;
    readonly openHsm: () => KeyProvider;
  },
): Providers {
  if (source.kind === 'software') {
    return { hsm: undefined, software: open.openStore(source.store), phase: undefined };
  }
  const hsm = open.openHsm();
  const { phase, store } = source;
  if (phase === 4 || store === undefined) return { hsm, software: undefined, phase: 4 };
  return { hsm, software: open.openStore(store), phase };
}

/**
 * The look into a store that is not opened: what opens it is copied now, since the caller may wipe its own, and forgotten
 * afterwards. Where there is no database none is made.
 */
function lookInto(
  configured: SoftwareKeyStoreConfig | undefined,
  openStore: (store: SoftwareKeyStoreConfig) => SoftwareKeys,
): StoreLook {
  let store = configured?.type === 'file' ? withSecret(configured) : undefined;
  return {
    async leftKeys(options) {
      if (store === undefined) return [];
      if (!storeExists(store.path)) return undefined;
      const opened = openStore(store);
      try {
        return await listLeftKeys(opened, options);
      } finally {
        await opened.close();
      }
    },
    forget() {
      store?.key?.fill(0);
      store = undefined;
    },
  };
}

type FileStoreConfig = Extract<SoftwareKeyStoreConfig, { readonly type: 'file' }>;

/** With a copy of the secret, as far as there is one. What is wrong with it is said when the store is opened. */
function withSecret(store: FileStoreConfig): FileStoreConfig {
  const resolved = resolveStoreConfig(store, process.env);
  return resolved.ok && resolved.value.type === 'file'
    ? { type: 'file', path: store.path, ...resolved.value.secret }
    : store;
}

/** Of an agent's keys, none of which is symmetric. */
const attestedBy =
  (hsm: KMSClient) =>
  async (keyVersion: string, options: CallOptions): Promise<void> => {
    const attested = await hsm.attestKey(keyVersion, options);
    if (attested.verdict !== 'valid')
      throw attestationFailed({ operation: 'migrateAgent', resource: keyVersion }, attested);
  };

const canImport = (provider: KeyProvider): provider is KeyProvider & KeyImporter => 'importKey' in provider;
