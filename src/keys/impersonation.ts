/** Acting as a service account: which one, through whom, and for how long its tokens are asked for. */

import type { ParseResult } from './parse-result.js';

/** A service account to act as, by its email, or with what its tokens are asked for. */
export type Impersonation =
  | string
  | {
      /** Email of the service account. */
      readonly serviceAccount: string;
      /** Service accounts between the process's identity and that one, each allowed to act as the next. */
      readonly delegates?: readonly string[] | undefined;
      /** Lifetime of a token in seconds, 60 to 3,600. Default 3,600. */
      readonly lifetimeSeconds?: number | undefined;
    };

export interface ResolvedImpersonation {
  readonly serviceAccount: string;
  readonly delegates: readonly string[];
  readonly lifetimeSeconds: number;
}

const SERVICE_ACCOUNT = /^[a-zA-Z0-9._-]{1,128}@[a-zA-Z0-9.-]{1,253}$/;
/** "Must be set to a value less than or equal to 3600" (common.proto of IAM Credentials). */
const MAX_LIFETIME_SECONDS = 3_600;
/** Less would spend more calls on tokens than on keys. */
const MIN_LIFETIME_SECONDS = 60;
const FIELDS = ['serviceAccount', 'delegates', 'lifetimeSeconds'];

export function parseImpersonation(input: unknown): ParseResult<ResolvedImpersonation> {
  if (typeof input === 'string') return parseImpersonation({ serviceAccount: input });
  if (typeof input !== 'object' || input === null)
    return { ok: false, problem: 'must be the email of a service account, or an object with serviceAccount' };
  const unknown = Object.keys(input).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) return { ok: false, problem: `${unknown} is not an option of it` };
  const serviceAccount: unknown = Reflect.get(input, 'serviceAccount');
  const delegates: unknown = Reflect.get(input, 'delegates') ?? [];
  const lifetimeSeconds: unknown = Reflect.get(input, 'lifetimeSeconds') ?? MAX_LIFETIME_SECONDS;
  if (!isServiceAccount(serviceAccount))
    return { ok: false, problem: 'serviceAccount must be the email of a service account' };
  if (!Array.isArray(delegates) || !delegates.every(isServiceAccount))
    return { ok: false, problem: 'delegates must be a list of emails of service accounts' };
  const isLifetime =
    typeof lifetimeSeconds === 'number' &&
    Number.isInteger(lifetimeSeconds) &&
    lifetimeSeconds >= MIN_LIFETIME_SECONDS &&
    lifetimeSeconds <= MAX_LIFETIME_SECONDS;
  if (!isLifetime)
    return {
      ok: false,
      problem: `lifetimeSeconds must be whole seconds from ${MIN_LIFETIME_SECONDS} to ${MAX_LIFETIME_SECONDS}`,
    };
  return { ok: true, value: { serviceAccount, delegates: [...delegates], lifetimeSeconds } };
}

const isServiceAccount = (value: unknown): value is string =>
  typeof value === 'string' && SERVICE_ACCOUNT.test(value);
