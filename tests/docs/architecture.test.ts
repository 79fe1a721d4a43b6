/** The table of docs/architecture.md says what .dependency-cruiser.cjs enforces, and neither says more than the code needs. */

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const rulesSchema = z.object({
  forbidden: z.array(z.object({ name: z.string(), comment: z.string().optional() })),
});
const { forbidden } = rulesSchema.parse(createRequire(import.meta.url)('../../.dependency-cruiser.cjs'));

/** What the rules let each folder or file import, e.g. `kms/` → `keys/`, `clock.ts`. */
const rules = new Map(
  forbidden.flatMap(({ comment = '' }) => {
    const [, from = '', to = ''] = /^src\/(\S+) may import (.*)$/.exec(comment) ?? [];
    return from === ''
      ? []
      : [[from, [...to.matchAll(/src\/([^,]+)/g)].map(([, name = '']) => name)] as const];
  }),
);

const namesIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

const rows = [
  ...readFileSync('docs/architecture.md', 'utf8').matchAll(/^\| (`[^|]*) \|[^|]*\| ([^|]*) \|$/gm),
].map(([, names = '', imports = '']) => ({ names: namesIn(names), imports }));
const leaves = rows.find(({ names }) => names.includes('errors/'))?.names ?? [];
const documented = rows.flatMap(({ names, imports }) => names.map((name) => ({ name, imports })));

/** What the files of a folder, or one file, import from elsewhere in src. */
function importsOf(entry: string): string[] {
  const files = entry.endsWith('/')
    ? readdirSync(`src/${entry}`, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts'))
        .map((path) => posix.join(entry, path))
    : [entry];
  return files.flatMap((file) =>
    [...readFileSync(`src/${file}`, 'utf8').matchAll(/(?:from |import\()'(\.[^']+)\.js'/g)].map(
      ([, path = '']) => `${posix.join(posix.dirname(file), path)}.ts`,
    ),
  );
}

describe('the table of folders in docs/architecture.md', () => {
  it('has every folder and file of src once', () => {
    const entries = readdirSync('src', { withFileTypes: true }).map((entry) =>
      entry.isDirectory() ? `${entry.name}/` : entry.name,
    );
    expect(documented.map(({ name }) => name).toSorted()).toEqual(entries.toSorted());
  });

  it.each(documented)('says what the rules let $name import', ({ name, imports }) => {
    if (/^all /.test(imports))
      return expect(['assemble-exchange.ts', 'a2a-key-exchange.ts', 'index.ts']).toContain(name);
    const said = imports === 'nothing of ours' ? [] : namesIn(imports);
    if (/^leaves\b/.test(imports)) said.push(...leaves);
    expect(said.toSorted()).toEqual(rules.get(name)?.toSorted());
  });
});

describe('.dependency-cruiser.cjs', () => {
  it.each([...rules])('lets %s import nothing that it does not need', (from, to) => {
    const imported = importsOf(from);
    const needless = to.filter(
      (name) => !leaves.includes(name) && !imported.some((path) => path === name || path.startsWith(name)),
    );
    expect(needless).toEqual([]);
  });
});
