/** Several processes that use the same key ring, and begin what they are told at the same time. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { KmsEmulator } from '../../src/emulator/index.js';

export type KeyTask = { readonly keyName: string } & (
  | { readonly do: 'rotate'; readonly replacing?: string | undefined }
  | { readonly do: 'prepare' | 'activate' | 'look' | 'leave' }
  | { readonly do: 'label'; readonly label: string; readonly value: string }
);

const outcome = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), value: z.unknown() }),
  z.object({ ok: z.literal(false), code: z.string(), message: z.string() }),
]);
export type TaskOutcome = z.infer<typeof outcome>;

export interface KeyProcesses extends AsyncDisposable {
  /** The task of each process; they begin together, and the outcomes are in the same order. */
  race(tasks: readonly KeyTask[]): Promise<readonly TaskOutcome[]>;
}

const script = fileURLToPath(new URL('./key-process.ts', import.meta.url));

export async function startKeyProcesses(emulator: KmsEmulator, count: number): Promise<KeyProcesses> {
  const directory = await mkdtemp(join(tmpdir(), 'raced-public-keys-'));
  const processes = Array.from({ length: count }, () =>
    fork(script, {
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, KMS_EMULATOR_HOST: emulator.endpoint, PUBLIC_KEYS: directory },
    }),
  );
  await Promise.all(processes.map(nextOutcome));
  return {
    race: (tasks) =>
      Promise.all(
        tasks.map((task, index) => {
          const child = processes[index];
          if (child === undefined) throw new Error('there are more tasks than processes');
          const answer = nextOutcome(child);
          child.send(task);
          return answer;
        }),
      ),
    async [Symbol.asyncDispose]() {
      await Promise.all(
        processes.map(async (child) => {
          const exited = once(child, 'exit');
          child.send({ do: 'leave', keyName: '' } satisfies KeyTask);
          await exited;
        }),
      );
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function nextOutcome(child: ChildProcess): Promise<TaskOutcome> {
  return new Promise((resolve, reject) => {
    const onExit = (): void => reject(new Error('a process ended before its task'));
    child.once('exit', onExit);
    child.once('message', (answer) => {
      child.off('exit', onExit);
      resolve(outcome.parse(answer));
    });
  });
}
