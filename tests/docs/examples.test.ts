/**
 * The code of these pages does what the pages say: it runs from top to bottom, against an emulator, and a line that ends in
 * `// true` or a number has that value.
 */

import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import type { KmsEmulator } from '../../src/emulator/index.js';
import * as emulatorApi from '../../src/emulator/index.js';
import * as api from '../../src/index.js';
import { moduleOf } from '../support/code-fences.js';
import {
  clientConfig,
  newClient,
  newExchange,
  silentLogger,
  startTestEmulator,
} from '../support/emulator.js';

/** Emulators that a page starts, as a rule without an end. */
let started: KmsEmulator[] = [];
/** What a page that shows a test file has the runner do, in that order. */
let hooks: Record<'before' | 'test' | 'after', (() => Promise<void>)[]>;

const MODULES: Readonly<Record<string, unknown>> = {
  'a2a-kms': api,
  'a2a-kms/emulator': {
    ...emulatorApi,
    startKmsEmulator: async (options: emulatorApi.KmsEmulatorOptions) => {
      const own = await emulatorApi.startKmsEmulator({ logger: silentLogger, ...options });
      started.push(own);
      return own;
    },
  },
  vitest: {
    expect,
    beforeAll: (hook: () => Promise<void>) => void hooks.before.push(hook),
    it: (_name: string, test: () => Promise<void>) => void hooks.test.push(test),
    afterAll: (hook: () => Promise<void>) => void hooks.after.push(hook),
  },
};

let emulator: KmsEmulator;

beforeAll(async () => {
  emulator = await startTestEmulator();
});

beforeEach(() => {
  started = [];
  hooks = { before: [], test: [], after: [] };
});

afterEach(async () => {
  for (const own of started) await own.close();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

afterAll(() => emulator.close());

/** `expression; // 96` as an assertion. */
const asserting = (text: string): string =>
  text.replace(/^( *)(?!const )(\S.*); \/\/ (true|[0-9]+)(?=,|$)/gm, '$1expect($2).toBe($3);');

/** Runs a module; what it imports comes from `load`, and what it takes as given from `context`. */
async function run(text: string, context: Readonly<Record<string, unknown>>): Promise<void> {
  const { outputText } = ts.transpileModule(asserting(text), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  const body = outputText
    .replace(/^import \{ (.+) \} from '(.+)';$/gm, "const { $1 } = await load('$2');")
    .replace(/^export \{\};$/gm, '');
  const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;
  const load = async (name: string): Promise<unknown> => MODULES[name] ?? import(name);
  const given = { load, expect, ...context };
  // In a block: a page may import what is given by the same name.
  await new AsyncFunction(...Object.keys(given), `{${body}}`)(...Object.values(given));
  for (const step of [...hooks.before, ...hooks.test, ...hooks.after]) await step();
}

const PAGES = ['identity', 'providers', 'observers', 'batch-signing', 'key-hierarchy', 'access', 'emulator'];

it.each(PAGES)('docs/%s.md runs', async (page) => {
  vi.spyOn(console, 'log').mockImplementation(() => {});
  vi.stubEnv('KMS_EMULATOR_HOST', emulator.endpoint);
  const keyRing = { keyRingId: `page-${page}`, hierarchy: {} };
  await using exchange = newExchange(emulator, keyRing);
  await exchange.initialize();
  await exchange.generateAgentKey('invoice-bot', { purpose: 'both' });
  await using kms = newClient(emulator, { keyRingId: keyRing.keyRingId });
  const message = Buffer.from('pay 10 EUR to alice');
  const context = {
    ...{ exchange, kms, message, messages: [message, Buffer.from('pay 20 EUR to bob')] },
    config: clientConfig(emulator, { keyRingId: `${keyRing.keyRingId}-config` }),
  };
  await expect(run(moduleOf(readFileSync(`docs/${page}.md`, 'utf8')), context)).resolves.toBeUndefined();
});
