/**
 * The whole life of an agent's key in one run against an emulator whose clock this program moves: two-phase rotation, a
 * schedule, the way back, retirement, destruction and restore, the archive, and agents that nobody uses any more.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { A2AKeyExchange, type Clock, exportJwkSet, FilePublicKeyArchive, importJwkSet } from 'a2a-kms';
import { ManualClock, startKmsEmulator } from 'a2a-kms/emulator';

const AGENT = 'invoice-bot';
const DAY = 86_400;
const message = Buffer.from('pay 10 EUR to alice');
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

// The calendar is moved by this program; deadlines pass in real time.
const calendar = new ManualClock();
const startedAt = performance.now();
const clock: Clock = {
  now: () => calendar.now() + (performance.now() - startedAt),
  monotonic: () => Math.floor(performance.now()),
  setTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
const days = (count: number): void => calendar.advance(count * DAY * 1_000);

const directory = await mkdtemp(join(tmpdir(), 'public-keys-'));
const publicKeyArchive = new FilePublicKeyArchive({ directory: join(directory, 'archive') });
const emulator = await startKmsEmulator({ clock, logger: quiet });
const exchange = new A2AKeyExchange({
  projectId: 'demo-project',
  locationId: 'europe-west3',
  keyRingId: 'agents',
  emulatorHost: emulator.endpoint,
  publicKeyArchive,
  clock,
  logger: quiet,
});

const number = (name: string | undefined): string => name?.split('/').at(-1) ?? 'none';
const say = (line: string): void => console.log(`  ${line}`);
const title = (text: string): void => console.log(`\n${text}`);

async function show(): Promise<void> {
  const { versions } = await exchange.describeAgent(AGENT);
  for (const { version, state, lifecycle } of versions)
    say(`version ${version}  ${state.padEnd(18)}${lifecycle}`);
}

function expect(condition: boolean, problem: string): void {
  if (!condition) throw new Error(problem);
}

try {
  await exchange.initialize();

  title('1. A key with its policy');
  await exchange.generateAgentKey(AGENT, {
    rotationPolicy: {
      rotateAfterSeconds: 30 * DAY,
      prepareAheadSeconds: 2 * DAY,
      graceSeconds: 7 * DAY,
      retireAfterSeconds: 90 * DAY,
    },
  });
  const first = await exchange.signMessageDetailed(AGENT, message);
  say(`policy ${(await exchange.describeAgent(AGENT)).labels['a2a-policy']}`);
  await show();

  title('2. Two-phase rotation');
  const prepared = await exchange.prepareAgentRotation(AGENT);
  say(`prepared version ${number(prepared.prepared)}, in use version ${number(prepared.primary)}`);
  for (const { keyVersion, lifecycle } of await exchange.getPublicKeys(AGENT))
    say(`published version ${number(keyVersion)}, ${lifecycle}`);
  const activated = await exchange.activateAgentRotation(AGENT);
  say(`in use version ${number(activated.primary)}`);
  await show();

  title('3. Roll back');
  const back = await exchange.setAgentPrimaryVersion(AGENT, 1);
  say(`in use version ${number(back.primary)}`);
  await show();
  await exchange.setAgentPrimaryVersion(AGENT, 2);

  title('4. The scheduled run, day by day');
  for (const [count, label] of [
    [7, 'day 7'],
    [21, 'day 28'],
    [2, 'day 30'],
  ] as const) {
    days(count);
    const { rotated, prepared: made, notDue, failed, keys } = await exchange.rotateDueKeys();
    const disabled = keys.flatMap(({ retirement }) => retirement?.disabled ?? []).map(number);
    say(
      `${label.padEnd(7)} rotated ${rotated}, prepared ${made}, not due ${notDue}, failed ${failed}, disabled ${disabled.join() || 'none'}`,
    );
  }
  await show();

  title('5. Another algorithm');
  const moved = await exchange.rotateAgentKey(AGENT, { algorithm: 'EC_SIGN_P256_SHA256' });
  say(`in use version ${number(moved.primary)}, ${moved.algorithm}`);
  const old = await exchange.verifyMessage(AGENT, message, first.signature, { keyVersion: first.keyVersion });
  expect(old, 'an old signature was refused');
  say('the signature by version 1, which is disabled, is valid');

  title('6. Destroy, and back');
  const { failed, versions } = await exchange.destroyAgent(AGENT, { destroyAfter: 30 * DAY });
  expect(failed === 0, 'a version of the agent is left');
  for (const version of versions) {
    const when = version.outcome === 'scheduled' ? version.destroyTime.toISOString().slice(0, 10) : '';
    say(`version ${number(version.keyVersion)} ${version.outcome} ${when}`);
  }
  const [restored] = await exchange.restoreAgent(AGENT);
  say(`restored, in use version ${number(restored?.primary)}`);
  await show();

  title('7. The archive');
  const set = await exportJwkSet(publicKeyArchive);
  const copy = new FilePublicKeyArchive({ directory: join(directory, 'copy') });
  say(`exported ${set.keys.length} keys, imported ${await importJwkSet(copy, set)}`);

  title('8. Agents that nobody uses');
  days(120);
  const tell = async (dryRun: boolean): Promise<void> => {
    for (const { agentId, lastSeen, outcome } of await exchange.pruneStaleAgents({
      unusedFor: 90 * DAY,
      dryRun,
    }))
      say(`${agentId} last seen before ${lastSeen.toISOString().slice(0, 10)}: ${outcome}`);
  };
  await tell(true);
  await tell(false);
  days(7);
  await tell(false);

  console.log('\nAll of it worked.');
} finally {
  await exchange.close();
  await emulator.close();
  await rm(directory, { recursive: true, force: true });
}
