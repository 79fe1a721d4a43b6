import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StateFile } from '../../src/emulator/state-file.js';

let directory: string;
let path: string;
let value: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'state-'));
  path = join(directory, 'folder', 'state.json');
  value = 0;
});
afterEach(() => rmSync(directory, { recursive: true }));

const part = {
  snapshot: () => ({ value }),
  restore: (state: object) => {
    if (!('value' in state)) throw new TypeError('no value');
    value = Number(state.value);
  },
};
const stateFile = () => new StateFile(path, { kms: part, iam: { snapshot: () => ({}), restore: () => {} } });
const onDisk = (): unknown => JSON.parse(readFileSync(path, 'utf8')).kms.value;

describe('StateFile', () => {
  it('reports a write that failed, and writes again when it can', async () => {
    const file = stateFile();
    value = 1;
    await expect(file.save()).rejects.toThrow('ENOENT');
    await file.settled();
    mkdirSync(join(directory, 'folder'));
    await file.save();
    expect(onDisk()).toBe(1);
  });

  it('refuses a folder that is not there, before anything is to be written', async () => {
    await expect(stateFile().open()).rejects.toThrow(
      `stateFile: the folder ${join(directory, 'folder')} is not there`,
    );
  });

  it('refuses a file that another one uses, until that one is closed', async () => {
    mkdirSync(join(directory, 'folder'));
    const first = stateFile();
    await first.open();
    await expect(stateFile().open()).rejects.toThrow(
      `${path} cannot be used: process ${process.pid} holds it`,
    );
    await first.close();
    const second = stateFile();
    await second.open();
    await second.close();
    expect(existsSync(`${path}.lock`)).toBe(false);
  });

  it('puts changes that come while it writes into one more write', async () => {
    mkdirSync(join(directory, 'folder'));
    const file = stateFile();
    const saves = Array.from({ length: 50 }, (_, n) => {
      value = n;
      return file.save();
    });
    await Promise.all(saves);
    expect(onDisk()).toBe(49);
    expect(new Set(saves).size).toBeLessThanOrEqual(2);
  });

  it('reads what it wrote, and refuses what is not its own, naming the file', async () => {
    mkdirSync(join(directory, 'folder'));
    value = 7;
    await stateFile().save();
    value = 0;
    const reader = stateFile();
    await reader.open();
    await reader.close();
    expect(value).toBe(7);
    for (const text of ['{', '{}', readFileSync(path, 'utf8').replace('"value"', '"other"')]) {
      writeFileSync(path, text);
      await expect(stateFile().open()).rejects.toThrow(`${path} is not a state file`);
    }
  });
});
