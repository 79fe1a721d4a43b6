/** What a public method tells its observers of a call before the input is parsed, so of input that may be anything. */

import type { CallOptions } from '../keys/call-options.js';
import { callOptions } from './call-input.js';
import type { ObservedCall } from './observer.js';

export interface ObservedMethod {
  readonly method: string;
  /** Undefined for calls that are about no key. */
  readonly keyId?: unknown;
  readonly subject?: unknown;
  readonly options: CallOptions | undefined;
}

/** Options that will be refused are not passed on: they may be anything. */
export function toObservedCall(call: ObservedMethod, keyRing: string): ObservedCall {
  const { method, keyId, subject, options } = call;
  const { reason, correlationId } = callOptions.shape;
  return {
    method,
    keyRing,
    keyId: typeof keyId === 'string' ? keyId : keyRing,
    subject: subject instanceof Uint8Array ? subject : undefined,
    reason: reason.safeParse(options?.reason).data,
    correlationId: correlationId.safeParse(options?.correlationId).data,
  };
}

/** The name in a key spec that was not checked yet, so that it may be anything, nothing too. */
export const nameInSpec = (spec: { readonly name?: unknown } | null | undefined): unknown => spec?.name;
