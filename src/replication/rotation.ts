/** Rotation of a key in all its rings. */

import type { RotationOptions } from '../keys/call-options.js';
import type { RotationResult } from '../keys/key-provider.js';
import type { KeyRings } from './key-rings.js';

interface RotationStep {
  readonly step: 'rotateKey' | 'prepareRotation' | 'activateRotation';
  readonly keyId: string;
}

export function rotateEverywhere(
  rings: KeyRings,
  { step, keyId }: RotationStep,
  options: RotationOptions | undefined,
): Promise<RotationResult> {
  const { replacing, ...rest } = options ?? {};
  return rings.change(step, keyId, (provider, id, { keyRing }) => {
    // A version is named in one ring; in the others the rotation is as unconditional as it is without a name.
    const isHere = replacing === undefined || replacing.startsWith(`${keyRing}/`);
    return provider[step](id, isHere ? options : rest);
  });
}
