/** Access tokens: whose they are, and until when. They stand for OAuth 2.0 tokens of Google and are worth nothing elsewhere. */

import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../clock.js';
import { parseMember } from '../../keys/access.js';
import { parseArgument } from '../argument.js';

/** "the token's lifetime will be set to a default value of one hour" (common.proto, GenerateAccessTokenRequest). */
export const DEFAULT_LIFETIME_SECONDS = 3_600;
export const CLOUD_PLATFORM_SCOPE = 'https://www.googleapis.com/auth/cloud-platform';

/** Options of `iam.issueToken`. */
export interface IssueTokenOptions {
  /** Whole seconds. Default 3,600. */
  readonly lifetimeSeconds?: number | undefined;
}

const tokenRequest = z.strictObject({
  member: z
    .string()
    .refine((member) => parseMember(member).ok, 'is not written as in a policy, e.g. user:bot@example.com'),
  options: z
    .strictObject({
      lifetimeSeconds: z.int('must be whole seconds').min(1, 'must be at least 1').optional(),
    })
    .default({}),
});

/** @throws InvalidArgumentError naming every field that is wrong. */
export function parseTokenRequest(member: unknown, options: unknown): z.output<typeof tokenRequest> {
  return parseArgument('iam.issueToken', tokenRequest, {
    name: 'issueToken',
    value: { member, options: options ?? {} },
  });
}

interface AccessToken {
  /** A member as in a policy, e.g. `serviceAccount:bot@project.iam.gserviceaccount.com`. */
  readonly member: string;
  readonly scopes: readonly string[];
  /** Undefined for tokens that came with the options: they last. */
  readonly expireMs: number | undefined;
}

export class AccessTokens {
  readonly #clock: Clock;
  readonly #tokens: Map<string, AccessToken>;

  /** @param fixed tokens and whose they are. */
  constructor(clock: Clock, fixed: Readonly<Record<string, string>>) {
    this.#clock = clock;
    this.#tokens = new Map(
      Object.entries(fixed).map(([token, member]) => [
        token,
        { member, scopes: [CLOUD_PLATFORM_SCOPE], expireMs: undefined },
      ]),
    );
  }

  issue(
    member: string,
    options: { readonly lifetimeSeconds?: number | undefined; readonly scopes?: readonly string[] } = {},
  ): { readonly token: string; readonly expireMs: number } {
    const { lifetimeSeconds = DEFAULT_LIFETIME_SECONDS, scopes = [CLOUD_PLATFORM_SCOPE] } = options;
    const token = `ya29.emulator-${randomBytes(32).toString('base64url')}`;
    const expireMs = this.#clock.now() + lifetimeSeconds * 1_000;
    this.#tokens.set(token, { member, scopes, expireMs });
    return { token, expireMs };
  }

  /** An expired token is found like any other; that it is too late is for the caller to say. */
  find(token: string): AccessToken | undefined {
    return this.#tokens.get(token);
  }

  isExpired({ expireMs }: AccessToken): boolean {
    return expireMs !== undefined && expireMs <= this.#clock.now();
  }

  /** Ends all tokens of a member at once, also those that came with the options. */
  revoke(member: string): void {
    for (const [token, found] of this.#tokens) if (found.member === member) this.#tokens.delete(token);
  }
}
