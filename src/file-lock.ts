/**
 * One user for each file that is written by one: two audit trails that continue the same chain would fork it, two emulators
 * would undo what the other one saved. The lock is a file beside it that names its holder; that of a process that ended
 * without giving it back is taken over.
 */

import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { z } from 'zod';

const holderSchema = z.object({
  host: z.string(),
  pid: z.int(),
  /** When the process began, where the system tells; a process id is given out again. */
  started: z.string().nullable(),
  id: z.string(),
});
type Holder = z.output<typeof holderSchema>;

/** Locks that were given back here, in case one could not be removed. A worker, or a copy of this module, has its own. */
const released = new Set<string>();

export interface FileLock {
  release(): Promise<void>;
}

/** @throws Error saying who holds it. */
export async function lockFile(path: string): Promise<FileLock> {
  const own: Holder = {
    host: hostname(),
    pid: process.pid,
    started: await startOf(process.pid),
    id: randomUUID(),
  };
  const temporary = `${path}.${own.id}`;
  await writeFile(temporary, JSON.stringify(own), { flag: 'wx', mode: 0o600 });
  try {
    if (!(await isLinked(temporary, path))) {
      await removeIfStale(path);
      if (!(await isLinked(temporary, path))) throw new Error(`another process took ${path} just now`);
    }
  } finally {
    await rm(temporary, { force: true });
  }
  return {
    release: async () => {
      released.add(own.id);
      // Somebody who removed it by hand may have let another process in.
      if ((await holderOf(path))?.id !== own.id) return;
      await rm(path, { force: true });
    },
  };
}

/** Undefined where there is no lock, or something else. */
async function holderOf(path: string): Promise<Holder | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return holderSchema.safeParse(parseJson(text)).data;
}

/** A link appears with its content, and only where there is none. */
async function isLinked(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function removeIfStale(path: string): Promise<void> {
  const text = await readFile(path, 'utf8');
  const parsed = holderSchema.safeParse(parseJson(text));
  if (!parsed.success)
    throw new Error(`${path} is not a lock of a2a-kms; remove it if no process uses the file`);
  const { host, pid } = parsed.data;
  if (host !== hostname()) {
    throw new Error(`process ${pid} on ${host} holds it; if that has ended, remove ${path}`);
  }
  if (await isAlive(parsed.data)) {
    const where = pid === process.pid ? ' (this one: another user, thread or copy of the library)' : '';
    throw new Error(`process ${pid} holds it${where}; use one file for each`);
  }
  // Whoever else found it stale may have put its own in place by now.
  const aside = `${path}.${randomUUID()}`;
  await rename(path, aside);
  if ((await readFile(aside, 'utf8')) !== text) await isLinked(aside, path);
  await rm(aside, { force: true });
}

async function isAlive({ pid, started, id }: Holder): Promise<boolean> {
  if (pid === process.pid && started === (await startOf(pid))) return !released.has(id);
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  return started === null || started === (await startOf(pid));
}

/** Field 22 of /proc/PID/stat (proc(5)), ticks since the start of the system; null where there is none. */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The second field is the name of the program in brackets, and may hold blanks.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
