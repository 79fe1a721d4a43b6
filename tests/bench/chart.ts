/** `npm run bench:chart`: makes docs/performance.md and its chart from results.json. `npm run bench` does so by itself. */

import { CHART, PAGE, writePerformancePage } from './performance-page.js';
import { RESULTS, readResults } from './results-file.js';

writePerformancePage(readResults(RESULTS));
console.log(`${PAGE} and ${CHART} are made of ${RESULTS}`);
