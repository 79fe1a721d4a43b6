#!/usr/bin/env node
/** The bin `a2a-kms-emulator`. */

import { InvalidConfigError } from '../errors/input.js';
import { parseCommandLine, USAGE } from './cli.js';
import { startKmsEmulator } from './server.js';

async function main(): Promise<number | undefined> {
  const command = parseCommandLine(process.argv.slice(2));
  if (command.kind === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (command.kind === 'refuse') {
    process.stderr.write(`${command.problem}\n\n${USAGE}`);
    return 2;
  }
  const emulator = await startKmsEmulator(command.options);
  // Whoever reads the line may end this process at once.
  const ended = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  process.stdout.write(`KMS_EMULATOR_HOST=${emulator.endpoint}\n`);
  await ended;
  await emulator.close();
  return 0;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof InvalidConfigError ? 2 : 1;
  },
);
