/**
 * The import job that keys are wrapped for. Import jobs expire after three days and cannot be deleted, so all processes
 * that import on one day share one, found by its name: a crash leaves nothing behind that is not used again.
 */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { AlreadyExistsError, NotFoundError } from '../errors/keys.js';
import { IntegrityError, ServiceError } from '../errors/service.js';
import type { ProtectionLevel } from '../keys/algorithm-types.js';
import { jittered } from '../provider/jitter.js';
import type { Operation } from '../provider/operation.js';
import type { KmsCore } from './core.js';
import { IMPORT_METHOD, IMPORT_MODULUS_BITS } from './import-wrapping.js';
import { requireEqual } from './integrity.js';
import type { RpcResponse } from './rpc.js';

/** An HSM takes seconds for the RSA key of a job; asking sooner costs reads for nothing. */
const FIRST_POLL_MS = 100;
const MAX_POLL_MS = 2_000;
const POLL_GROWTH = 1.6;
/** Jobs of one day that may be found expired, which takes a clock that is days off. */
const MAX_JOBS_PER_DAY = 4;

interface ActiveImportJob {
  /** Full name. */
  readonly name: string;
  readonly wrappingKey: KeyObject;
}

type ImportJobMessage = RpcResponse<'getImportJob'>;

/** An ACTIVE import job of that protection level, made if need be. */
export async function activeImportJob(
  core: KmsCore,
  operation: Operation,
  protectionLevel: ProtectionLevel,
): Promise<ActiveImportJob> {
  const day = new Date(core.config.clock.now()).toISOString().slice(0, 10).replaceAll('-', '');
  for (let round = 1; round <= MAX_JOBS_PER_DAY; round++) {
    const suffix = round === 1 ? '' : `-${round}`;
    const importJobId = `a2a-import-${protectionLevel.toLowerCase()}-${day}${suffix}`;
    const job = await ensureJob(core, operation, { importJobId, protectionLevel });
    const active = await awaitActive(core, operation, job);
    if (active.state !== 'ACTIVE') continue;
    return toActiveJob(operation, active, { name: job, protectionLevel });
  }
  throw new ServiceError(
    operation.context(),
    'FAILED_PRECONDITION',
    `all import jobs of ${day} have expired; look at the clock of this machine`,
  );
}

/** Full name of the job, which exists afterwards. */
async function ensureJob(
  core: KmsCore,
  operation: Operation,
  wanted: { readonly importJobId: string; readonly protectionLevel: ProtectionLevel },
): Promise<string> {
  const { importJobId, protectionLevel } = wanted;
  const parent = core.keyRing;
  const name = `${parent}/importJobs/${importJobId}`;
  try {
    await readJob(core, operation, name);
    return name;
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
  try {
    await core.caller.call(operation, {
      rpc: 'createImportJob',
      request: { parent, importJobId, importJob: { importMethod: IMPORT_METHOD, protectionLevel } },
      routeBy: ['parent', parent],
    });
  } catch (error) {
    // Another process was first, or an earlier attempt of this call was and its answer was lost.
    if (!(error instanceof AlreadyExistsError)) throw error;
  }
  return name;
}

async function awaitActive(core: KmsCore, operation: Operation, name: string): Promise<ImportJobMessage> {
  for (let delayMs = FIRST_POLL_MS; ; delayMs = Math.min(MAX_POLL_MS, delayMs * POLL_GROWTH)) {
    const job = await readJob(core, operation, name);
    if (job.state !== 'PENDING_GENERATION') return job;
    await operation.delay(jittered(delayMs));
  }
}

async function readJob(core: KmsCore, operation: Operation, name: string): Promise<ImportJobMessage> {
  const job = await core.caller.call(operation, {
    rpc: 'getImportJob',
    request: { name },
    routeBy: ['name', name],
  });
  requireEqual(operation, 'the name of the import job', { expected: name, actual: job.name });
  return job;
}

/**
 * Cloud KMS sends no checksum with the wrapping key. A key that was damaged on the way cannot be unwrapped there, so what
 * is checked here is that it is the kind of key that was asked for: it decides who could read what is wrapped.
 */
function toActiveJob(
  operation: Operation,
  job: ImportJobMessage,
  expected: { readonly name: string; readonly protectionLevel: ProtectionLevel },
): ActiveImportJob {
  const { name, protectionLevel } = expected;
  requireEqual(operation, 'the method of the import job', {
    expected: IMPORT_METHOD,
    actual: job.importMethod,
  });
  requireEqual(operation, 'the protection level of the import job', {
    expected: protectionLevel,
    actual: job.protectionLevel,
  });
  let wrappingKey: KeyObject;
  try {
    wrappingKey = createPublicKey({ key: job.publicKey?.pem ?? '', format: 'pem', type: 'spki' });
  } catch (cause) {
    throw new IntegrityError(operation.context(cause), 'the wrapping key of the import job is not a PEM');
  }
  if (
    wrappingKey.asymmetricKeyType !== 'rsa' ||
    wrappingKey.asymmetricKeyDetails?.modulusLength !== IMPORT_MODULUS_BITS
  ) {
    throw new IntegrityError(
      operation.context(),
      `the wrapping key of the import job is not an RSA key of ${IMPORT_MODULUS_BITS} bits`,
    );
  }
  return { name, wrappingKey };
}
