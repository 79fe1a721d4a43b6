/** A clock on the wall that can be set, over time that a test moves on. */

import { ManualClock } from '../../src/emulator/index.js';

export class SettableClock extends ManualClock {
  /** How far the wall clock was set, in milliseconds. */
  stepMs = 0;

  override now(): number {
    return super.now() + this.stepMs;
  }
}
