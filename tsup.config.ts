import { defineConfig, type Options } from 'tsup';

const library = { index: 'src/index.ts', 'emulator/index': 'src/emulator/index.ts' };

const shared: Options = {
  target: 'node20',
  platform: 'node',
  dts: { entry: library },
  // The output is not minified: its stack traces can be read, and maps would be more than half of the package.
  sourcemap: false,
  removeNodeProtocol: false,
  // tsup leaves out dependencies and peers by itself, but not optional dependencies.
  external: ['lmdb'],
};

export default defineConfig([
  {
    ...shared,
    format: 'esm',
    entry: { ...library, 'emulator/main': 'src/emulator/main.ts', 'audit/main': 'src/audit/main.ts' },
    splitting: true,
  },
  {
    ...shared,
    format: 'cjs',
    entry: library,
    // Shared chunks in CommonJS go through a second compiler that renames classes and makes import() eager requires.
    splitting: false,
    esbuildOptions(options) {
      options.define = { ...options.define, 'import.meta.url': 'importMetaUrl' };
      options.banner = {
        js: "'use strict';\nconst importMetaUrl = require('node:url').pathToFileURL(__filename).href;",
      };
    },
  },
]);
