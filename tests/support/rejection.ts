/** What a call of the official client was refused with. */

import { status } from '@grpc/grpc-js';

export interface Rejection {
  readonly code: string;
  readonly message: string;
  readonly details: readonly unknown[];
}

/** The status of a call that must fail. */
export async function rejectionOf(call: Promise<unknown>): Promise<Rejection> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    const details = 'statusDetails' in error && Array.isArray(error.statusDetails) ? error.statusDetails : [];
    return { code: status[Number(error.code)] ?? String(error.code), message: error.message, details };
  }
  throw new Error('the call succeeded');
}
