/**
 * Numbers that are read when metrics are collected, not counted when something happens. Several sources may give the same
 * number with the same attributes, such as two clients of one key ring: what is reported is their sum, or the number itself
 * where they share it.
 */

import type { Attributes, MeterProvider, Observable } from '@opentelemetry/api';
import type { OpenTelemetryApi } from './load.js';
import { METRIC, SCOPE } from './names.js';

/** What is read, and how it is reported. */
const INSTRUMENTS = {
  operationsActive: { kind: 'sum', unit: '{operation}', description: 'Calls of a key provider under way.' },
  cacheRequests: { kind: 'counter', unit: '{request}', description: 'Look-ups in a cache, by result.' },
  cacheEntries: { kind: 'sum', unit: '{entry}', description: 'Entries that a cache holds.' },
  channels: { kind: 'sum', unit: '{channel}', description: 'gRPC channels that take calls.' },
  rpcsActive: { kind: 'sum', unit: '{call}', description: 'RPCs that were sent and are not answered.' },
  queueDepth: { kind: 'sum', unit: '{call}', description: 'Calls that wait for a place on a channel.' },
  quotaTokens: {
    kind: 'shared',
    unit: '{token}',
    description: 'Tokens of a quota that were used in the last minute.',
  },
  quotaWaiting: { kind: 'shared', unit: '{call}', description: 'Calls that wait for a quota.' },
  auditEvents: { kind: 'counter', unit: '{event}', description: 'Events of the audit trail.' },
  auditLostEvents: {
    kind: 'counter',
    unit: '{event}',
    description: 'Events of the audit trail that could not be written.',
  },
  auditFailedCheckpoints: {
    kind: 'counter',
    unit: '{checkpoint}',
    description: 'Checkpoints of the audit trail that could not be signed.',
  },
  auditUnsigned: {
    kind: 'sum',
    unit: '{line}',
    description: 'Lines of the audit trail that no checkpoint covers yet.',
  },
  locationState: {
    kind: 'sum',
    unit: '{location}',
    description: '1 for the state that the circuit breaker of a location is in, 0 for the others.',
  },
} as const satisfies Partial<Record<keyof typeof METRIC, unknown>>;

type ReadingName = keyof typeof INSTRUMENTS;

/** One number. */
export interface Reading {
  readonly name: ReadingName;
  readonly value: number;
  readonly attributes: Attributes;
}

export type ReadingSource = () => readonly Reading[];

const sources = new Set<ReadingSource>();

/** What was registered with a meter provider. A process has one; a second one starts again from nothing. */
let registration:
  | {
      readonly provider: MeterProvider;
      /** What ended sources have counted: a counter must not go down with them. */
      readonly ended: Map<string, Reading>;
      /** All that was reported: what no source gives any more is 0 from then on, not what it was last. */
      readonly reported: Map<string, Reading>;
    }
  | undefined;

/** Has a source read at every collection. @returns what ends that. */
export function addReadingSource(api: OpenTelemetryApi, source: ReadingSource): () => void {
  const provider = api.metrics.getMeterProvider();
  if (registration?.provider !== provider) {
    registration = { provider, ended: new Map(), reported: new Map() };
    register(provider);
  }
  sources.add(source);
  return () => {
    if (!sources.delete(source) || registration === undefined) return;
    add(registration.ended, source().filter(isCounted));
  };
}

function register(provider: MeterProvider): void {
  const meter = provider.getMeter(SCOPE.name, SCOPE.version);
  const observables = new Map<ReadingName, Observable>();
  for (const name of Object.keys(INSTRUMENTS).filter(isReadingName)) {
    const { kind, unit, description } = INSTRUMENTS[name];
    const options = { unit, description };
    observables.set(
      name,
      kind === 'counter'
        ? meter.createObservableCounter(METRIC[name], options)
        : kind === 'shared'
          ? meter.createObservableGauge(METRIC[name], options)
          : meter.createObservableUpDownCounter(METRIC[name], options),
    );
  }
  meter.addBatchObservableCallback(
    (result) => {
      for (const { name, value, attributes } of collect()) {
        const observable = observables.get(name);
        if (observable !== undefined) result.observe(observable, value, attributes);
      }
    },
    [...observables.values()],
  );
}

function collect(): Iterable<Reading> {
  if (registration === undefined) return [];
  const { ended, reported } = registration;
  const sums = new Map<string, Reading>();
  for (const [id, reading] of reported) sums.set(id, { ...reading, value: 0 });
  add(sums, ended.values());
  for (const source of sources) add(sums, source());
  for (const [id, reading] of sums) reported.set(id, reading);
  return sums.values();
}

const isReadingName = (name: string): name is ReadingName => name in INSTRUMENTS;

const isCounted = ({ name }: Reading): boolean => INSTRUMENTS[name].kind === 'counter';

function add(sums: Map<string, Reading>, readings: Iterable<Reading>): void {
  for (const reading of readings) {
    const id = JSON.stringify([reading.name, reading.attributes]);
    const before = sums.get(id)?.value ?? 0;
    const isShared = INSTRUMENTS[reading.name].kind === 'shared';
    const value = isShared ? Math.max(before, reading.value) : before + reading.value;
    sums.set(id, { ...reading, value });
  }
}
