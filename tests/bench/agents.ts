/**
 * Key rings with 100 and with 10,000 agents: how long a process that knows nothing lists them, what it remembers of each, and
 * how long it takes to find the key of one. Whatever grows with the number of agents more than by the number is a fault.
 */

import type { KeyManagementServiceClient } from '@google-cloud/kms';
import { A2AKeyExchange } from '../../src/index.js';
import { agentKeyId, agentKeyLabels, parseAgentId } from '../../src/keys/agent-key-name.js';
import { startConfiguredEmulator } from './emulator-process.js';
import {
  type Bench,
  higherIsBetter,
  inTurn,
  lowerIsBetter,
  median,
  milliseconds,
  perSecond,
} from './measure.js';
import { openOfficialClient } from './official-client.js';
import { quiet } from './quiet-logger.js';

const FEW = 100;
const MANY = 10_000;
const LOCATION = 'projects/bench/locations/europe-west3';
/** Calls under way while the agents are made. */
const CREATORS = 64;
const ROUNDS = 5;
const LOOKUPS = 20_000;
const WARM_ROUNDS = 15;
/** "must be flat per agent", but for noise. */
const FLAT = 0.8;
/** The records of 10,000 agents are not in the processor's caches as those of 100 are: a bare Map of them loses as much. */
const WARM_FLAT = 0.45;
const KIB = 1_024;
/** What ten thousand agents may cost: 40 MiB. */
const MEMORY_LIMIT_KIB = 4;

export async function benchAgents(): Promise<readonly Bench[]> {
  const emulator = await startConfiguredEmulator({ hsmGenerationMs: 0 });
  const official = await openOfficialClient(emulator.host);
  try {
    await createAgents(official, FEW);
    await createAgents(official, MANY);
    return [...(await listing(emulator.host, official)), ...(await lookup(emulator.host))];
  } finally {
    await official.close();
    await emulator.stop();
  }
}

const keyRingId = (agents: number): string => `agents-${agents}`;
const agentName = (index: number): string => `agent-${index}`;

const openExchange = (emulatorHost: string, agents: number): A2AKeyExchange =>
  new A2AKeyExchange({
    projectId: 'bench',
    locationId: 'europe-west3',
    keyRingId: keyRingId(agents),
    emulatorHost,
    logger: quiet,
    // Of 10,000 calls none may fail, however busy the machine.
    deadlines: { operationMs: 60_000, attemptMs: 60_000 },
  });

/** Keys as `generateAgentKey` makes them, without what it does besides: that would take minutes. */
async function createAgents(official: KeyManagementServiceClient, agents: number): Promise<void> {
  await official.createKeyRing({ parent: LOCATION, keyRingId: keyRingId(agents), keyRing: {} });
  const parent = `${LOCATION}/keyRings/${keyRingId(agents)}`;
  let next = 0;
  const creator = async (): Promise<void> => {
    for (let index = next++; index < agents; index = next++) {
      const agent = parseAgentId(agentName(index));
      if (!agent.ok) throw new Error(agent.problem);
      await official.createCryptoKey({
        parent,
        cryptoKeyId: agentKeyId(agent.value, 'signing'),
        cryptoKey: {
          purpose: 'ASYMMETRIC_SIGN',
          labels: agentKeyLabels(agent.value, 'signing'),
          versionTemplate: { algorithm: 'EC_SIGN_P256_SHA256', protectionLevel: 'HSM' },
        },
      });
    }
  };
  await Promise.all(Array.from({ length: CREATORS }, creator));
}

/** A new process lists all agents; the official client lists all keys, and does not know whose they are. */
async function listing(
  emulatorHost: string,
  official: KeyManagementServiceClient,
): Promise<readonly Bench[]> {
  const ours = async (agents: number): Promise<number> => {
    await using exchange = openExchange(emulatorHost, agents);
    await exchange.initialize();
    let found = 0;
    const elapsedMs = await milliseconds(async () => {
      found = (await exchange.listAgents()).length;
    });
    if (found !== agents) throw new Error(`${found} of ${agents} agents were found`);
    return elapsedMs;
  };
  const raw = (): Promise<number> => milliseconds(() => listKeys(official));
  const times = await inTurn(ROUNDS, { many: () => ours(MANY), few: () => ours(FEW), raw });
  const many = median(times('many'));
  return [
    { id: 'agents.list-10000.time', result: lowerIsBetter('ms', many, median(times('raw'))) },
    {
      id: 'agents.list.growth',
      result: lowerIsBetter('µs/agent', (many / MANY) * 1_000, (median(times('few')) / FEW) * 1_000),
      ratioFloor: FLAT,
    },
  ];
}

async function listKeys(official: KeyManagementServiceClient): Promise<void> {
  const parent = `${LOCATION}/keyRings/${keyRingId(MANY)}`;
  let pageToken: string | undefined = '';
  while (pageToken !== undefined) {
    const [, next] = await readPage(official, { parent, pageSize: 1_000, pageToken });
    pageToken = next?.pageToken ?? undefined;
  }
}

const readPage = (
  official: KeyManagementServiceClient,
  request: { readonly parent: string; readonly pageSize: number; readonly pageToken: string },
) => official.listCryptoKeys(request, { autoPaginate: false });

/**
 * Of exchanges that find the key, the version in use and the public key of each agent: with calls the first time, and from
 * their caches from then on. The memory is that of what they found.
 */
async function lookup(emulatorHost: string): Promise<readonly Bench[]> {
  await using few = openExchange(emulatorHost, FEW);
  await using many = openExchange(emulatorHost, MANY);
  await lookUp(few, FEW);
  await lookUp(many, 1);
  await using cold = openExchange(emulatorHost, FEW);
  await lookUp(cold, 1);
  const fewMs = await milliseconds(() => lookUp(cold, FEW));
  const before = usedBytes();
  const manyMs = await milliseconds(() => lookUp(many, MANY));
  const bytes = usedBytes() - before;
  const warm = await inTurn(WARM_ROUNDS, {
    few: () => perSecond(LOOKUPS, () => lookUpWarm(few, FEW)),
    many: () => perSecond(LOOKUPS, () => lookUpWarm(many, MANY)),
  });
  return [
    {
      id: 'agents.memory',
      result: lowerIsBetter('KiB/agent', bytes / MANY / KIB, MEMORY_LIMIT_KIB),
      ratioFloor: 1,
    },
    {
      id: 'agents.lookup-cold.growth',
      result: lowerIsBetter('µs/agent', (manyMs / MANY) * 1_000, (fewMs / FEW) * 1_000),
      ratioFloor: FLAT,
    },
    {
      id: 'agents.lookup-warm.growth',
      result: higherIsBetter('lookups/s', median(warm('many')), median(warm('few'))),
      ratioFloor: WARM_FLAT,
    },
  ];
}

async function lookUp(exchange: A2AKeyExchange, agents: number): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    for (let index = next++; index < agents; index = next++) await exchange.getPublicKey(agentName(index));
  };
  await Promise.all(Array.from({ length: CREATORS }, caller));
}

async function lookUpWarm(exchange: A2AKeyExchange, agents: number): Promise<void> {
  for (let index = 0; index < LOOKUPS; index += 1) await exchange.getPublicKey(agentName(index % agents));
}

function usedBytes(): number {
  if (globalThis.gc === undefined) throw new Error('node was not started with --expose-gc');
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}
