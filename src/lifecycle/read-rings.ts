/** Looks into all key rings of the agents at once, and tells what each said and which ones could not say. */

import { A2AKmsError } from '../errors/base.js';
import type { ErrorCode } from '../errors/error-code.js';
import { AgentKeyNotFoundError } from '../errors/keys.js';
import type { LocationFailure } from '../errors/replication.js';

/** A key ring that could not be read, and why. */
export interface UnreadKeyRing {
  /** Full name of the key ring. */
  readonly keyRing: string;
  readonly reason: string;
  readonly code?: ErrorCode;
}

/** What a key ring said. */
interface Read<T> {
  readonly keyRing: string;
  readonly value: T;
}

/** What was read, in the order of the key rings. */
export interface ReadRings<T> {
  readonly found: readonly [Read<T>, ...Read<T>[]];
  readonly failures: readonly LocationFailure[];
}

/**
 * @throws when none could be read: the error of the first one, but one that says that an agent is not there only when
 *   all say so.
 */
export async function readRings<Ring extends { readonly keyRing: string }, T>(
  rings: readonly Ring[],
  read: (ring: Ring) => Promise<T>,
): Promise<ReadRings<T>> {
  const found: Read<T>[] = [];
  const failures: LocationFailure[] = [];
  const outcomes = await Promise.all(
    rings.map(async (ring) => {
      const [outcome] = await Promise.allSettled([read(ring)]);
      return { keyRing: ring.keyRing, outcome };
    }),
  );
  for (const { keyRing, outcome } of outcomes) {
    if (outcome.status === 'fulfilled') found.push({ keyRing, value: outcome.value });
    else failures.push({ keyRing, problem: problemOf(outcome.reason), cause: outcome.reason });
  }
  const [first, ...others] = found;
  if (first === undefined) {
    const causes = failures.map(({ cause }) => cause);
    throw causes.find((cause) => !(cause instanceof AgentKeyNotFoundError)) ?? causes[0];
  }
  return { found: [first, ...others], failures };
}

/** A failure as reports have it. */
export function failureOf(error: unknown): Omit<UnreadKeyRing, 'keyRing'> {
  return { reason: messageOf(error), ...(error instanceof A2AKmsError && { code: error.code }) };
}

export const toUnread = ({ keyRing, cause }: LocationFailure): UnreadKeyRing => ({
  keyRing,
  ...failureOf(cause),
});

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const problemOf = (error: unknown): string => (error instanceof A2AKmsError ? error.code : messageOf(error));
