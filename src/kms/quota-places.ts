/** The places of callers that do not wait for a quota that is used up, but come back: one for each, first come first served. */

import type { Turn } from './quota-turn.js';

/** A place is kept for so long after the moment at which its caller was told to come back. */
const KEPT_MS = 10_000;

export interface Place {
  readonly caller: string;
  readonly tokens: number;
  /** As soon as it has come. */
  turn: Turn | undefined;
  /** When it is given up, by the monotonic clock. */
  until: number;
  /** Whether its caller had its turn before, and was not served. */
  readonly isReturned: boolean;
}

export class QuotaPlaces {
  #places = new Map<string, Place>();

  get isEmpty(): boolean {
    return this.#places.size === 0;
  }

  get(caller: string): Place | undefined {
    return this.#places.get(caller);
  }

  /** The caller's place, kept for a while from `at` on; the last one, if it had none. */
  keep(caller: string, tokens: number, at: number): Place {
    const known = this.#places.get(caller);
    const place: Place = known ?? { caller, tokens, turn: undefined, until: 0, isReturned: false };
    place.until = at + KEPT_MS;
    if (known === undefined) this.#places.set(caller, place);
    return place;
  }

  /** A place before all that had no turn yet, for a caller that had one and was not served. */
  keepFirst(caller: string, tokens: number, at: number): void {
    if (this.#places.has(caller)) return;
    const place: Place = { caller, tokens, turn: undefined, until: at + KEPT_MS, isReturned: true };
    const others = [...this.#places];
    this.#places = new Map([
      ...others.filter(([, { isReturned }]) => isReturned),
      [caller, place],
      ...others.filter(([, { isReturned }]) => !isReturned),
    ]);
  }

  giveUp(caller: string): void {
    this.#places.delete(caller);
  }

  /** The first of those that have no turn yet. */
  get first(): Place | undefined {
    if (this.isEmpty) return undefined;
    for (const place of this.#places.values()) if (place.turn === undefined) return place;
    return undefined;
  }

  /**
   * Gives up places that nobody comes for; a turn that is not current any more is waited for again.
   * @returns the turns that nobody takes.
   */
  dropUnclaimed(now: number, isCurrent: (turn: Turn) => boolean): readonly Turn[] {
    const unclaimed: Turn[] = [];
    for (const [caller, place] of this.#places) {
      const { turn, until } = place;
      if (now < until && (turn === undefined || isCurrent(turn))) continue;
      if (turn !== undefined) unclaimed.push(turn);
      place.turn = undefined;
      if (now >= until) this.#places.delete(caller);
    }
    return unclaimed;
  }
}
