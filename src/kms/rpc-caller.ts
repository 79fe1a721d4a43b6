/**
 * Calls one RPC until it succeeds or there is no point in going on: a place on a channel, a deadline for each attempt,
 * repeats with growing, jittered delays for what may be repeated, and a typed error at the end.
 */

import { ClientClosedError, DeadlineExceededError } from '../errors/service.js';
import type { Operation } from '../provider/operation.js';
import type { CallCredentials, CallToken } from './call-credentials.js';
import { Channel } from './channel.js';
import type { KmsConnection } from './connection.js';
import type { Admission, QuotaGuard, QuotaUse } from './quota-guard.js';
import type { TurnOutcome } from './quota-turn.js';
import { type RetrySettings, waitToLook, waitToRepeat } from './retry.js';
import type { RpcName, RpcRequest, RpcResponse } from './rpc.js';
import { leavesOpen, type RpcFailure, setUpError, toRpcFailure } from './service-errors.js';

/** An RPC with its request. */
export interface RpcCall<Name extends RpcName> extends Pick<QuotaUse, 'uses'> {
  readonly rpc: Name;
  readonly request: RpcRequest<Name>;
  /** The resource in the request that the front end routes by: its `name`, `parent` or `crypto_key.name` field. */
  readonly routeBy: readonly [
    field: 'name' | 'parent' | 'crypto_key.name' | 'crypto_key_version.name' | 'resource',
    resource: string,
  ];
}

/** The outcome of an RPC that must not be repeated blindly. */
type CarefulOutcome<T> = { readonly kind: 'done'; readonly response: T } | { readonly kind: 'unknown' };

/** An attempt that was answered, one way or the other. */
type Attempt<T> = { readonly response: T } | { readonly failure: RpcFailure };

/** The turn of a call was over before there was a place on a channel for it: the quota was found used up meanwhile. */
const OUTDATED = 'outdated';

/** One attempt under way. */
interface Sending<Name extends RpcName> {
  readonly call: RpcCall<Name>;
  /** The turn that it must not outlast. */
  readonly turn?: Admission | undefined;
  /** Whether Cloud KMS may have been asked. */
  wasSent: boolean;
}

/** Calls that bring a token of their own, and the connection that they take. */
export interface OwnTokens {
  readonly credentials: CallCredentials;
  readonly connection: KmsConnection;
}

interface RpcCallerParts {
  readonly connection: KmsConnection;
  readonly settings: RetrySettings;
  readonly quota: QuotaGuard;
  readonly ownTokens?: OwnTokens | undefined;
}

export class RpcCaller {
  readonly #connection: KmsConnection;
  readonly #ownTokens: OwnTokens | undefined;
  readonly #settings: RetrySettings;
  readonly #quota: QuotaGuard;
  #closed = false;

  constructor({ connection, settings, quota, ownTokens }: RpcCallerParts) {
    this.#connection = connection;
    this.#ownTokens = ownTokens;
    this.#settings = settings;
    this.#quota = quota;
  }

  /**
   * Calls the RPC, repeating it where that is safe.
   * @throws the typed error of the last failure.
   */
  async call<Name extends RpcName>(operation: Operation, call: RpcCall<Name>): Promise<RpcResponse<Name>> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(operation, call);
      if ('response' in outcome) return outcome.response;
      await waitToRepeat(this.#settings, operation, { rpc: call.rpc, attempt, failure: outcome.failure });
    }
  }

  /**
   * Calls an RPC that must not be repeated blindly. `unknown` means that it may or may not have taken effect: look, then
   * call again if it did not.
   * @throws the typed error of a failure after which it certainly had no effect.
   */
  async callCarefully<Name extends RpcName>(
    operation: Operation,
    call: RpcCall<Name>,
  ): Promise<CarefulOutcome<RpcResponse<Name>>> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(operation, call);
      if ('response' in outcome) return { kind: 'done', response: outcome.response };
      if (leavesOpen(outcome.failure)) {
        await waitToLook(this.#settings, operation, { rpc: call.rpc, attempt, failure: outcome.failure });
        return { kind: 'unknown' };
      }
      await waitToRepeat(this.#settings, operation, { rpc: call.rpc, attempt, failure: outcome.failure });
    }
  }

  /**
   * Makes one attempt of a call whose request is only right for a moment, because it replaces what others write too.
   * `unknown` means that it is time to read again and make a new request.
   * @throws the typed error of a failure after which there is no point in that.
   */
  async callOnce<Name extends RpcName>(
    operation: Operation,
    call: RpcCall<Name>,
    attempt: number,
  ): Promise<CarefulOutcome<RpcResponse<Name>>> {
    // It does not wait for a quota: meanwhile others would write.
    const turn = this.#quota.enterAtOnce(call);
    const outcome = await this.#sendAndSettle(operation, { call, turn }, (answer) => answer);
    if (outcome === OUTDATED) return { kind: 'unknown' };
    if ('response' in outcome) return { kind: 'done', response: outcome.response };
    await waitToRepeat(this.#settings, operation, { rpc: call.rpc, attempt, failure: outcome.failure });
    return { kind: 'unknown' };
  }

  /** Refuses all further calls, and those that wait for a quota. */
  close(): void {
    this.#closed = true;
    this.#quota.refuseWaiting();
  }

  /** One attempt; what Cloud KMS refused for a quota was none, and is made when its turn has come again. */
  #attempt<Name extends RpcName>(
    operation: Operation,
    call: RpcCall<Name>,
    place: 'first' | 'last' = 'last',
  ): Promise<Attempt<RpcResponse<Name>>> {
    type Outcome = Attempt<RpcResponse<Name>>;
    const orAgain = (answer: Outcome | typeof OUTDATED): Outcome | Promise<Outcome> => {
      if (answer === OUTDATED) return this.#attempt(operation, call, 'first');
      if ('response' in answer || answer.failure.status !== 'RESOURCE_EXHAUSTED') return answer;
      return this.#quota.willWait(operation, answer.failure.retryAfterMs)
        ? this.#attempt(operation, call, 'first')
        : answer;
    };
    if (this.#closed) throw new ClientClosedError(operation.context(operation.lastFailure));
    const entered = this.#quota.enter(operation, call, place);
    return entered instanceof Promise
      ? entered.then((turn) => this.#sendAndSettle(operation, { call, turn }, orAgain))
      : this.#sendAndSettle(operation, { call, turn: entered }, orAgain);
  }

  /** One attempt, and the quota told how it ended; then what becomes of the answer. */
  #sendAndSettle<Name extends RpcName, Outcome>(
    operation: Operation,
    { call, turn }: Pick<Sending<Name>, 'call' | 'turn'>,
    next: (answer: Attempt<RpcResponse<Name>> | typeof OUTDATED) => Outcome | Promise<Outcome>,
  ): Promise<Outcome> {
    const sending = { call, turn, wasSent: false };
    const answered =
      this.#ownTokens === undefined
        ? this.#attemptOn(this.#connection, operation, sending)
        : this.#sendWithToken(this.#ownTokens, operation, sending);
    if (turn === undefined) return answered.then(next);
    return answered.then(
      (answer) => {
        this.#quota.ended(turn, answer === OUTDATED ? UNSENT : outcomeOf(answer));
        return next(answer);
      },
      (error: unknown) => {
        this.#quota.ended(turn, sending.wasSent ? UNKNOWN : UNSENT);
        throw error;
      },
    );
  }

  async #sendWithToken<Name extends RpcName>(
    { credentials, connection }: OwnTokens,
    operation: Operation,
    sending: Sending<Name>,
  ): Promise<Attempt<RpcResponse<Name>> | typeof OUTDATED> {
    const { call } = sending;
    const token = await credentials.tokenFor(operation, call);
    if (token === undefined) return this.#attemptOn(this.#connection, operation, sending);
    const outcome = await this.#attemptOn(connection, operation, sending, token);
    // It was revoked or is over, and nothing was done: once more with a new one.
    if (
      outcome === OUTDATED ||
      'response' in outcome ||
      outcome.failure.status !== 'UNAUTHENTICATED' ||
      token.drop === undefined
    )
      return outcome;
    token.drop();
    const renewed = await credentials.tokenFor(operation, call);
    return this.#attemptOn(connection, operation, sending, renewed);
  }

  async #attemptOn<Name extends RpcName>(
    connection: KmsConnection,
    operation: Operation,
    sending: Sending<Name>,
    token?: CallToken,
  ): Promise<Attempt<RpcResponse<Name>> | typeof OUTDATED> {
    const { call, turn } = sending;
    const place = this.#channelFor(connection, operation);
    const channel = place instanceof Channel ? place : await place;
    if (turn?.bucket.isOutdated(turn.turn)) {
      connection.release(channel);
      return OUTDATED;
    }
    sending.wasSent = true;
    operation.attempts += 1;
    const ended = operation.observation?.attempt(call.rpc);
    try {
      const response = await connection.send(channel, call.rpc, call.request, {
        routeBy: call.routeBy,
        timeoutMs: Math.min(this.#settings.deadlines.attemptMs, operation.remainingMs),
        operation,
        token: token?.value,
      });
      ended?.('OK');
      return { response };
    } catch (error) {
      const failure = toRpcFailure(error);
      ended?.(failure.status);
      // The operation's own end is what cancelled the call: its error is the one to report.
      operation.throwIfEnded();
      if (this.#closed) throw new ClientClosedError(operation.context(failure.cause));
      operation.lastFailure = failure.cause;
      return { failure };
    } finally {
      connection.release(channel);
    }
  }

  #channelFor(connection: KmsConnection, operation: Operation): Channel | Promise<Channel> {
    if (this.#closed) throw new ClientClosedError(operation.context());
    if (!connection.isOpen)
      return this.#open(connection, operation).then(() => this.#leased(connection, operation));
    return this.#leased(connection, operation);
  }

  #leased(connection: KmsConnection, operation: Operation): Channel | Promise<Channel> {
    // It may have been closed while the connection was being opened.
    if (this.#closed) throw new ClientClosedError(operation.context());
    const lease = connection.lease();
    return 'ready' in lease ? lease.ready : this.#waitInQueue(connection, operation, lease);
  }

  async #open(connection: KmsConnection, operation: Operation): Promise<void> {
    // Loading the client libraries takes up to seconds on a cold disk: no reason to fail the first call.
    operation.pauseDeadline();
    await connection.load();
    operation.resumeDeadline();
    try {
      await operation.waitFor(connection.open());
    } catch (error) {
      operation.throwIfEnded();
      if (this.#closed) throw new ClientClosedError(operation.context(error));
      throw setUpError(operation.context(error));
    }
  }

  /** Waiting for a place has a limit of its own, so that a burst of calls does not eat their deadlines. */
  async #waitInQueue(
    connection: KmsConnection,
    operation: Operation,
    lease: { readonly waiting: Promise<Channel>; leave(): void },
  ): Promise<Channel> {
    const { queueMs } = this.#settings.deadlines;
    const limit = 'the time in the queue for a free stream';
    const tooLate = () => new DeadlineExceededError(operation.context(), { limit, timeoutMs: queueMs });
    try {
      return await operation.waitInLine(lease.waiting, { timeoutMs: queueMs, tooLate });
    } catch (error) {
      // A place that was handed over in the same moment as the wait ended must not be lost.
      lease.waiting.then(
        (late) => connection.release(late),
        () => {},
      );
      if (this.#closed) throw new ClientClosedError(operation.context(error));
      throw error;
    } finally {
      lease.leave();
    }
  }
}

const SERVED: TurnOutcome = { kind: 'served' };
const UNKNOWN: TurnOutcome = { kind: 'unknown' };
const UNSENT: TurnOutcome = { kind: 'unsent' };

/** What an answer says of the quota: that it is used up, that it bore the call, or nothing. */
function outcomeOf(answer: Attempt<unknown>): TurnOutcome {
  if ('response' in answer) return SERVED;
  const { failure } = answer;
  const { status, retryAfterMs } = failure;
  if (failure.origin === 'token') return UNSENT;
  if (status === 'RESOURCE_EXHAUSTED') return { kind: 'refused', retryAfterMs };
  return leavesOpen(failure) ? UNKNOWN : SERVED;
}
