/** The built emulator in a process of its own, so that its work is not counted as the client's. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { KmsEmulatorOptions } from '../../src/emulator/index.js';
import { inRepository } from './repository.js';

const main = fileURLToPath(inRepository('dist/emulator/main.js'));
const library = inRepository('dist/emulator/index.js').href;

export interface EmulatorProcess {
  /** `HOST:PORT`. */
  readonly host: string;
  stop(): Promise<void>;
}

export async function startEmulatorProcess(...flags: readonly string[]): Promise<EmulatorProcess> {
  return running(
    spawn(process.execPath, [main, '--port', '0', ...flags], { stdio: ['ignore', 'pipe', 'ignore'] }),
  );
}

/** With options that its command line does not have, such as quotas. */
export async function startConfiguredEmulator(
  options: Pick<KmsEmulatorOptions, 'hsmLatencyMs' | 'hsmGenerationMs' | 'quota'>,
): Promise<EmulatorProcess> {
  const script = `
    const { startKmsEmulator } = await import(${JSON.stringify(library)});
    const emulator = await startKmsEmulator(${JSON.stringify(options)});
    console.log('KMS_EMULATOR_HOST=' + emulator.endpoint);`;
  return running(
    spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  );
}

async function running(child: ChildProcess): Promise<EmulatorProcess> {
  if (child.stdout === null) throw new Error('the emulator has no standard output');
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
