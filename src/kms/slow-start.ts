/**
 * How many calls may be under way at once beyond a limit that is only assumed: few at first, because all of them are refused
 * if the quota is what it is assumed to be; one more for each that was served, so that a quota that was raised is found out
 * within a few answers. As TCP finds out what a network bears: RFC 5681 section 3.1, and RFC 6928 for the beginning.
 */

const INITIAL_CALLS = 10;
/** As long as it may be that more was served only because the minutes of the service begin at other times. */
const MAX_UNCERTAIN_CALLS = 50;

export class SlowStart {
  #most = INITIAL_CALLS;
  #underWay = 0;

  /** Whether one more may begin. If not, some are under way. */
  get isOpen(): boolean {
    return this.#underWay < this.#most;
  }

  begin(): void {
    this.#underWay += 1;
  }

  ended(): void {
    this.#underWay -= 1;
  }

  /** @param isCertain whether so much was served that the quota is higher than was assumed. */
  served(isCertain: boolean): void {
    if (isCertain || this.#most < MAX_UNCERTAIN_CALLS) this.#most += 1;
  }

  /** After a refusal, and when the limit is not passed any more: what was served then says little of what is served now. */
  startAgain(): void {
    this.#most = INITIAL_CALLS;
  }
}
