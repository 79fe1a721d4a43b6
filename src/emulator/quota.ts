/**
 * Quotas per project, counted in operations per minute by the emulator's clock, answered as Cloud KMS does. Source of
 * the wording: google.api.servicecontrol quota errors as they reach clients of cloudkms.googleapis.com.
 */

import type { Clock } from '../clock.js';
import { isWrite, RpcError, type RpcMessage, type StatusDetail } from './rpc.js';

/** Operations per minute and project; what is left out is not limited. */
export interface QuotaLimits {
  /** Get*, List*. */
  readonly readPerMinute?: number | undefined;
  /** Create*, Update*, Destroy*, Restore*, Import*, Delete*. */
  readonly writePerMinute?: number | undefined;
  /** Encrypt, Sign and everything else that uses a key. */
  readonly cryptographicPerMinute?: number | undefined;
}

type QuotaKind = 'read' | 'write' | 'cryptographic';

const METRICS: Readonly<Record<QuotaKind, { readonly name: string; readonly metric: string }>> = {
  read: { name: 'Read requests', metric: 'cloudkms.googleapis.com/read_requests' },
  write: { name: 'Write requests', metric: 'cloudkms.googleapis.com/write_requests' },
  cryptographic: { name: 'Cryptographic requests', metric: 'cloudkms.googleapis.com/crypto_requests' },
};

const WINDOW_MS = 60_000;

export class Quota {
  readonly #limits: ReadonlyMap<QuotaKind, number>;
  readonly #clock: Clock;
  readonly #windows = new Map<string, { startMs: number; used: number }>();

  constructor(limits: QuotaLimits, clock: Clock) {
    const entries: readonly (readonly [QuotaKind, number | undefined])[] = [
      ['read', limits.readPerMinute],
      ['write', limits.writePerMinute],
      ['cryptographic', limits.cryptographicPerMinute],
    ];
    this.#limits = new Map(entries.flatMap(([kind, limit]) => (limit === undefined ? [] : [[kind, limit]])));
    this.#clock = clock;
  }

  /** Counts a call. @throws RpcError RESOURCE_EXHAUSTED when the minute's quota is used up. */
  take(rpc: string, request: RpcMessage): void {
    if (this.#limits.size === 0) return;
    const kind = kindOf(rpc);
    const limit = this.#limits.get(kind);
    if (limit === undefined) return;
    const project = /^projects\/([^/]+)/.exec(resourceOf(request))?.[1] ?? '';
    const key = `${kind} ${project}`;
    const nowMs = this.#clock.now();
    let window = this.#windows.get(key);
    if (window === undefined || nowMs - window.startMs >= WINDOW_MS) {
      window = { startMs: nowMs, used: 0 };
      this.#windows.set(key, window);
    }
    if (window.used >= limit) throw exceeded(kind, project, limit);
    window.used += 1;
  }
}

function kindOf(rpc: string): QuotaKind {
  if (/^(?:Get|List|TestIam)/.test(rpc)) return 'read';
  return isWrite(rpc) ? 'write' : 'cryptographic';
}

/** The resource a request is about, by the fields Cloud KMS requests name it in. */
function resourceOf(request: RpcMessage): string {
  for (const field of ['name', 'parent', 'resource', 'location']) {
    const value = request[field];
    if (typeof value === 'string' && value !== '') return value;
  }
  for (const field of ['cryptoKey', 'cryptoKeyVersion']) {
    const value = request[field];
    if (typeof value === 'object' && value !== null) return String(Reflect.get(value, 'name'));
  }
  return '';
}

function exceeded(kind: QuotaKind, project: string, limit: number): RpcError {
  const { name, metric } = METRICS[kind];
  const consumer = `project_number:${project}`;
  const message = `Quota exceeded for quota metric '${name}' and limit '${name} per minute' of service 'cloudkms.googleapis.com' for consumer '${consumer}'.`;
  const details: StatusDetail[] = [
    {
      type: 'google.rpc.ErrorInfo',
      value: {
        reason: 'RATE_LIMIT_EXCEEDED',
        domain: 'googleapis.com',
        metadata: {
          service: 'cloudkms.googleapis.com',
          consumer: `projects/${project}`,
          quota_metric: metric,
          quota_limit_value: String(limit),
        },
      },
    },
  ];
  return new RpcError('RESOURCE_EXHAUSTED', message, details);
}
