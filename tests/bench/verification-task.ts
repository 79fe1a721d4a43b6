/** What the process that verifies is told, what it answers, and what both it and the one that starts it do. */

import { z } from 'zod';

export const KEY_RING = {
  projectId: 'bench',
  locationId: 'europe-west3',
  keyRingId: 'verification',
} as const;

export const verificationTask = z.object({
  emulatorHost: z.string(),
  key: z.string(),
  /** As `crypto.verify` takes it. */
  digest: z.string().nullable(),
  message: z.base64(),
  signature: z.base64(),
  /** Verifications of one round. */
  count: z.int(),
});
/** Verifications for each second of CPU time, and the median of the ratios of the rounds. */
export const verificationRates = z.object({ ours: z.number(), reference: z.number(), ratio: z.number() });

export type VerificationTask = z.output<typeof verificationTask>;

/** Verifies so often, one after the other. */
export async function verifyInTurn(count: number, call: () => Promise<boolean>): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    if (!(await call())) throw new Error('the signature does not verify');
  }
}
