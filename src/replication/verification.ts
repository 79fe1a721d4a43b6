/** Verifies a signature that may be by the key of any location. */

import { NotFoundError, NoUsableVersionError } from '../errors/keys.js';
import type { VerifyOptions } from '../keys/call-options.js';
import type { KeyProvider } from '../keys/key-provider.js';
import { isLocationFailure } from '../provider/location-failure.js';
import { type FailoverOptions, shareOfTime } from './failover.js';
import type { Location } from './location.js';

/** What a location said of a signature that is not by its key. */
type No =
  | { readonly kind: 'invalid' }
  /** It has no key to verify with. */
  | { readonly kind: 'absent'; readonly error: unknown }
  /** It could not say. */
  | { readonly kind: 'failed'; readonly error: unknown };

/**
 * Asks one location after the other, those that can be reached first, within one deadline. It goes past the breakers:
 * what is cached verifies also while a location is down. Only what no location knows is looked for in new versions: what a
 * standby signed must not wait for a look at the first location, which may be down, nor use up the looks.
 * @throws the failure of a location that could not say, when no other one knows the signature; the first location's error
 *   when none has a key to verify with.
 */
export async function verifyInAny(
  { clock, operationMs }: FailoverOptions,
  asked: { readonly locations: readonly Location[]; readonly options: VerifyOptions | undefined },
  verify: (provider: KeyProvider, options: VerifyOptions) => Promise<boolean>,
): Promise<boolean> {
  const { locations, options } = asked;
  const endMs = clock.monotonic() + (options?.timeoutMs ?? operationMs);
  const byReach = locations.toSorted((a, b) => Number(a.isOpen) - Number(b.isOpen));
  const answers = new Map<Location, No>();
  for (const newVersions of options?.newVersions === 'ignore' ? IGNORE : IGNORE_THEN_LOOK) {
    const left = byReach.filter((location) => mayAnswer(answers.get(location)));
    for (const [index, location] of left.entries()) {
      const timeoutMs = shareOfTime(endMs - clock.monotonic(), left.length - index);
      const own = { ...options, timeoutMs, newVersions };
      const answer = await answerOf(() => verify(location.provider, own));
      if (answer === 'valid') return true;
      answers.set(location, answer);
    }
  }
  const all = byReach.flatMap((location) => answers.get(location) ?? []);
  const failed = all.find(({ kind }) => kind === 'failed');
  const decisive = failed ?? (all.every(({ kind }) => kind === 'absent') ? all[0] : undefined);
  if (decisive !== undefined && decisive.kind !== 'invalid') throw decisive.error;
  return false;
}

const IGNORE = ['ignore'] as const;
const IGNORE_THEN_LOOK = ['ignore', 'look'] as const;

/** Whether it makes sense to ask: for the first time, or once more because versions may be new. */
const mayAnswer = (no: No | undefined): boolean =>
  no === undefined || no.kind === 'invalid' || no.error instanceof NoUsableVersionError;

async function answerOf(verify: () => Promise<boolean>): Promise<'valid' | No> {
  try {
    return (await verify()) ? 'valid' : { kind: 'invalid' };
  } catch (error) {
    if (isLocationFailure(error)) return { kind: 'failed', error };
    if (error instanceof NotFoundError || error instanceof NoUsableVersionError)
      return { kind: 'absent', error };
    throw error;
  }
}
