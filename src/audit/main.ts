#!/usr/bin/env node
/** The bin `a2a-kms-verify-audit`. */

import { runVerifyAudit } from './cli.js';

runVerifyAudit(process.argv.slice(2), process).then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  },
);
