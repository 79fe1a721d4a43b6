/** How things are measured: rounds of ours and of the reference in turn, and the median of each. */

/** One line of results.json. A ratio above 1 means ours is better, whichever way round the unit is. */
export interface BenchResult {
  readonly ours: number;
  readonly reference: number;
  readonly unit: string;
  readonly ratio: number;
}

/** A bench: an id such as `sign.c64.throughput`, and the ratio below which `npm run bench` fails, where there is one. */
export interface Bench {
  readonly id: string;
  readonly result: BenchResult;
  readonly ratioFloor?: number;
}

/** What a group of benches gets: the address of an emulator in a process of its own. */
export interface BenchContext {
  readonly emulatorHost: string;
}

export type BenchGroup = (context: BenchContext) => Promise<readonly Bench[]>;

/** What one round of load gave. */
export interface Load {
  readonly latencyMs: number;
  readonly callsPerSecond: number;
  /** CPU time of this process, user and system. */
  readonly cpuMicrosecondsPerCall: number;
}

export type Call = () => Promise<unknown>;

export interface LoadOptions {
  readonly concurrency: number;
  readonly roundMs: number;
  readonly rounds: number;
}

/**
 * Loads both sides with `concurrency` callers that each make one call after the other. The rounds alternate, so that
 * whatever else the machine does meets both; the first round of each warms up and is not counted.
 */
export async function compareUnderLoad(
  sides: { readonly ours: Call; readonly reference: Call },
  options: LoadOptions,
): Promise<{ readonly ours: Load; readonly reference: Load }> {
  const ours: Load[] = [];
  const reference: Load[] = [];
  for (let round = 0; round <= options.rounds; round += 1) {
    ours.push(await loadRound(sides.ours, options));
    reference.push(await loadRound(sides.reference, options));
  }
  return { ours: medianLoad(ours.slice(1)), reference: medianLoad(reference.slice(1)) };
}

async function loadRound(call: Call, options: LoadOptions): Promise<Load> {
  const latenciesMs: number[] = [];
  const cpu = process.cpuUsage();
  const start = performance.now();
  const end = start + options.roundMs;
  const caller = async (): Promise<void> => {
    for (let now = performance.now(); now < end; ) {
      const before = now;
      await call();
      now = performance.now();
      latenciesMs.push(now - before);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, caller));
  const elapsedMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  return {
    latencyMs: median(latenciesMs),
    callsPerSecond: (latenciesMs.length / elapsedMs) * 1_000,
    cpuMicrosecondsPerCall: (user + system) / latenciesMs.length,
  };
}

function medianLoad(loads: readonly Load[]): Load {
  return {
    latencyMs: median(loads.map((load) => load.latencyMs)),
    callsPerSecond: median(loads.map((load) => load.callsPerSecond)),
    cpuMicrosecondsPerCall: median(loads.map((load) => load.cpuMicrosecondsPerCall)),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.at(Math.floor(sorted.length / 2));
  if (middle === undefined) throw new Error('nothing was measured');
  return middle;
}

export function lowerIsBetter(unit: string, ours: number, reference: number): BenchResult {
  return { ours: rounded(ours), reference: rounded(reference), unit, ratio: rounded(reference / ours) };
}

export function higherIsBetter(unit: string, ours: number, reference: number): BenchResult {
  return { ours: rounded(ours), reference: rounded(reference), unit, ratio: rounded(ours / reference) };
}

/** Three decimals: more would be noise in results.json. */
const rounded = (value: number): number => Math.round(value * 1_000) / 1_000;
