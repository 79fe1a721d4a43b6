import { relative } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { loadPublicApi } from '../support/public-api.js';

const { checker, exports } = loadPublicApi();

const isDocumented = (symbol: ts.Symbol): boolean => symbol.getDocumentationComment(checker).length > 0;

/** Where a reader has to look to mend it. */
function placeOf(symbol: ts.Symbol): string {
  const file = symbol.declarations?.[0]?.getSourceFile().fileName ?? '';
  return `${symbol.name} (${relative(process.cwd(), file)})`;
}

/** Not private ones, and not those named by a symbol, such as `[Symbol.asyncDispose]`. */
const methodsOf = (symbol: ts.Symbol): ts.Symbol[] =>
  [...(symbol.members?.values() ?? [])].filter(
    (member) => (member.flags & ts.SymbolFlags.Method) !== 0 && !/^(?:#|__@)/.test(member.name),
  );

it('every name that the package exports has a docstring', () => {
  expect(exports.length).toBeGreaterThan(200);
  expect(exports.filter(({ symbol }) => !isDocumented(symbol)).map(({ symbol }) => placeOf(symbol))).toEqual(
    [],
  );
});

it('every public method of what the package exports has a docstring', () => {
  const methods = exports.flatMap(({ name, symbol }) =>
    methodsOf(symbol).map((method) => ({ name, method })),
  );
  expect(methods.length).toBeGreaterThan(150);
  expect(
    methods
      .filter(({ method }) => !isDocumented(method))
      .map(({ name, method }) => `${name}.${placeOf(method)}`),
  ).toEqual([]);
});

it('no docstring is a comment in the middle of a type, which no reader of the type sees', () => {
  const lost = exports.filter(({ symbol }) =>
    symbol.declarations?.some((declaration) => /[}\])] \/\*\*/.test(declaration.getText())),
  );
  expect(lost.map(({ symbol }) => placeOf(symbol))).toEqual([]);
});
