/**
 * What all errors of this library have in common: one base class, and in the files beside it one subclass per thing a caller
 * can act on. `code` is stable and, by `isA2AKmsError`, narrows the type; the message says what was attempted on which resource and what to do
 * next. No error holds key material, plaintext, a digest or a credential.
 */

import type { ErrorCode } from './error-code.js';

/** What an error knows about the call that failed. */
export interface ErrorContext {
  /**
   * The public method that failed, e.g. `sign`. A method that makes several calls may fail in one of them: an agent's key
   * that cannot be read is `getKey`.
   */
  readonly operation: string;
  /** The resource it was called for: a full resource name, an agent id or a configuration. */
  readonly resource: string;
  /** How many times Cloud KMS was asked before giving up; 0 when the input was refused before any call. */
  readonly attempts?: number;
  readonly cause?: unknown;
}

/**
 * The base of all errors of this library. Go by `code` (`isA2AKmsError`) where the package may be there twice, by `import` and
 * by `require`: `instanceof` knows only the classes of its own copy.
 */
export abstract class A2AKmsError extends Error {
  /** Stable, machine-readable. See docs/troubleshooting.md for one entry per code. */
  abstract readonly code: ErrorCode;
  readonly operation: string;
  readonly resource: string;
  readonly attempts: number;

  constructor(message: string, context: ErrorContext) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.name = new.target.name;
    this.operation = context.operation;
    this.resource = context.resource;
    this.attempts = context.attempts ?? 0;
  }
}

/** The message of an error: what was attempted on which resource, what happened, and what to do next. */
export const sentence = (context: ErrorContext, what: string, next: string): string =>
  `${context.operation} on ${context.resource}: ${what} ${next}`;

/** A text of somebody else at the end of a sentence: with one full stop, whether it brings its own or not. */
export const endSentence = (text: string): string => (/[.!?…]$/.test(text) ? text : `${text}.`);
