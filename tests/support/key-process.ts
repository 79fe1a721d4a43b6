/**
 * A process of its own with a `KMSClient`, told by its parent what to do: it says that it is ready, waits for a task, and
 * answers each task with its outcome. Run by `startKeyProcesses`.
 */

import { A2AKmsError, FilePublicKeyArchive, KMSClient } from '../../src/index.js';
import { KEY_RING, silentLogger } from './emulator.js';
import type { KeyTask, TaskOutcome } from './key-processes.js';

const client = new KMSClient({
  ...KEY_RING,
  emulatorHost: process.env['KMS_EMULATOR_HOST'],
  logger: silentLogger,
  publicKeyArchive: new FilePublicKeyArchive({ directory: process.env['PUBLIC_KEYS'] ?? '' }),
  // Late checks come when an attempt is over.
  deadlines: { attemptMs: 1_000, operationMs: 60_000 },
  // An attempt may take longer than that where eight processes share a core or two.
  retry: { initialDelayMs: 1, maxDelayMs: 2, maxAttempts: 20 },
});

async function run(task: KeyTask): Promise<unknown> {
  const { keyName } = task;
  switch (task.do) {
    case 'rotate':
      return client.rotateKey(keyName, { replacing: task.replacing });
    case 'prepare':
      return client.prepareRotation(keyName);
    case 'activate':
      return client.activateRotation(keyName);
    case 'label':
      return client.updateLabels(keyName, { [task.label]: task.value });
    case 'look':
      return client.resolveKeyVersion(keyName);
    case 'leave':
      return client.close();
  }
}

async function outcomeOf(task: KeyTask): Promise<TaskOutcome> {
  try {
    return { ok: true, value: await run(task) };
  } catch (error) {
    const code = error instanceof A2AKmsError ? error.code : 'not ours';
    return { ok: false, code, message: error instanceof Error ? error.message : String(error) };
  }
}

process.on('message', (task: KeyTask) => {
  void outcomeOf(task).then((outcome) => {
    process.send?.(outcome);
    if (task.do === 'leave') process.disconnect();
  });
});
// A process whose parent is gone has nothing left to do.
process.on('disconnect', () => process.exit());
// Libraries are loaded and the connection is open before the race.
await client.initialize();
process.send?.({ ok: true, value: 'ready' } satisfies TaskOutcome);
