/** How long it takes to import the built package, against the import of the official client. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Bench, lowerIsBetter, median } from './measure.js';
import { inRepository } from './repository.js';

const ROUNDS = 11;
const root = fileURLToPath(inRepository('.'));
const builtPackage = inRepository('dist/index.js').href;

export async function benchColdImport(): Promise<readonly Bench[]> {
  const oursMs: number[] = [];
  const referenceMs: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    oursMs.push(await importMs(builtPackage));
    referenceMs.push(await importMs('@google-cloud/kms'));
  }
  // The first round reads the files from disk.
  return [
    {
      id: 'cold.import',
      result: lowerIsBetter('ms', median(oursMs.slice(1)), median(referenceMs.slice(1))),
      ratioFloor: 1,
    },
  ];
}

/** Time of one import in a new process, without the start of Node itself. */
async function importMs(specifier: string): Promise<number> {
  const script = `
    const start = performance.now();
    await import(${JSON.stringify(specifier)});
    process.stdout.write(String(performance.now() - start));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: root,
  });
  return Number(stdout);
}
