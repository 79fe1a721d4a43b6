/** Signing through the failure of a location and back, with two emulators that stand for two locations. */

import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { A2AKeyExchange } from 'a2a-kms';
import { startKmsEmulator } from 'a2a-kms/emulator';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const stateFile = join(tmpdir(), `a2a-kms-disaster-recovery-${process.pid}.json`);
const standby = await startKmsEmulator({ logger: quiet });
let first = await startKmsEmulator({ logger: quiet, stateFile });

await using exchange = new A2AKeyExchange({
  projectId: 'my-project',
  locationId: 'europe-west3',
  keyRingId: 'agents',
  emulatorHost: first.endpoint,
  replicas: [{ locationId: 'europe-west4', keyRingId: 'agents-standby', emulatorHost: standby.endpoint }],
  replication: { failureThreshold: 3, halfOpenAfterMs: 100 },
  retry: { maxAttempts: 2, initialDelayMs: 10 },
  logger: quiet,
});
const message = Buffer.from('pay 10 EUR to alice');

async function sign(when: string): Promise<void> {
  const { keyVersion, signature } = await exchange.signMessageDetailed('invoice-bot', message);
  const location = /locations\/([^/]+)/.exec(keyVersion)?.[1];
  const good = await exchange.verifyMessage('invoice-bot', message, signature, { keyVersion });
  console.log(`${when.padEnd(34)} signed in ${location}, ${good ? 'verifies' : 'DOES NOT VERIFY'}`);
}

function show(): void {
  for (const { keyRing, state } of exchange.replication()) console.log(`  ${state.padEnd(9)} ${keyRing}`);
}

console.log('1. Keys in both locations');
await exchange.initialize();
await exchange.generateAgentKey('invoice-bot');
for (const { keyVersion } of await exchange.getPublicKeys('invoice-bot')) console.log(`  ${keyVersion}`);

console.log('2. All is well');
await sign('  before');
show();

console.log('3. The first location stops');
const { port } = first;
await first.close();
for (const time of ['first', 'second', 'third', 'fourth']) await sign(`  the ${time} signature after that`);
show();

console.log('4. It is back');
first = await startKmsEmulator({ logger: quiet, stateFile, port });
while (exchange.replication()[0]?.state !== 'closed') {
  await exchange.signMessage('invoice-bot', message);
}
await sign('  when a probe found it');
show();

await Promise.all([first.close(), standby.close()]);
rmSync(stateFile);
