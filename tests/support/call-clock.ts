/** A clock under a test's control that tells the timers that a call waits for from those in the background. */

import type { CancelTimer, TimerOptions } from '../../src/clock.js';
import { ManualClock } from '../../src/emulator/index.js';

export class CallClock extends ManualClock {
  /** How many timers wait that are not in the background: deadlines, and delays between attempts. */
  awaitedTimers = 0;

  override setTimer(delayMs: number, callback: () => void, options?: TimerOptions): CancelTimer {
    if (options?.kind === 'background') return super.setTimer(delayMs, callback);
    let isPending = true;
    const over = (): void => {
      if (isPending) this.awaitedTimers -= 1;
      isPending = false;
    };
    this.awaitedTimers += 1;
    const cancel = super.setTimer(delayMs, () => {
      over();
      callback();
    });
    return () => {
      over();
      cancel();
    };
  }
}
