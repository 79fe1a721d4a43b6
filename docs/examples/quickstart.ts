/**
 * The main road in one run: an agent gets an HSM key, signs, is verified, encrypts, decrypts, rotates. It talks to an
 * emulator that it starts itself, or to the one that KMS_EMULATOR_HOST names.
 */

import { A2AKeyExchange } from 'a2a-kms';
import { startKmsEmulator } from 'a2a-kms/emulator';

const AGENT = 'invoice-bot';
const message = Buffer.from('pay 10 EUR to alice');

const emulator = process.env['KMS_EMULATOR_HOST'] ? undefined : await startKmsEmulator();
const exchange = new A2AKeyExchange({
  projectId: 'demo-project',
  locationId: 'europe-west3',
  keyRingId: 'agents',
  emulatorHost: process.env['KMS_EMULATOR_HOST'] ?? emulator?.endpoint,
});

/** Runs one step and prints what came of it and how long it took. */
async function step<T>(
  title: string,
  run: () => Promise<T>,
  tell: (result: T) => readonly string[],
): Promise<T> {
  const start = performance.now();
  const result = await run();
  const tookMs = performance.now() - start;
  console.log(`${title.padEnd(58)}${tookMs.toFixed(1).padStart(8)} ms`);
  for (const line of tell(result)) console.log(`    ${line}`);
  return result;
}

function expect(condition: boolean, problem: string): void {
  if (!condition) throw new Error(problem);
}

try {
  console.log(`\nAgent "${AGENT}" and its key in the HSM\n`);
  const { keys } = exchange;

  await step(
    'Key ring',
    () => exchange.initialize(),
    () => ['found or created: agents in europe-west3'],
  );

  const keyName = await step(
    'Agent key',
    () => exchange.generateAgentKey(AGENT),
    (name) => [`key      ${name}`],
  );

  await step(
    'What Cloud KMS says of it',
    () => exchange.describeAgent(AGENT),
    (agent) => [
      `level    ${agent.protectionLevel}`,
      `version  ${agent.keyVersion?.split('/').at(-1)} (${agent.versions.map(({ state }) => state).join(', ')})`,
      `type     ${agent.algorithm}`,
    ],
  );

  const first = await step(
    'Sign in the HSM',
    () => exchange.signMessageDetailed(AGENT, message),
    ({ signature, keyVersion, protectionLevel, encoding }) => [
      `by       version ${keyVersion.split('/').at(-1)}, ${protectionLevel}`,
      `bytes    ${signature.length} (${encoding}) ${signature.toString('hex').slice(0, 32)}…`,
    ],
  );

  await step(
    'Verify here, public key fetched',
    () => exchange.verifyMessage(AGENT, message, first.signature),
    (ok) => {
      expect(ok, 'a good signature was refused');
      return ['valid'];
    },
  );
  await step(
    'Verify here, public key known',
    () => exchange.verifyMessage(AGENT, message, first.signature),
    (ok) => {
      expect(ok, 'a good signature was refused');
      return ['valid, no call made'];
    },
  );
  await step(
    'Verify a changed message',
    () => exchange.verifyMessage(AGENT, Buffer.from('pay 99 EUR to mallory'), first.signature),
    (ok) => {
      expect(!ok, 'a signature over another message was accepted');
      return ['refused, no call made'];
    },
  );

  const secret = Buffer.from('card 4111 1111 1111 1111');
  const additionalAuthenticatedData = Buffer.from(AGENT);
  const { name: encryptionKey } = await step(
    'Encryption key',
    () =>
      keys.generateKey({
        name: 'memory',
        purpose: 'ENCRYPT_DECRYPT',
        algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
        protectionLevel: 'HSM',
      }),
    ({ name, protectionLevel }) => [`key      ${name}`, `level    ${protectionLevel}`],
  );
  const ciphertext = await step(
    'Encrypt in the HSM',
    () => keys.encrypt(encryptionKey, secret, { additionalAuthenticatedData }),
    (bytes) => [`bytes    ${secret.length} in, ${bytes.length} out`],
  );

  await step(
    'Rotate the signing key',
    () => exchange.rotateAgentKey(AGENT),
    ({ name, primary }) => {
      expect(name === keyName, 'rotation changed the name of the key');
      return ['same key name', `in use   version ${primary?.split('/').at(-1)}`];
    },
  );
  await step(
    'Rotate the encryption key',
    () => keys.rotateKey(encryptionKey),
    ({ primary }) => [`in use   version ${primary?.split('/').at(-1)}`],
  );
  await step(
    'Sign again',
    () => exchange.signMessageDetailed(AGENT, message),
    ({ keyVersion }) => {
      expect(keyVersion !== first.keyVersion, 'the old version signed after the rotation');
      return [`by       version ${keyVersion.split('/').at(-1)}`];
    },
  );
  await step(
    'Verify the signature from before the rotation',
    () => exchange.verifyMessage(AGENT, message, first.signature),
    (ok) => {
      expect(ok, 'the rotation broke an old signature');
      return ['still valid'];
    },
  );
  await step(
    'Decrypt what was encrypted before the rotation',
    () => keys.decrypt(encryptionKey, ciphertext, { additionalAuthenticatedData }),
    (bytes) => {
      expect(bytes.equals(secret), 'the plaintext came back changed');
      return ['same plaintext'];
    },
  );

  console.log('\nAll of it worked.');
  console.log(
    'The emulator kept these keys in plain memory; with Cloud KMS the same program leaves them in the HSM.\n',
  );
} finally {
  await exchange.close();
  await emulator?.close();
}
