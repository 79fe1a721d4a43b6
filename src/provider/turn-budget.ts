/**
 * Keeps the event loop turning while much is computed on it: within a turn of the loop only so much is done at once, and
 * what is more waits for its turn, in the order in which it came. Counted in units, not in time, so that it costs nothing
 * and behaves the same on every machine.
 */

interface Waiting {
  readonly units: number;
  readonly enter: () => void;
}

export class TurnBudget {
  readonly #unitsPerTurn: number;
  readonly #waiting = new Set<Waiting>();
  #used = 0;
  #isTurning = false;

  constructor(unitsPerTurn: number) {
    this.#unitsPerTurn = unitsPerTurn;
  }

  /** Whether work is waiting. */
  get isBusy(): boolean {
    return this.#waiting.size > 0;
  }

  /** Whether the work may be done at once. What is done last in a turn may be larger than what was left of it. */
  take(units: number): boolean {
    if (this.#waiting.size > 0 || this.#used >= this.#unitsPerTurn) return false;
    this.#spend(units);
    return true;
  }

  /** Waits until the work may be done: in one of the next turns of the event loop. */
  wait(units: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add({ units, enter: resolve });
      this.#turn();
    });
  }

  #spend(units: number): void {
    this.#used += units;
    // Calls that come one in a turn, as they mostly do, do not each pay for finding out that it has passed.
    if (this.#used * 2 >= this.#unitsPerTurn) this.#turn();
  }

  #turn(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    setImmediate(() => {
      this.#isTurning = false;
      this.#used = 0;
      for (const waiting of this.#waiting) {
        if (this.#used >= this.#unitsPerTurn) break;
        this.#waiting.delete(waiting);
        this.#spend(waiting.units);
        waiting.enter();
      }
      if (this.#waiting.size > 0) this.#turn();
    });
  }
}
