/**
 * Measures in a process of its own. How V8 happens to compile a process stays with it, and moves its CPU times by up to a
 * tenth for either side: more than what is measured. So that is done in several, and the median is taken.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export const PROCESSES = 5;

/** Starts a module that is built beside this one, sends it what to do and returns what it answers before it ends. */
export async function inNewProcess(module: string, task: object): Promise<unknown> {
  const child = fork(fileURLToPath(new URL(`./${module}.js`, import.meta.url)));
  const exited = once(child, 'exit');
  child.send(task);
  const [answer] = await Promise.race([
    once(child, 'message'),
    exited.then(([code]) => Promise.reject(new Error(`${module} ended with status ${code}`))),
  ]);
  await exited;
  return answer;
}
