/** The limits that the calls of a client go by. */

import type { QuotaConfig } from '../config/quota-config.js';
import { PUBLISHED_TOKENS_PER_MINUTE, type QuotaKind } from './quota-table.js';

/** Tokens a minute, and what they mean: `kept`, they are never passed; `assumed`, they are passed with care. */
export interface QuotaLimit {
  readonly kind: 'kept' | 'assumed';
  readonly tokens: number;
}

export type QuotaLimits = Readonly<Record<QuotaKind, QuotaLimit | undefined>>;

/** A project has the published limits until they are raised, so they are assumed where the configuration has no limit. */
export function quotaLimits({ limits }: Pick<QuotaConfig, 'limits'>): QuotaLimits {
  const limitOf = (kind: QuotaKind): QuotaLimit | undefined => {
    if (limits === 'none') return undefined;
    const published = PUBLISHED_TOKENS_PER_MINUTE[kind];
    if (limits === 'published') return { kind: 'kept', tokens: published };
    const own = limits?.[kind];
    return own === undefined ? { kind: 'assumed', tokens: published } : { kind: 'kept', tokens: own };
  };
  return {
    read: limitOf('read'),
    write: limitOf('write'),
    hsm: limitOf('hsm'),
    software: limitOf('software'),
    external: limitOf('external'),
  };
}
