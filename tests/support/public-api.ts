/** The public API as the TypeScript compiler sees it, for tests of what is written about it. */

import ts from 'typescript';

/** A program over the two entry points of the package. */
export function loadPublicApi(): {
  readonly checker: ts.TypeChecker;
  /** Every exported name with what it stands for, by entry point. */
  readonly exports: readonly { readonly entry: string; readonly name: string; readonly symbol: ts.Symbol }[];
} {
  const entries = ['src/index.ts', 'src/emulator/index.ts'];
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: entries }, ts.sys, '.');
  const program = ts.createProgram(entries, options);
  const checker = program.getTypeChecker();
  return {
    checker,
    exports: entries.flatMap((entry) => {
      const file = program.getSourceFile(entry);
      const module = file && checker.getSymbolAtLocation(file);
      if (module === undefined) throw new Error(`${entry} is not a module`);
      return checker.getExportsOfModule(module).map((symbol) => ({
        entry,
        name: symbol.name,
        symbol: symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
      }));
    }),
  };
}
