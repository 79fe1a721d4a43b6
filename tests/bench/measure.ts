/** How things are measured: rounds of all sides in turn, after a warm-up that is not counted, and the median of each. */

import { Bench as TinyBench } from 'tinybench';

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

/**
 * Measures the sides in turn, so that whatever else the machine does meets all of them; each round begins with another
 * side. The first round of each warms up and is not among what is returned.
 */
export async function inTurn<Side extends string, T>(
  rounds: number,
  sides: Readonly<Record<Side, () => Promise<T>>>,
): Promise<(side: Side) => readonly T[]> {
  const turns = Object.entries<() => Promise<T>>(sides);
  const measured = new Map<string, T[]>(turns.map(([side]) => [side, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [side, measure] of turns) {
      const value = await measure();
      if (round > 0) measured.get(side)?.push(value);
    }
    const first = turns.shift();
    if (first !== undefined) turns.push(first);
  }
  return (side) => measured.get(side) ?? [];
}

/** What one round of load gave. */
export interface Load {
  readonly latenciesMs: readonly number[];
  readonly callsPerSecond: number;
  /** CPU time of this process, user and system. */
  readonly cpuMicrosecondsPerCall: number;
}

/** The medians of the rounds; the 99th percentile is that of all calls together. */
export interface LoadSummary {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly callsPerSecond: number;
  readonly cpuMicrosecondsPerCall: number;
}

export type Call = () => Promise<unknown>;

export interface LoadOptions {
  /** Callers that each make one call after the other. */
  readonly concurrency: number;
  readonly roundMs: number;
  readonly rounds: number;
}

/** Loads both sides with callers, in turn. */
export async function compareUnderLoad(
  sides: { readonly ours: Call; readonly reference: Call },
  options: LoadOptions,
): Promise<{
  readonly ours: LoadSummary;
  readonly reference: LoadSummary;
  /** CPU time of the reference to ours: the median of the rounds that were made one after the other. */
  readonly cpuRatio: number;
}> {
  const loads = await inTurn(options.rounds, {
    ours: () => loadRound(sides.ours, options),
    reference: () => loadRound(sides.reference, options),
  });
  const ours = loads('ours');
  const reference = loads('reference');
  const cpu = (load: Load): number => load.cpuMicrosecondsPerCall;
  return {
    ours: summary(ours),
    reference: summary(reference),
    cpuRatio: ratioInPairs(reference.map(cpu), ours.map(cpu)),
  };
}

async function loadRound(call: Call, { concurrency, roundMs }: LoadOptions): Promise<Load> {
  const bench = new TinyBench({
    ...{ concurrency: 'task', threshold: concurrency, time: roundMs, iterations: 0 },
    ...{ warmup: false, retainSamples: true, throws: true },
  });
  bench.add('call', call, { async: true });
  const cpu = process.cpuUsage();
  const start = performance.now();
  await bench.run();
  const elapsedMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  const latenciesMs = bench.tasks.flatMap(({ result }) =>
    result.state === 'completed' ? (result.latency.samples ?? []) : [],
  );
  return {
    latenciesMs,
    callsPerSecond: (latenciesMs.length / elapsedMs) * 1_000,
    cpuMicrosecondsPerCall: (user + system) / latenciesMs.length,
  };
}

function summary(loads: readonly Load[]): LoadSummary {
  const latenciesMs = loads.flatMap((load) => load.latenciesMs);
  return {
    p50Ms: median(latenciesMs),
    p99Ms: percentile(latenciesMs, 0.99),
    callsPerSecond: median(loads.map((load) => load.callsPerSecond)),
    cpuMicrosecondsPerCall: median(loads.map((load) => load.cpuMicrosecondsPerCall)),
  };
}

/** How often per second something happens of which `count` take as long as the work. */
export async function perSecond(count: number, work: () => Promise<unknown>): Promise<number> {
  return (count / (await milliseconds(work))) * 1_000;
}

/** As `perSecond`, of CPU time: what else the machine does takes nothing of it. */
export async function perCpuSecond(count: number, work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (count / (user + system)) * 1_000_000;
}

export async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value that a share of all values is below, from 0 to 1. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  if (value === undefined) throw new Error('nothing was measured');
  return value;
}

export function lowerIsBetter(unit: string, ours: number, reference: number): BenchResult {
  return { ours: rounded(ours), reference: rounded(reference), unit, ratio: rounded(reference / ours) };
}

export function higherIsBetter(unit: string, ours: number, reference: number): BenchResult {
  return { ours: rounded(ours), reference: rounded(reference), unit, ratio: rounded(ours / reference) };
}

/**
 * Of rounds that were made one after the other: the medians of both sides, and the median of the ratios of the rounds, since
 * what else the machine does meets both sides of a round.
 */
export function higherInPairs(
  unit: string,
  ours: readonly number[],
  reference: readonly number[],
): BenchResult {
  return { ...higherIsBetter(unit, median(ours), median(reference)), ratio: ratioInPairs(ours, reference) };
}

function ratioInPairs(dividends: readonly number[], divisors: readonly number[]): number {
  return rounded(median(dividends.map((value, round) => value / (divisors[round] ?? Number.NaN))));
}

/** Three decimals: more would be noise in results.json. */
const rounded = (value: number): number => Math.round(value * 1_000) / 1_000;
