import { defineConfig } from 'tsup';

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'emulator/index': 'src/emulator/index.ts',
    'emulator/main': 'src/emulator/main.ts',
  },
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  dts: { entry: { index: 'src/index.ts', 'emulator/index': 'src/emulator/index.ts' } },
  shims: true,
  splitting: true,
  sourcemap: true,
  clean: true,
});
