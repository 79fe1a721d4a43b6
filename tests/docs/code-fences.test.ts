/**
 * Every TypeScript and JavaScript fence of README.md and docs compiles. The rule for a page: its fences are one module. A fence goes on
 * from those above it and may declare their names anew, as if each stood in a block inside the one before. What a page
 * takes from somewhere else it imports, but for the few names of CONTEXT.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { moduleOf } from '../support/code-fences.js';

const root = join(import.meta.dirname, '../..');

function compilerOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root);
  // Examples show what is there, used or not, and whose settings of style readers have is not known.
  return {
    ...options,
    noUnusedLocals: false,
    noUnusedParameters: false,
    noPropertyAccessFromIndexSignature: false,
  };
}

/** What is wrong in modules that exist in memory only. */
function problemsIn(modules: ReadonlyMap<string, string>): string[] {
  const options = compilerOptions();
  const host = ts.createCompilerHost(options);
  const files: ts.CompilerHost = {
    ...host,
    fileExists: (path) => modules.has(path) || host.fileExists(path),
    readFile: (path) => modules.get(path) ?? host.readFile(path),
    getSourceFile: (path, language, ...rest) => {
      const text = modules.get(path);
      return text === undefined
        ? host.getSourceFile(path, language, ...rest)
        : ts.createSourceFile(path, text, language);
    },
  };
  const program = ts.createProgram([...modules.keys()], options, files);
  return [...modules.keys()].flatMap((path) => {
    const file = program.getSourceFile(path);
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ start = 0, messageText }) => {
        const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1;
        const page = relative(root, path).replace(/\.ts$/, '');
        return `${page}:${line} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
      },
    );
  });
}

const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('docs', path)),
];

it('every TypeScript and JavaScript fence of README.md and docs compiles', () => {
  const texts = pages.map((page) => ({ page, text: readFileSync(join(root, page), 'utf8') }));
  // No other way to write one, which would go unseen.
  const others = texts.flatMap(({ page, text }) =>
    [...text.matchAll(/^.*(?:```|~~~)\s*(?:type|java|[cm]?ts|[cm]?js(?!on)).*$/gm)]
      .map(([fence]) => `${page} ${fence}`)
      .filter((fence) => !/ ```(?:ts|js)$/.test(fence)),
  );
  expect(others).toEqual([]);
  const modules = new Map(texts.map(({ page, text }) => [join(root, `${page}.ts`), moduleOf(text)]));
  expect([...modules.values()].filter((text) => text.includes('\n{')).length).toBeGreaterThan(10);
  expect(problemsIn(modules)).toEqual([]);
});

it('a fence that does not compile is named by page and line', () => {
  const text = moduleOf(
    '# Page\n\n```ts\nconst number = 1;\n```\n\n```ts\nconst text: string = number;\n```\n',
  );
  expect(problemsIn(new Map([[join(root, 'page.md.ts'), text]]))).toEqual([
    "page.md:8 Type 'number' is not assignable to type 'string'.",
  ]);
});
