/**
 * Access tokens of service accounts: asked for once by however many calls, and again ahead of their end. A token lives
 * from the moment it was asked for, by the clock of this process, so that no difference between clocks can make an old
 * one look fresh or a fresh one old. Tokens are kept in memory and go into the header of a call, nowhere else.
 */

import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.js';
import type { ResolvedKMSConfig } from '../config/kms-config.js';
import { ImpersonationError, UnauthenticatedError } from '../errors/access.js';
import { endSentence } from '../errors/base.js';
import { UnavailableError } from '../errors/service.js';
import type { ResolvedImpersonation } from '../keys/impersonation.js';
import type { Logger } from '../logger.js';
import { Operation } from '../provider/operation.js';
import type { IamCredentials } from './iam-credentials.js';
import { isTransient, type RpcFailure, tokenError, toRpcFailure } from './service-errors.js';
import { tellable } from './token-failure.js';

/** Service accounts whose tokens are kept; tokens of the others are asked for again. */
const MAX_SERVICE_ACCOUNTS = 1_000;
/** Before the end of a token's life no call is sent with it any more, and so long before it is replaced. */
const MARGIN_MS = 10_000;
const REFRESH_AHEAD_MS = 300_000;

interface Token {
  readonly value: string;
  readonly refreshAtMs: number;
  readonly endMs: number;
}

interface ImpersonatedTokensOptions extends Pick<ResolvedKMSConfig, 'deadlines' | 'retry'> {
  readonly source: Pick<IamCredentials, 'generateAccessToken'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class ImpersonatedTokens {
  readonly #options: ImpersonatedTokensOptions;
  readonly #tokens = new LRUCache<string, Token>({ max: MAX_SERVICE_ACCOUNTS });
  readonly #flights = new Map<string, Promise<string>>();

  constructor(options: ImpersonatedTokensOptions) {
    this.#options = options;
  }

  /**
   * A token that can be used now.
   * @throws ImpersonationError when the service account does not give one to this process.
   */
  async get(operation: Operation, identity: ResolvedImpersonation): Promise<string> {
    const key = JSON.stringify(identity);
    const nowMs = this.#options.clock.now();
    const token = this.#tokens.get(key);
    if (token === undefined || token.endMs <= nowMs) return operation.waitFor(this.#fetch(key, identity));
    if (token.refreshAtMs <= nowMs) {
      // The token at hand is good for this call; who comes after its end will be told why there is no other.
      this.#fetch(key, identity).catch((error: unknown) => {
        const { serviceAccount } = identity;
        this.#options.logger.warn({ serviceAccount, error }, 'a token could not be renewed before its end');
      });
    }
    return token.value;
  }

  /** That the service does not take a token. Another one is asked for by the next call. */
  drop(identity: ResolvedImpersonation, value: string): void {
    const key = JSON.stringify(identity);
    if (this.#tokens.get(key)?.value === value) this.#tokens.delete(key);
  }

  #fetch(key: string, identity: ResolvedImpersonation): Promise<string> {
    const running = this.#flights.get(key);
    if (running !== undefined) return running;
    const flight = this.#generate(identity)
      .then((token) => {
        this.#tokens.set(key, token);
        return token.value;
      })
      .finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }

  /** In an operation of its own: the deadline of the caller that came first must not decide over the others. */
  #generate(identity: ResolvedImpersonation): Promise<Token> {
    const { clock, deadlines } = this.#options;
    const resource = identity.serviceAccount;
    const own = new Operation({ name: 'impersonate', resource, timeoutMs: deadlines.operationMs, clock });
    return own.run(() => this.#repeat(own, identity));
  }

  async #repeat(operation: Operation, identity: ResolvedImpersonation): Promise<Token> {
    const { clock, deadlines, retry, source } = this.#options;
    const lifeMs = identity.lifetimeSeconds * 1_000;
    for (;;) {
      operation.attempts += 1;
      const askedMs = clock.now();
      try {
        const timeoutMs = Math.min(deadlines.attemptMs, operation.remainingMs);
        const value = await source.generateAccessToken(identity, timeoutMs);
        const refreshMs = Math.max(lifeMs / 2, lifeMs - REFRESH_AHEAD_MS);
        return { value, refreshAtMs: askedMs + refreshMs, endMs: askedMs + lifeMs - MARGIN_MS };
      } catch (error) {
        const failure = toRpcFailure(error);
        operation.lastFailure = failure.cause;
        if (!isTransient(failure) || operation.attempts >= retry.maxAttempts)
          throw toError(operation, identity, failure);
        await operation.delay(
          Math.min(retry.maxDelayMs, retry.initialDelayMs * 2 ** (operation.attempts - 1)),
        );
      }
    }
  }
}

function toError(
  operation: Operation,
  { serviceAccount }: ResolvedImpersonation,
  failure: RpcFailure,
): Error {
  if (failure.origin === 'token')
    return tokenError(operation.context(failure.cause), failure, 'IAM Credentials or Cloud KMS');
  const { problem, cause } = tellable(failure.message, failure.cause);
  const context = operation.context(cause);
  if (isTransient(failure))
    return new UnavailableError(context, `IAM Credentials could not be reached: ${endSentence(problem)}`);
  if (failure.status === 'UNAUTHENTICATED' || !isAnswer(failure.cause))
    return new UnauthenticatedError(
      context,
      `no token of ${serviceAccount} could be requested: ${endSentence(problem)}`,
    );
  return new ImpersonationError(context, serviceAccount, `IAM Credentials said: ${failure.message}`);
}

/** Whether the service said so: what keeps a client from opening, such as a missing credentials file, has no gRPC status. */
const isAnswer = (cause: unknown): boolean =>
  typeof cause === 'object' && cause !== null && typeof Reflect.get(cause, 'code') === 'number';
