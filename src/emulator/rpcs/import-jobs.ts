/** Import jobs, and the import of versions that were wrapped for one. */

import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { AlgorithmEntry } from '../../keys/algorithm-types.js';
import { KeyMaterialError, KeyUnwrapError } from '../crypto/crypto-errors.js';
import { fingerprintKeyMaterial, importKeyMaterial } from '../crypto/key-material.js';
import { generateImportKeyPair, isImportMethod, unwrapImportedKey } from '../crypto/key-wrap.js';
import { pageOf } from '../paging.js';
import { bytes, enumName, invalidArgument, message, text } from '../request-fields.js';
import {
  type CryptoKey,
  type ImportJob,
  importJobMessage,
  importJobState,
  type PendingOutcome,
  type Version,
  versionMessage,
} from '../resources/entities.js';
import { type KeyStore, newVersion, wrongState } from '../resources/key-store.js';
import { requireId, requireKeyRing } from '../resources/names.js';
import { RpcError, type RpcMessage, type ServiceHandlers } from '../rpc.js';
import { parseProtectionLevel, refuseTrustedWrapping, requireAlgorithm } from './crypto-key-fields.js';

/** "expires 3 days after creation" (ImportJob in resources.proto). */
const LIFETIME_MS = 3 * 86_400_000;

export function importHandlers(store: KeyStore, generationMs: number): ServiceHandlers {
  return {
    CreateImportJob: async (request) => {
      const parent = requireKeyRing(text(request, 'parent'));
      const name = `${parent}/importJobs/${requireId(text(request, 'importJobId'), 'import_job_id')}`;
      store.keyRing(parent);
      const body = message(request, 'importJob');
      if (body === undefined) throw invalidArgument('import_job is required.');
      const method = enumName(body, 'importMethod');
      if (method.startsWith('HPKE_'))
        throw new RpcError('UNIMPLEMENTED', `The emulator does not implement import method ${method}.`);
      if (!isImportMethod(method)) throw invalidArgument(`Invalid import_method: ${method}.`);
      const protectionLevel = parseProtectionLevel(
        enumName(body, 'protectionLevel'),
        text(body, 'cryptoKeyBackend'),
      );
      if (store.importJobs.has(name))
        throw new RpcError('ALREADY_EXISTS', `ImportJob ${name} already exists.`);
      const createMs = store.clock.now();
      const { publicKey, privateKey } = await generateImportKeyPair(method);
      const job: ImportJob = {
        name,
        method,
        protectionLevel,
        createMs,
        readyMs: createMs + generationMs,
        expireMs: createMs + LIFETIME_MS,
        keyPair: {
          publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
          privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        },
      };
      if (store.importJobs.has(name))
        throw new RpcError('ALREADY_EXISTS', `ImportJob ${name} already exists.`);
      store.importJobs.set(name, job);
      return importJobMessage(job, createMs);
    },
    GetImportJob: (request) =>
      inFormat(
        importJobMessage(store.importJob(text(request, 'name')), store.clock.now()),
        text(request, 'publicKeyFormat'),
      ),
    ListImportJobs: (request) => {
      const parent = text(request, 'parent');
      store.keyRing(parent);
      const jobs = [...store.importJobs.values()]
        .filter(({ name }) => name.startsWith(`${parent}/importJobs/`))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
      const page = pageOf(
        jobs.map((job) => importJobMessage(job, store.clock.now())),
        request,
      );
      return { importJobs: page.items, nextPageToken: page.nextPageToken, totalSize: page.totalSize };
    },
    ImportCryptoKeyVersion: (request) => importVersion(store, request),
  };
}

/** The job with its wrapping key in the format that was asked for (GetImportJobRequest.public_key_format). */
function inFormat(job: RpcMessage, format: string): RpcMessage {
  if (format === '' || format === 'PUBLIC_KEY_FORMAT_UNSPECIFIED') return job;
  if (format !== 'PEM' && format !== 'DER')
    throw invalidArgument(`The wrapping key of ${text(job, 'name')} is not available in format ${format}.`);
  const publicKey = message(job, 'publicKey');
  if (publicKey === undefined) return { ...job, publicKeyFormat: format };
  const pem = text(publicKey, 'pem');
  const data =
    format === 'PEM' ? Buffer.from(pem) : createPublicKey(pem).export({ type: 'spki', format: 'der' });
  return { ...job, publicKeyFormat: format, publicKey: { data } };
}

async function importVersion(store: KeyStore, request: RpcMessage): Promise<RpcMessage> {
  const key = await store.cryptoKey(text(request, 'parent'));
  const job = store.importJob(text(request, 'importJob'));
  const target =
    text(request, 'cryptoKeyVersion') === ''
      ? undefined
      : await reimportTarget(store, key, text(request, 'cryptoKeyVersion'));
  const state = importJobState(job, store.clock.now());
  if (state !== 'ACTIVE')
    throw new RpcError(
      'FAILED_PRECONDITION',
      `ImportJob ${job.name} is not active, current state is: ${state}.`,
    );
  if (job.protectionLevel !== key.protectionLevel) {
    throw new RpcError(
      'FAILED_PRECONDITION',
      `ImportJob ${job.name} is of protection level ${job.protectionLevel}, CryptoKey ${key.name} of ${key.protectionLevel}.`,
    );
  }
  const algorithm = requireAlgorithm(enumName(request, 'algorithm'), key.purpose, key.protectionLevel);
  refuseTrustedWrapping(request);
  const wrapped = [bytes(request, 'wrappedKey'), bytes(request, 'rsaAesWrappedKey')].filter(
    (part) => part.length > 0,
  );
  const [wrappedKey] = wrapped;
  if (wrapped.length !== 1 || wrappedKey === undefined)
    throw invalidArgument('Exactly one of wrapped_key and rsa_aes_wrapped_key must be set.');
  if (target !== undefined && target.algorithm !== algorithm)
    throw invalidArgument(`A re-import keeps the algorithm ${target.algorithm.name}.`);

  const earlier = target?.imported;
  const outcome = unwrap(job, wrappedKey, { algorithm, fingerprint: earlier?.fingerprint });
  const version = target ?? newVersion(key, { algorithm, createMs: store.clock.now() });
  version.imported = { job: job.name, timeMs: earlier?.timeMs, fingerprint: earlier?.fingerprint };
  key.versions.set(version.number, version);
  store.startImport(version, Promise.resolve(outcome));
  return versionMessage(version);
}

/** "reimport only into an imported DESTROYED/IMPORT_FAILED version" (ImportCryptoKeyVersionRequest.crypto_key_version). */
async function reimportTarget(store: KeyStore, key: CryptoKey, name: string): Promise<Version> {
  const found = await store.version(name);
  if (found.key !== key) throw invalidArgument(`${name} is not a version of ${key.name}.`);
  const { version } = found;
  const eligible =
    version.imported !== undefined && (version.state === 'DESTROYED' || version.state === 'IMPORT_FAILED');
  if (!eligible) throw wrongState(version);
  return version;
}

function unwrap(
  job: ImportJob,
  wrappedKey: Buffer,
  expected: { readonly algorithm: AlgorithmEntry; readonly fingerprint: string | undefined },
): PendingOutcome {
  if (!isImportMethod(job.method)) return { ok: false, reason: `Unknown import method ${job.method}.` };
  try {
    const plain = unwrapImportedKey(job.method, createPrivateKey(job.keyPair.privateKeyPem), wrappedKey);
    const material = importKeyMaterial(expected.algorithm, plain);
    plain.fill(0);
    if (expected.fingerprint !== undefined && expected.fingerprint !== fingerprintKeyMaterial(material)) {
      return { ok: false, reason: 'The key material differs from what was imported before.' };
    }
    return { ok: true, material };
  } catch (error) {
    if (error instanceof KeyUnwrapError || error instanceof KeyMaterialError)
      return { ok: false, reason: error.message };
    throw error;
  }
}
