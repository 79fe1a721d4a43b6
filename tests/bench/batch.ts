/**
 * Messages signed for each second that the quota and the HSM leave: the official client, one signature for each message;
 * `signMany`, the same with pacing; `BatchSigner`, one signature for each batch. The HSM takes 25 ms.
 *
 * Quotas are per minute, and what is left of one is spent at once, so that only whole minutes say anything. Each side has a
 * project, and so a quota, of its own; measured is the minute that begins with its first call.
 */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { A2AKeyExchange, BatchSigner, type SignManyProgress } from '../../src/index.js';
import { startConfiguredEmulator } from './emulator-process.js';
import { type Bench, higherIsBetter, lowerIsBetter, median, percentile } from './measure.js';
import { openOfficialClient } from './official-client.js';
import { quiet } from './quiet-logger.js';

const HSM_LATENCY_MS = 25;
const MINUTE_MS = 60_000;
/** P-384 on HSMs by default, and the quota that was before: see docs/batch-signing.md. */
const QUOTAS = [
  { id: '428-a-minute', perMinute: 428, ratioFloor: 1_000 },
  { id: '50-a-second', perMinute: 3_000, batchApartMs: 10_000 },
] as const;
/**
 * Callers that each wait for their signature and then want the next one. The official client has few: it takes several
 * milliseconds to report a refusal, in the process that all sides share.
 */
const RAW_CALLERS = 8;
const MANY_CALLERS = 64;
const BATCH_CALLERS = 4_096;
/** They keep this process, which makes their messages too, busy for as long as the HSM takes: no floor for that. */
const SATURATING_CALLERS = 4_096;
const AGENT = 'bench';
const message = Buffer.from('{"from":"invoice-bot","to":"ledger","pay":"10 EUR"}');

export async function benchBatch(): Promise<readonly Bench[]> {
  const benches: Bench[] = [...(await latency())];
  for (const quota of QUOTAS) benches.push(...(await underQuota(quota)));
  return benches;
}

/** An agent with a P-384 key in a project of its own. */
async function openExchange(emulatorHost: string, projectId: string): Promise<A2AKeyExchange> {
  const exchange = new A2AKeyExchange({
    projectId,
    locationId: 'europe-west3',
    keyRingId: 'batch',
    emulatorHost,
    logger: quiet,
  });
  await exchange.initialize();
  await exchange.generateAgentKey(AGENT, { algorithm: 'ecdsa-p384' });
  return exchange;
}

async function versionOf(exchange: A2AKeyExchange): Promise<string> {
  const { keyVersion } = await exchange.describeAgent(AGENT);
  if (keyVersion === undefined) throw new Error('the agent has no version in use');
  return keyVersion;
}

type Official = Awaited<ReturnType<typeof openOfficialClient>>;

/** One signature as a user of the official client makes it. */
const signRaw = (official: Official, name: string): Promise<unknown> =>
  official.asymmetricSign({ name, digest: { sha384: createHash('sha384').update(message).digest() } });

interface QuotaCase {
  readonly id: string;
  readonly perMinute: number;
  readonly ratioFloor?: number;
  /**
   * Measures BatchSigner for that long after the others, where its 40 operations a second are below the quota: what limits it
   * is this process, which the others would have to share with it.
   */
  readonly batchApartMs?: number;
}

async function underQuota({ id, perMinute, ratioFloor, batchApartMs }: QuotaCase): Promise<readonly Bench[]> {
  const emulator = await startConfiguredEmulator({
    hsmLatencyMs: HSM_LATENCY_MS,
    quota: { cryptographicPerMinute: perMinute },
  });
  const official = await openOfficialClient(emulator.host);
  const [raw, many, batch] = await Promise.all(
    ['raw', 'many', 'batch'].map((project) => openExchange(emulator.host, `bench-${project}`)),
  );
  if (raw === undefined || many === undefined || batch === undefined) throw new Error('no exchange');
  const stop = new AbortController();
  const counts = { raw: 0, many: 0, batch: 0 };
  try {
    const names = await Promise.all([raw, many, batch].map(versionOf));
    const loads = {
      raw: () => loadRaw(official, names[0] ?? '', stop.signal, () => (counts.raw += 1)),
      many: () => loadMany(many, stop.signal, ({ signed }) => (counts.many = signed)),
      batch: () => loadBatch(batch, stop.signal, () => (counts.batch += 1)),
    };
    const running: Promise<void>[] = [];
    /** Starts loads and gives what they did in each second of the time. */
    const measure = async (durationMs: number, sides: readonly (keyof typeof counts)[]) => {
      const start = performance.now();
      const end = sleep(durationMs);
      running.push(...sides.map((side) => loads[side]()));
      // A side that fails ends the bench at once.
      await Promise.race([end, ...running.map((side) => side.then(() => end))]);
      const seconds = (performance.now() - start) / 1_000;
      return { raw: counts.raw / seconds, many: counts.many / seconds, batch: counts.batch / seconds };
    };
    const minute = await measure(
      MINUTE_MS,
      batchApartMs === undefined ? ['raw', 'many', 'batch'] : ['raw', 'many'],
    );
    const rates =
      batchApartMs === undefined
        ? minute
        : { ...minute, batch: (await measure(batchApartMs, ['batch'])).batch };
    stop.abort();
    await Promise.all(running);
    return [
      {
        id: `batch.${id}.sign-many`,
        result: higherIsBetter('messages/s', rates.many, rates.raw),
        // Pacing leaves nothing of the quota unused.
        ratioFloor: 0.95,
      },
      {
        id: `batch.${id}.batch-signer`,
        result: higherIsBetter('messages/s', rates.batch, rates.raw),
        ...(ratioFloor !== undefined && { ratioFloor }),
      },
    ];
  } finally {
    stop.abort();
    await Promise.all([official, raw, many, batch].map((client) => client.close()));
    await emulator.stop();
  }
}

/** A user of the official client who tries again a moment after a refusal. */
async function loadRaw(
  official: Official,
  name: string,
  stop: AbortSignal,
  onSigned: () => void,
): Promise<void> {
  const caller = async (): Promise<void> => {
    while (!stop.aborted) {
      try {
        await signRaw(official, name);
        onSigned();
      } catch {
        await sleep(1_000);
      }
    }
  };
  await Promise.all(Array.from({ length: RAW_CALLERS }, caller));
}

async function loadMany(
  exchange: A2AKeyExchange,
  signal: AbortSignal,
  onProgress: (progress: SignManyProgress) => void,
): Promise<void> {
  // More than any quota here lets through in the time.
  const messages = Array.from({ length: 100_000 }, () => message);
  const outcomes = await exchange.signMany(AGENT, messages, {
    concurrency: MANY_CALLERS,
    signal,
    onProgress,
  });
  const failure = outcomes.find((outcome) => outcome.status === 'failed' && outcome.error.code !== 'ABORTED');
  if (failure?.status === 'failed') throw failure.error;
}

async function loadBatch(exchange: A2AKeyExchange, stop: AbortSignal, onSigned: () => void): Promise<void> {
  await using signer = new BatchSigner(exchange, AGENT);
  const caller = async (): Promise<void> => {
    while (!stop.aborted) {
      await signer.sign(message);
      onSigned();
    }
  };
  // Not one call may fail: the first that does ends the bench.
  await Promise.all(Array.from({ length: BATCH_CALLERS }, caller));
}

/** What a message waits when no quota is short, against operations of the HSM through the official client. */
async function latency(): Promise<readonly Bench[]> {
  const emulator = await startConfiguredEmulator({ hsmLatencyMs: HSM_LATENCY_MS });
  const official = await openOfficialClient(emulator.host);
  const exchange = await openExchange(emulator.host, 'bench-latency');
  try {
    const name = await versionOf(exchange);
    const operationMs = await serialMs(() => signRaw(official, name));
    await using signer = new BatchSigner(exchange, AGENT);
    const idleMs = await serialMs(() => signer.sign(message));
    const benches: Bench[] = [
      {
        id: 'batch.idle.latency',
        result: lowerIsBetter('ms', idleMs, operationMs),
        // No delay but for noise.
        ratioFloor: 0.9,
      },
    ];
    for (const callers of [64, 1_024, 2_048, SATURATING_CALLERS]) {
      const p99Ms = await p99Of(callers, signer);
      benches.push({
        id: `batch.c${callers}.p99-against-3-operations`,
        result: lowerIsBetter('ms', p99Ms, 3 * operationMs),
        ...(callers < SATURATING_CALLERS && { ratioFloor: 1 }),
      });
    }
    return benches;
  } finally {
    await Promise.all([official.close(), exchange.close()]);
    await emulator.stop();
  }
}

async function serialMs(call: () => Promise<unknown>): Promise<number> {
  const latenciesMs: number[] = [];
  for (let round = 0; round < 60; round += 1) {
    const start = performance.now();
    await call();
    latenciesMs.push(performance.now() - start);
  }
  return median(latenciesMs.slice(10));
}

/** Callers who come at any time: each thinks for up to two operations before its next message. The start is not counted. */
async function p99Of(callers: number, signer: BatchSigner): Promise<number> {
  const latenciesMs: number[] = [];
  const start = performance.now() + 3_000;
  const end = start + 10_000;
  const caller = async (): Promise<void> => {
    while (performance.now() < end) {
      await sleep(Math.random() * 2 * HSM_LATENCY_MS);
      const before = performance.now();
      await signer.sign(message);
      if (before > start) latenciesMs.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return percentile(latenciesMs, 0.99);
}
