/**
 * How long it takes to import the built package, and until the first signature with a key that exists, against the official
 * client: each time in a new process.
 */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { KMSClient } from '../../src/index.js';
import { type Bench, type BenchContext, inTurn, lowerIsBetter, median } from './measure.js';
import { quiet } from './quiet-logger.js';
import { inRepository } from './repository.js';

/** The first round, which is not counted, reads the files from disk. */
const ROUNDS = 9;
const root = fileURLToPath(inRepository('.'));
const builtPackage = inRepository('dist/index.js').href;
const keyRing = { projectId: 'bench', locationId: 'europe-west3', keyRingId: 'cold' } as const;

export async function benchColdStart({ emulatorHost }: BenchContext): Promise<readonly Bench[]> {
  const version = await createSigner(emulatorHost);
  const sides = { ours: ours(emulatorHost), reference: reference(emulatorHost, version) };
  const imports = await inTurn(ROUNDS, {
    ours: () => millisecondsInNewProcess(sides.ours.load),
    reference: () => millisecondsInNewProcess(sides.reference.load),
  });
  const signatures = await inTurn(ROUNDS, {
    ours: () => millisecondsInNewProcess(sides.ours.load + sides.ours.sign),
    reference: () => millisecondsInNewProcess(sides.reference.load + sides.reference.sign),
  });
  return [
    {
      id: 'cold.import',
      result: lowerIsBetter('ms', median(imports('ours')), median(imports('reference'))),
      ratioFloor: 1,
    },
    {
      id: 'cold.first-signature',
      result: lowerIsBetter('ms', median(signatures('ours')), median(signatures('reference'))),
    },
  ];
}

/** Name of the version of a new key. */
async function createSigner(emulatorHost: string): Promise<string> {
  await using kms = new KMSClient({ ...keyRing, emulatorHost, logger: quiet });
  await kms.initialize();
  const { primary } = await kms.generateKey({
    name: 'signer',
    purpose: 'ASYMMETRIC_SIGN',
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
  });
  if (primary === undefined) throw new Error('the new key has no version in use');
  return primary;
}

interface Script {
  readonly load: string;
  readonly sign: string;
}

/** The key by its id, as an application knows it: which version is in use has to be read first. */
const ours = (emulatorHost: string): Script => ({
  load: `const { KMSClient } = await import(${JSON.stringify(builtPackage)});`,
  sign: `
    const drop = () => {};
    const kms = new KMSClient({
      ...${JSON.stringify({ ...keyRing, emulatorHost })},
      logger: { debug: drop, info: drop, warn: drop, error: drop },
    });
    await kms.sign('signer', Buffer.from('message'));`,
});

/** The version by its name, which its user has to know. */
function reference(emulatorHost: string, version: string): Script {
  const { hostname, port } = new URL(`http://${emulatorHost}`);
  return {
    load: `const { KeyManagementServiceClient } = await import('@google-cloud/kms');`,
    sign: `
      const { credentials } = await import('@grpc/grpc-js');
      const { createHash } = await import('node:crypto');
      const kms = new KeyManagementServiceClient({
        apiEndpoint: ${JSON.stringify(hostname)},
        port: ${port},
        sslCreds: credentials.createInsecure(),
        clientOptions: { universeDomain: 'googleapis.com' },
      });
      await kms.asymmetricSign({
        name: ${JSON.stringify(version)},
        digest: { sha256: createHash('sha256').update('message').digest() },
      });`,
  };
}

/** Time of a script in a new process, without the start of Node itself. */
async function millisecondsInNewProcess(body: string): Promise<number> {
  const script = `
    const start = performance.now();
    ${body}
    process.stdout.write(String(performance.now() - start), () => process.exit());`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: root,
  });
  return Number(stdout);
}
