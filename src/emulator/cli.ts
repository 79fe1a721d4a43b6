/** The command line of the emulator. `main.ts` gives it the process; everything here can be tested. */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { KmsEmulatorOptions } from './options.js';

export const USAGE = `Usage: a2a-kms-emulator [options]

A local Cloud KMS for tests and development. No place for real keys.

  --port N              port to listen on; 0, the default, takes a free one
  --host H              address to listen on; default 127.0.0.1
  --hsm-latency-ms N    how long an operation with an HSM key takes; default 0
  --state-file PATH     keep the keys in a file, over restarts
  --iam PATH            enforce IAM, with bindings, roles, tokens and serviceAccounts from a JSON file
  --help                show this text

Prints KMS_EMULATOR_HOST=HOST:PORT as soon as it serves.
`;

type Command =
  | { readonly kind: 'serve'; readonly options: KmsEmulatorOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'refuse'; readonly problem: string };

/** What the arguments ask for. */
export function parseCommandLine(args: readonly string[]): Command {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        'hsm-latency-ms': { type: 'string' },
        'state-file': { type: 'string' },
        iam: { type: 'string' },
        help: { type: 'boolean' },
      },
    });
    if (values.help) return { kind: 'help' };
    return {
      kind: 'serve',
      options: {
        port: wholeNumber('--port', values.port),
        host: values.host,
        hsmLatencyMs: wholeNumber('--hsm-latency-ms', values['hsm-latency-ms']),
        stateFile: values['state-file'],
        ...(values.iam !== undefined && { iam: JSON.parse(readFileSync(values.iam, 'utf8')) }),
      },
    };
  } catch (error) {
    return { kind: 'refuse', problem: error instanceof Error ? error.message : String(error) };
  }
}

function wholeNumber(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,9}$/.test(text))
    throw new TypeError(`${flag} takes a whole number, got ${JSON.stringify(text)}`);
  return Number(text);
}
