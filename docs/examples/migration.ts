/**
 * A migration from software keys to HSM keys in one run: four phases, each a restart with other flags, and in the middle of
 * it the emergency rollback and the return. It talks to an emulator that it starts itself; the software store and the
 * archive of public keys are in a folder that is removed at the end.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  A2AKeyExchange,
  A2AKmsError,
  FilePublicKeyArchive,
  type MigrationPhase,
  verifyHandover,
} from 'a2a-kms';
import { startKmsEmulator } from 'a2a-kms/emulator';

const message = Buffer.from('pay 10 EUR to alice');
const folder = await mkdtemp(join(tmpdir(), 'a2a-kms-migration-'));
const emulator = await startKmsEmulator();
const publicKeyArchive = new FilePublicKeyArchive({ directory: join(folder, 'public-keys') });
process.env['A2A_SOFTWARE_KEY_STORE_PASSPHRASE'] = 'correct horse battery staple';

interface Flags {
  readonly hsm: 'true' | 'false';
  readonly software: 'true' | 'false';
  readonly phase?: MigrationPhase;
}

/** What a deployment does: one configuration, with the flags from the environment. */
function configured({ hsm, software, phase }: Flags): A2AKeyExchange {
  process.env['ENABLE_HSM_KEYS'] = hsm;
  process.env['USE_SOFTWARE_KEYS'] = software;
  return new A2AKeyExchange({
    projectId: 'demo-project',
    locationId: 'europe-west3',
    keyRingId: 'agents',
    emulatorHost: emulator.endpoint,
    defaultAlgorithm: 'ecdsa-p256',
    publicKeyArchive,
    softwareKeyStore: { type: 'file', path: join(folder, 'software-keys') },
    ...(phase && { migration: { phase } }),
    logger: { debug() {}, info() {}, warn() {}, error: console.error },
  });
}

async function restart(
  title: string,
  flags: Flags,
  run: (exchange: A2AKeyExchange) => Promise<void>,
): Promise<void> {
  const phase = flags.phase === undefined ? '' : `  migration.phase=${flags.phase}`;
  console.log(`\n${title}\n    ENABLE_HSM_KEYS=${flags.hsm}  USE_SOFTWARE_KEYS=${flags.software}${phase}`);
  await using exchange = configured(flags);
  await exchange.initialize();
  await run(exchange);
}

const tell = (what: string, outcome: string): void => console.log(`    ${what.padEnd(38)}${outcome}`);
const short = (keyVersion: string | undefined): string =>
  `version ${keyVersion?.split('/').at(-1) ?? 'none'}`;

async function sign(exchange: A2AKeyExchange, agentId: string): Promise<Buffer> {
  const { signature, protectionLevel, keyVersion } = await exchange.signMessageDetailed(agentId, message);
  tell(`${agentId} signs`, `${protectionLevel}, ${short(keyVersion)}`);
  return signature;
}

async function verify(
  exchange: A2AKeyExchange,
  title: string,
  agentId: string,
  signature: Buffer,
): Promise<void> {
  const valid = await exchange.verifyMessage(agentId, message, signature);
  if (!valid) throw new Error(`${title}: a signature of ${agentId} did not verify`);
  tell(`${title} of ${agentId}`, 'valid');
}

async function refused(what: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof A2AKmsError)) throw error;
    tell(what, error.code);
    console.log(`        ${error.message}`);
    return;
  }
  throw new Error(`${what} was not refused`);
}

const before = new Map<string, Buffer>();
let trustedKey: Buffer = Buffer.alloc(0);
let byHsm: Buffer = Buffer.alloc(0);

try {
  await restart('Before: software keys', { hsm: 'false', software: 'true' }, async (exchange) => {
    for (const agentId of ['invoice-bot', 'ledger-bot', 'late-bot']) {
      await exchange.generateAgentKey(agentId);
      before.set(agentId, await sign(exchange, agentId));
    }
    trustedKey = await exchange.getPublicKey('invoice-bot');
  });

  await restart(
    'Phase 1: new agents in the HSM',
    { hsm: 'true', software: 'true', phase: 1 },
    async (exchange) => {
      await exchange.generateAgentKey('new-bot');
      await sign(exchange, 'new-bot');
      await sign(exchange, 'invoice-bot');
    },
  );

  await restart(
    'Phase 2: agents are migrated',
    { hsm: 'true', software: 'true', phase: 2 },
    async (exchange) => {
      const plan = await exchange.migrateAllAgents({ strategy: 'regenerate', dryRun: true });
      tell('dry run', `${plan.wouldMigrate} to migrate, ${plan.failed} impossible`);
      const moved = await exchange.migrateAgent('invoice-bot', { strategy: 'regenerate' });
      const [key] = moved.keys;
      tell('invoice-bot, a new key', `${short(key?.from)} -> ${short(key?.to)}`);
      const handover = await verifyHandover(key?.handover ?? '', {
        agentId: 'invoice-bot',
        oldKey: trustedKey,
      });
      tell('a peer checks the handover offline', `the successor is ${handover.newThumbprint.slice(0, 12)}…`);
      const imported = await exchange.migrateAgent('ledger-bot', { strategy: 'import' });
      tell('ledger-bot, the same key', `${short(imported.keys[0]?.from)} -> ${short(imported.keys[0]?.to)}`);
      byHsm = await sign(exchange, 'invoice-bot');
      await sign(exchange, 'ledger-bot');
      await sign(exchange, 'late-bot');
      const { versions } = await exchange.describeAgent('ledger-bot');
      for (const version of versions) {
        const origin = version.importTime === undefined ? 'born there' : 'imported';
        tell(
          'ledger-bot has',
          `${version.provider}, ${version.protectionLevel}, ${version.lifecycle}, ${origin}`,
        );
      }
    },
  );

  await restart(
    'Rollback: the HSM is switched off',
    { hsm: 'false', software: 'true', phase: 2 },
    async (exchange) => {
      const bySoftware = await sign(exchange, 'invoice-bot');
      await verify(exchange, 'the HSM signature', 'invoice-bot', byHsm);
      await verify(exchange, 'the new signature', 'invoice-bot', bySoftware);
      before.set('invoice-bot in the rollback', bySoftware);
    },
  );

  await restart('Return, into phase 3', { hsm: 'true', software: 'false', phase: 3 }, async (exchange) => {
    await sign(exchange, 'invoice-bot');
    const inRollback = before.get('invoice-bot in the rollback') ?? Buffer.alloc(0);
    await verify(exchange, 'the rollback signature', 'invoice-bot', inRollback);
    await refused('late-bot signs', () => exchange.signMessage('late-bot', message));
  });

  await refused('phase 4 starts', () =>
    restart('Phase 4, too early', { hsm: 'true', software: 'false', phase: 4 }, async () => {}),
  );

  await restart('Phase 3 again: the rest', { hsm: 'true', software: 'false', phase: 3 }, async (exchange) => {
    const report = await exchange.migrateAllAgents({
      strategy: 'regenerate',
      onProgress: ({ done, total, latest }) =>
        tell(`${done} of ${total}`, `${latest.agentId} ${latest.outcome}`),
    });
    tell('report', `${report.migrated} migrated, ${report.alreadyMigrated} before, ${report.failed} failed`);
    for (const kept of await exchange.purgeMigratedKeys()) {
      const days = Math.round((kept.retainedUntil.getTime() - Date.now()) / 86_400_000);
      tell(`software key of ${kept.agentId}`, `${kept.outcome} for ${days} days`);
    }
  });

  await restart(
    'Phase 4: no software store',
    { hsm: 'true', software: 'false', phase: 4 },
    async (exchange) => {
      for (const agentId of ['invoice-bot', 'ledger-bot', 'late-bot']) {
        await sign(exchange, agentId);
        await verify(exchange, 'the first signature', agentId, before.get(agentId) ?? Buffer.alloc(0));
      }
    },
  );

  console.log('\nAll of it worked.\n');
} finally {
  await emulator.close();
  await rm(folder, { recursive: true, force: true });
}
