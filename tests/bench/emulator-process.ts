/** The built emulator in a process of its own, so that its work is not counted as the client's. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { inRepository } from './repository.js';

const main = fileURLToPath(inRepository('dist/emulator/main.js'));

export interface EmulatorProcess {
  /** `HOST:PORT`. */
  readonly host: string;
  stop(): Promise<void>;
}

export async function startEmulatorProcess(...flags: readonly string[]): Promise<EmulatorProcess> {
  const child = spawn(process.execPath, [main, '--port', '0', ...flags], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [line] = await once(createInterface(child.stdout), 'line');
  const host = /^KMS_EMULATOR_HOST=(.+)$/.exec(String(line))?.[1];
  if (host === undefined) throw new Error(`the emulator did not start: ${String(line)}`);
  return {
    host,
    stop: async () => {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}
