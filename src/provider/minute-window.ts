/** What was used in the last minute, in slices of a second. Its times are those of a clock that is never set back. */

const SLICE_MS = 1_000;
/** The slice that runs, and a whole minute before it. */
const SLICES = 61;

export class MinuteWindow {
  /** By the number of their second modulo their count. */
  readonly #slices = new Float64Array(SLICES);
  /** The second that runs. */
  #second = 0;
  #total = 0;

  /** Counts an amount that is used at that time, which is not before that of a call before. */
  add(at: number, amount: number): void {
    const second = Math.floor(at / SLICE_MS);
    this.#moveTo(second);
    this.#slices[second % SLICES] = (this.#slices[second % SLICES] ?? 0) + amount;
    this.#total += amount;
  }

  /** All that was used in the last minute, and up to a second longer. */
  total(now: number): number {
    this.#moveTo(Math.floor(now / SLICE_MS));
    return this.#total;
  }

  /** When no more than `most` is left of it, if nothing is added. Not before now. */
  fallsTo(most: number, now: number): number {
    let left = this.total(now);
    for (let second = this.#second - SLICES + 1; left > most && second <= this.#second; second++) {
      left -= this.#slices[(second + SLICES) % SLICES] ?? 0;
      if (left <= most) return (second + SLICES) * SLICE_MS;
    }
    return now;
  }

  clear(): void {
    this.#slices.fill(0);
    this.#total = 0;
  }

  #moveTo(second: number): void {
    if (second - this.#second >= SLICES) {
      this.clear();
      this.#second = second;
      return;
    }
    while (this.#second < second) {
      this.#second += 1;
      const index = this.#second % SLICES;
      this.#total -= this.#slices[index] ?? 0;
      this.#slices[index] = 0;
    }
  }
}
