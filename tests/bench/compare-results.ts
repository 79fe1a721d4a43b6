/**
 * Compares results with a baseline by their ratios alone: times depend on the machine and on what else it does, and a ratio
 * is between two sides that both met it.
 */

import type { Results } from './results-file.js';

/** "fails on a loss over 15 %". */
export const MAX_LOSS = 0.15;

/** Lines whose reference is a limit and not another implementation: how far below it they stay says little. */
const LIMITS = [
  /\.event-loop-delay-p99$/,
  /\.p99-against-3-operations$/,
  /^agents\.memory$/,
  /\.memory-growth$/,
];

export type Loss =
  | { readonly kind: 'missing'; readonly id: string }
  | { readonly kind: 'beyond-limit'; readonly id: string; readonly ratio: number }
  | { readonly kind: 'loss'; readonly id: string; readonly ratio: number; readonly baseline: number };

/** What became worse than the baseline by more than the loss that is allowed, and what is no longer measured. */
export function findLosses(results: Results, baseline: Results): readonly Loss[] {
  return [...baseline.benches].flatMap(([id, { ratio: before }]): readonly Loss[] => {
    const ratio = results.benches.get(id)?.ratio;
    if (ratio === undefined) return [{ kind: 'missing', id }];
    if (LIMITS.some((pattern) => pattern.test(id))) {
      return ratio < 1 && before >= 1 ? [{ kind: 'beyond-limit', id, ratio }] : [];
    }
    return ratio < before * (1 - MAX_LOSS) ? [{ kind: 'loss', id, ratio, baseline: before }] : [];
  });
}

/** Lines that the baseline does not have yet. */
export function findNew(results: Results, baseline: Results): readonly string[] {
  return [...results.benches.keys()].filter((id) => !baseline.benches.has(id));
}

export function describeLoss(loss: Loss): string {
  switch (loss.kind) {
    case 'missing':
      return `${loss.id}: is in the baseline and was not measured`;
    case 'beyond-limit':
      return `${loss.id}: is beyond its limit (ratio ${loss.ratio}), which it kept before`;
    case 'loss': {
      const percent = Math.round((1 - loss.ratio / loss.baseline) * 100);
      return `${loss.id}: ratio ${loss.ratio}, was ${loss.baseline}: ${percent} % lost, at most ${MAX_LOSS * 100} % are allowed`;
    }
  }
}
