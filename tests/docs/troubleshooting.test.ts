import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

it('docs/troubleshooting.md has one entry for each error code, and for nothing else', () => {
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.ts'),
  );
  const codes = sources.flatMap((path) =>
    [...readFileSync(join(root, 'src', path), 'utf8').matchAll(/readonly code = '([A-Z_]+)'/g)].map(
      ([, code]) => code,
    ),
  );
  const entries = [
    ...readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8').matchAll(/^### ([A-Z_]+)$/gm),
  ].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(20);
  expect(entries.toSorted()).toEqual(codes.toSorted());
});
