/** What callers pass or configure is refused, before any call is made. */

import { A2AKmsError, type ErrorContext, sentence } from './base.js';

/** One thing that is wrong with the configuration. */
export interface ConfigProblem {
  /** Dotted path of the field, or the name of the environment variable. */
  readonly field: string;
  readonly problem: string;
}

/** The configuration is not usable. Lists every problem, not only the first. */
export class InvalidConfigError extends A2AKmsError {
  readonly code = 'INVALID_CONFIG';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const list = problems.map(({ field, problem }) => `${field}: ${problem}`).join('; ');
    super(
      `The configuration is not usable (${problems.length} problem${problems.length === 1 ? '' : 's'}): ${list}.`,
      {
        operation: 'configure',
        resource: 'configuration',
      },
    );
    this.problems = problems;
  }
}

/** An argument was refused, by this library before any call, or by Cloud KMS (then `attempts` is above 0). */
export class InvalidArgumentError extends A2AKmsError {
  readonly code = 'INVALID_ARGUMENT';

  constructor(context: ErrorContext, problem: string) {
    super(sentence(context, problem, 'Correct the argument and call again.'), context);
  }
}

/** The data is larger than one Cloud KMS request may carry. Nothing was sent. */
export class DataTooLargeError extends A2AKmsError {
  readonly code = 'DATA_TOO_LARGE';
  readonly sizeBytes: number;
  readonly limitBytes: number;

  constructor(
    context: ErrorContext,
    size: { readonly what: string; readonly sizeBytes: number; readonly limitBytes: number },
    next: string,
  ) {
    super(
      sentence(
        context,
        `${size.what} of ${size.sizeBytes} bytes exceeds the limit of ${size.limitBytes} bytes.`,
        next,
      ),
      context,
    );
    this.sizeBytes = size.sizeBytes;
    this.limitBytes = size.limitBytes;
  }
}

/** The algorithm does not exist, does not fit the purpose, or does not exist in the protection level asked for. */
export class UnsupportedAlgorithmError extends A2AKmsError {
  readonly code = 'UNSUPPORTED_ALGORITHM';
  /** The algorithms that would be accepted in its place. */
  readonly alternatives: readonly string[];

  constructor(context: ErrorContext, problem: string, alternatives: readonly string[]) {
    super(sentence(context, problem, `Use one of: ${alternatives.join(', ')}.`), context);
    this.alternatives = alternatives;
  }
}

/** A key of that name exists, but it is not the key that was asked for. It was left as it is. */
export class KeySpecMismatchError extends A2AKmsError {
  readonly code = 'KEY_SPEC_MISMATCH';
  /** Field → what was asked for and what the existing key has. */
  readonly differences: readonly {
    readonly field: string;
    readonly expected: string;
    readonly actual: string;
  }[];

  constructor(
    context: ErrorContext,
    differences: readonly { readonly field: string; readonly expected: string; readonly actual: string }[],
  ) {
    const list = differences
      .map((d) => `${d.field} is ${d.actual}, but ${d.expected} was asked for`)
      .join('; ');
    super(
      sentence(
        context,
        `a key of that name exists and differs: ${list}.`,
        'Choose another name, or ask for what exists.',
      ),
      context,
    );
    this.differences = differences;
  }
}
