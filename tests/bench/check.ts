/**
 * `npm run bench:check`: compares the ratios of results.json with those of baseline.json; status 1 when one became worse by
 * more than 15 %. `npm run bench:check -- --update-baseline` takes the results as the new baseline.
 */

import { describeLoss, findLosses, findNew } from './compare-results.js';
import { BASELINE, RESULTS, readResults, writeResults } from './results-file.js';

const args = process.argv.slice(2);
const results = readResults(RESULTS);
if (args.length === 0) {
  const baseline = readResults(BASELINE);
  const losses = findLosses(results, baseline);
  for (const loss of losses) console.error(describeLoss(loss));
  for (const id of findNew(results, baseline)) console.log(`${id}: not in the baseline yet`);
  console.log(`${baseline.benches.size} ratios compared, ${losses.length} lost`);
  process.exitCode = losses.length === 0 ? 0 : 1;
} else if (args.length === 1 && args[0] === '--update-baseline') {
  writeResults(BASELINE, results);
  console.log(`${BASELINE}: ${results.benches.size} ratios`);
} else {
  console.error(`usage: npm run bench:check [-- --update-baseline]`);
  process.exitCode = 2;
}
