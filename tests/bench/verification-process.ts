/** Verifies with a known key and with node:crypto, in a process of its own that is told what by the one that started it. */

import { createPublicKey, verify } from 'node:crypto';
import { once } from 'node:events';
import { KMSClient } from '../../src/index.js';
import { higherInPairs, inTurn, perCpuSecond } from './measure.js';
import { quiet } from './quiet-logger.js';
import { KEY_RING, verificationTask, verifyInTurn } from './verification-task.js';

const ROUNDS = 9;
/** Until V8 has compiled both sides. */
const WARM_UP_ROUNDS = 3;

const [received] = await once(process, 'message');
const { emulatorHost, key, digest, count, ...bytes } = verificationTask.parse(received);
const message = Buffer.from(bytes.message, 'base64');
const signature = Buffer.from(bytes.signature, 'base64');
const kms = new KMSClient({ ...KEY_RING, emulatorHost, logger: quiet });
const keyObject = createPublicKey((await kms.getPublicKey(key)).toString('utf8'));
const round = (call: () => Promise<boolean>) => () => perCpuSecond(count, () => verifyInTurn(count, call));
const sides = {
  warm: round(() => kms.verify(key, message, signature)),
  bare: round(async () => verify(digest, message, keyObject, signature)),
};
await inTurn(WARM_UP_ROUNDS, sides);
const rates = await inTurn(ROUNDS, sides);
process.send?.(higherInPairs('verifications/s of CPU', rates('warm'), rates('bare')));
await kms.close();
process.disconnect();
