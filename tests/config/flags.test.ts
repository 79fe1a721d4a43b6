import { describe, expect, it } from 'vitest';
import { FilePublicKeyArchive } from '../../src/archive/file-archive.js';
import { parseAgentConfig } from '../../src/config/agent-config.js';
import { InvalidConfigError } from '../../src/errors/input.js';

const KEY_RING = { projectId: 'test-project', locationId: 'global', keyRingId: 'agents' };
const silentLogger = { debug() {}, info() {}, warn() {}, error() {} };
const softwareKeyStore = { type: 'memory' } as const;
const publicKeyArchive = new FilePublicKeyArchive({ directory: 'unused' });
const complete = { ...KEY_RING, logger: silentLogger, softwareKeyStore, publicKeyArchive };

/** What a configuration amounts to: where keys are, or the fields and variables that are wrong. */
function sourceOf(config: object, environment: Record<string, string> = {}): unknown {
  try {
    const { source } = parseAgentConfig(config, environment);
    return source.kind === 'migration' ? `phase ${source.phase}` : source.kind;
  } catch (error) {
    if (!(error instanceof InvalidConfigError)) throw error;
    return error.problems.map(({ field }) => field);
  }
}

const ON = ['true', '1'];
const OFF = ['false', '0'];

describe('ENABLE_HSM_KEYS and USE_SOFTWARE_KEYS', () => {
  it.each(ON.flatMap((hsm) => OFF.map((software) => [hsm, software] as const)))(
    'mean HSM keys alone as %s and %s',
    (hsm, software) => {
      expect(sourceOf(complete, { ENABLE_HSM_KEYS: hsm, USE_SOFTWARE_KEYS: software })).toBe('hsm');
    },
  );

  it.each(OFF.flatMap((hsm) => ON.map((software) => [hsm, software] as const)))(
    'mean software keys alone as %s and %s',
    (hsm, software) => {
      expect(sourceOf(complete, { ENABLE_HSM_KEYS: hsm, USE_SOFTWARE_KEYS: software })).toBe('software');
    },
  );

  it('are on and off by default', () => {
    expect(sourceOf({ ...KEY_RING, logger: silentLogger })).toBe('hsm');
    expect(sourceOf(complete, { USE_SOFTWARE_KEYS: 'true' })).toBe('phase 1');
  });

  it.each(['TRUE', 'yes', 'on', '', ' true', '2', 'off', 'null'])(
    'are refused as %j, by their names',
    (text) => {
      expect(sourceOf(complete, { ENABLE_HSM_KEYS: text })).toEqual(['ENABLE_HSM_KEYS']);
      expect(sourceOf(complete, { USE_SOFTWARE_KEYS: text })).toEqual(['USE_SOFTWARE_KEYS']);
      expect(sourceOf(complete, { ENABLE_HSM_KEYS: text, USE_SOFTWARE_KEYS: text })).toEqual([
        'ENABLE_HSM_KEYS',
        'USE_SOFTWARE_KEYS',
      ]);
    },
  );

  it('are overridden by the configuration, whatever they say', () => {
    const environment = { ENABLE_HSM_KEYS: 'false', USE_SOFTWARE_KEYS: 'nonsense' };
    expect(sourceOf({ ...complete, enableHsmKeys: true, useSoftwareKeys: false }, environment)).toBe('hsm');
    expect(sourceOf({ ...complete, enableHsmKeys: false, useSoftwareKeys: true })).toBe('software');
  });

  it('have to be true or false in the configuration', () => {
    expect(sourceOf({ ...complete, enableHsmKeys: 'true' })).toEqual(['enableHsmKeys']);
  });

  it('refuse to start with neither kind of keys', () => {
    expect(sourceOf(complete, { ENABLE_HSM_KEYS: 'false' })).toEqual(['ENABLE_HSM_KEYS']);
    expect(sourceOf({ ...complete, enableHsmKeys: false })).toEqual(['enableHsmKeys']);
  });

  it('are reported together with what else is wrong', () => {
    const config = { ...complete, emulatorHost: 'localhost:1', apiEndpoint: 'example.com' };
    expect(sourceOf(config, { ENABLE_HSM_KEYS: 'no' })).toEqual(['emulatorHost', 'ENABLE_HSM_KEYS']);
  });
});

describe('software keys', () => {
  it('need a store', () => {
    const config = { ...KEY_RING, logger: silentLogger, publicKeyArchive };
    const environment = { ENABLE_HSM_KEYS: 'false', USE_SOFTWARE_KEYS: 'true' };
    expect(sourceOf(config, environment)).toEqual(['softwareKeyStore']);
    expect(sourceOf(config, { USE_SOFTWARE_KEYS: 'true' })).toEqual(['softwareKeyStore']);
  });

  it('are refused where they are forbidden, whatever switches them on', () => {
    const config = { ...complete, softwareKeys: 'forbidden' };
    expect(sourceOf(config, { USE_SOFTWARE_KEYS: 'true' })).toEqual(['USE_SOFTWARE_KEYS']);
    expect(sourceOf({ ...config, enableHsmKeys: false, useSoftwareKeys: true })).toEqual(['useSoftwareKeys']);
    expect(sourceOf(config)).toBe('hsm');
    expect(sourceOf({ ...config, migration: { phase: 3 } })).toBe('phase 3');
  });

  it('have protection level SOFTWARE with HSM keys switched off, master keys too, whatever else is configured', () => {
    const config = { ...complete, enableHsmKeys: false, useSoftwareKeys: true, hierarchy: {} };
    const { agents } = parseAgentConfig({ ...config, defaultAlgorithm: 'EC_SIGN_SECP256K1_SHA256' }, {});
    expect(agents.protectionLevel).toBe('SOFTWARE');
    expect(agents.hierarchy?.protectionLevel).toBe('SOFTWARE');
  });
});

describe('migration.phase', () => {
  const software = { USE_SOFTWARE_KEYS: 'true' };
  it.each([
    [1, {}, ['USE_SOFTWARE_KEYS']],
    [1, software, 'phase 1'],
    [2, {}, ['USE_SOFTWARE_KEYS']],
    [2, software, 'phase 2'],
    [3, {}, 'phase 3'],
    [3, software, 'phase 3'],
    [4, {}, 'phase 4'],
    [4, software, 'phase 4'],
    [0, software, ['migration.phase']],
    [5, software, ['migration.phase']],
    ['2', software, ['migration.phase']],
  ])('%j with %j amounts to %j', (phase, environment, expected) => {
    expect(sourceOf({ ...complete, migration: { phase } }, environment)).toEqual(expected);
  });

  it.each([1, 2, 3, 4])('%j does not count with HSM keys switched off', (phase) => {
    const environment = { ENABLE_HSM_KEYS: 'false', USE_SOFTWARE_KEYS: 'true' };
    expect(sourceOf({ ...complete, migration: { phase } }, environment)).toBe('software');
  });

  it('needs a store up to phase 3, and an archive in each', () => {
    const config = { ...KEY_RING, logger: silentLogger };
    expect(sourceOf({ ...config, migration: { phase: 3 } })).toEqual([
      'softwareKeyStore',
      'publicKeyArchive',
    ]);
    expect(sourceOf({ ...config, migration: { phase: 4 } })).toEqual(['publicKeyArchive']);
    expect(sourceOf({ ...config, publicKeyArchive, migration: { phase: 4 } })).toBe('phase 4');
  });

  it.each([0, 3_651, 1.5, '90'])('has no retention of %j days', (retentionDays) => {
    const migration = { phase: 3, retentionDays };
    expect(sourceOf({ ...complete, migration })).toEqual(['migration.retentionDays']);
  });
});
