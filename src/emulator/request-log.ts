/** What was called, for tests to look at. Bounded: the counters go on, the entries are the latest. */

import type { RpcMessage, StatusName } from './rpc.js';

/** One call that reached the emulator. */
export interface RequestLogEntry {
  /** Short RPC name, e.g. `AsymmetricSign`. */
  readonly rpc: string;
  /** The decoded request. It may hold plaintext: this is an emulator. */
  readonly request: RpcMessage;
  /** Request metadata, names in lower case. */
  readonly metadata: ReadonlyMap<string, string>;
  /** How it ended; undefined while it runs, or when its answer was lost on purpose. */
  status: StatusName | 'OK' | undefined;
}

/** A call as it comes in; its metadata is decoded only if somebody looks. */
export class LoggedCall implements RequestLogEntry {
  readonly rpc: string;
  readonly request: RpcMessage;
  status: RequestLogEntry['status'];
  readonly #decode: () => ReadonlyMap<string, string>;
  #metadata: ReadonlyMap<string, string> | undefined;

  constructor(rpc: string, request: RpcMessage, decodeMetadata: () => ReadonlyMap<string, string>) {
    this.rpc = rpc;
    this.request = request;
    this.#decode = decodeMetadata;
  }

  get metadata(): ReadonlyMap<string, string> {
    this.#metadata ??= this.#decode();
    return this.#metadata;
  }
}

const DEFAULT_CAPACITY = 10_000;

/** The calls that reached the emulator, at its property `requests`: counts of all, and the latest entries. */
export class RequestLog {
  readonly #capacity: number;
  readonly #entries: RequestLogEntry[] = [];
  readonly #counts = new Map<string, number>();

  constructor(capacity = DEFAULT_CAPACITY) {
    this.#capacity = capacity;
  }

  /** The latest calls, oldest first. */
  get entries(): readonly RequestLogEntry[] {
    return this.#entries;
  }

  /** How often an RPC, or any, was called since the start or the last `clear`. */
  count(rpc?: string): number {
    if (rpc !== undefined) return this.#counts.get(rpc) ?? 0;
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Forgets all entries and sets the counts to 0. */
  clear(): void {
    this.#entries.length = 0;
    this.#counts.clear();
  }

  /** Called by the server. */
  add(entry: RequestLogEntry): void {
    this.#counts.set(entry.rpc, (this.#counts.get(entry.rpc) ?? 0) + 1);
    // Dropping half at once keeps the cost of a full log constant per call.
    if (this.#entries.length >= this.#capacity) this.#entries.splice(0, Math.ceil(this.#capacity / 2));
    this.#entries.push(entry);
  }
}
