/** For clients of benches: that they talk to an emulator goes without saying. Errors are thrown, and end the bench. */

import type { Logger } from '../../src/index.js';

const drop = (): void => {};

export const quiet: Logger = { debug: drop, info: drop, warn: drop, error: drop };
