/** Loads both clients with signatures, in a process of its own that is told what to do by the one that started it. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { KMSClient } from '../../src/index.js';
import { compareUnderLoad, type LoadOptions } from './measure.js';
import { openOfficialClient } from './official-client.js';
import { quiet } from './quiet-logger.js';
import { type Comparison, KEY_RING, signingTask } from './signing-task.js';

/** Until V8 has compiled what is measured, the CPU time of a call falls to a third, for both sides in their turn. */
const WARM_UP: LoadOptions = { concurrency: 512, roundMs: 2_000, rounds: 1 };
const message = Buffer.from('{"from":"invoice-bot","to":"ledger","pay":"10 EUR"}');

const [received] = await once(process, 'message');
const { emulatorHost, key, version, loads } = signingTask.parse(received);
const kms = new KMSClient({
  ...KEY_RING,
  emulatorHost,
  logger: quiet,
  // As the official client.
  deadlines: { operationMs: 60_000, attemptMs: 60_000 },
});
const official = await openOfficialClient(emulatorHost);
const sides = {
  ours: () => kms.sign(key, message),
  reference: () =>
    official.asymmetricSign({
      name: version,
      digest: { sha256: createHash('sha256').update(message).digest() },
    }),
};
await compareUnderLoad(sides, WARM_UP);
const results: Comparison[] = [];
for (const load of loads) results.push(await compareUnderLoad(sides, load));
process.send?.(results);
await Promise.all([kms.close(), official.close()]);
process.disconnect();
