/** Signatures over data that names the key version which makes them: it has to be known before, and another one may sign. */

import type { ErrorContext } from '../errors/base.js';
import { IntegrityError, UnavailableError } from '../errors/service.js';
import type { KeyVersionInUse, SignatureDetails } from '../keys/key-provider.js';

/** A version by its full name. */
export type NamedVersion = Pick<KeyVersionInUse, 'keyVersion' | 'algorithm'>;

/** How the data is made and signed. */
interface NamingWork<Result> {
  /** The version that is expected to sign. */
  readonly inUse: () => Promise<NamedVersion>;
  /**
   * Signs data that names the version.
   * @param signer the key id to sign with.
   */
  readonly sign: (named: NamedVersion, signer: string) => Promise<Result>;
}

/** Times that a key ring which took over may be gone again when it is asked by name. */
const MAX_ROUNDS = 3;

/**
 * Signs with the key. When another version signs than the one that is named, because the key was rotated in between or
 * another key ring took over, the data is made anew for that one, and it is asked for by its name.
 */
export async function signNamingVersion<Result extends { readonly signed: SignatureDetails }>(
  context: ErrorContext,
  keyId: string,
  { inUse, sign }: NamingWork<Result>,
): Promise<Result> {
  for (let round = 1; ; round++) {
    const expected = await inUse();
    const first = await sign(expected, keyId);
    const { keyVersion, algorithm } = first.signed;
    if (keyVersion === expected.keyVersion) return first;
    try {
      const second = await sign({ keyVersion, algorithm }, keyVersion);
      if (second.signed.keyVersion === keyVersion) return second;
      throw new IntegrityError(context, `${second.signed.keyVersion} signed in the place of ${keyVersion}`);
    } catch (error) {
      if (round === MAX_ROUNDS || !(error instanceof UnavailableError)) throw error;
    }
  }
}
