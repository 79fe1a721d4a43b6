import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);

it('docs/key-lifecycle.md shows what its example prints', async () => {
  const tsx = createRequire(import.meta.url).resolve('tsx/cli');
  const { stdout } = await promisify(execFile)(process.execPath, [tsx, 'docs/examples/key-lifecycle.ts'], {
    cwd: root,
    timeout: 240_000,
  });
  const doc = await readFile(new URL('docs/key-lifecycle.md', root), 'utf8');
  const shown = [...doc.matchAll(/```text\n([^`]*)```/g)].map(([, text = '']) => text.trimEnd());
  const printed = stdout
    .split('\n\n')
    .filter((step) => /^\s*[0-9]\. /.test(step))
    .map((step) =>
      step
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => line.slice(2))
        .join('\n'),
    );
  expect(printed).toHaveLength(8);
  expect(shown).toEqual(printed);
});
