import { describe, expect, it } from 'vitest';
import { parseProviderConfig } from '../../src/software/provider-config.js';
import { KEY_RING, silentLogger } from '../support/emulator.js';
import { STORE_KEY } from '../support/software-provider.js';

const KEY = 'A2A_SOFTWARE_KEY_STORE_KEY';
const PASSPHRASE = 'A2A_SOFTWARE_KEY_STORE_PASSPHRASE';
const parse = (softwareKeyStore: object, environment: Record<string, string> = {}) =>
  parseProviderConfig({ ...KEY_RING, logger: silentLogger, softwareKeyStore }, environment).store;
const file = { type: 'file', path: 'keys' };

describe('the secret of a file store', () => {
  it.each([
    { store: { passphrase: 'correct horse' }, environment: {}, secret: { passphrase: 'correct horse' } },
    { store: { key: STORE_KEY }, environment: {}, secret: { key: Uint8Array.from(STORE_KEY) } },
    { store: {}, environment: { [KEY]: STORE_KEY.toString('base64') }, secret: { key: STORE_KEY } },
    { store: {}, environment: { [PASSPHRASE]: 'correct horse' }, secret: { passphrase: 'correct horse' } },
    {
      store: { passphrase: 'correct horse' },
      environment: { [KEY]: STORE_KEY.toString('base64') },
      secret: { passphrase: 'correct horse' },
    },
  ])('comes from the configuration, else from the environment: %#', ({ store, environment, secret }) => {
    expect(parse({ ...file, ...store }, environment)).toEqual({ ...file, secret });
  });

  it('is a copy, so that the caller may wipe its own', () => {
    const key = Buffer.from(STORE_KEY);
    const store = parse({ ...file, key });
    key.fill(0);
    expect(store).toEqual({ ...file, secret: { key: Uint8Array.from(STORE_KEY) } });
  });

  it.each([
    { store: {}, environment: {}, field: 'softwareKeyStore' },
    { store: { passphrase: 'correct horse', key: STORE_KEY }, environment: {}, field: 'softwareKeyStore' },
    { store: {}, environment: { [KEY]: 'c2hvcnQ=' }, field: KEY },
    { store: {}, environment: { [KEY]: `${STORE_KEY.toString('base64')}\n` }, field: KEY },
    {
      store: {},
      environment: { [KEY]: STORE_KEY.toString('base64'), [PASSPHRASE]: 'correct horse' },
      field: KEY,
    },
    { store: {}, environment: { [PASSPHRASE]: 'short' }, field: PASSPHRASE },
    { store: { passphrase: 'short' }, environment: {}, field: 'softwareKeyStore.passphrase' },
    { store: { key: Buffer.alloc(16) }, environment: {}, field: 'softwareKeyStore.key' },
    { store: { key: 'text' }, environment: {}, field: 'softwareKeyStore.key' },
    { store: { password: 'correct horse' }, environment: {}, field: 'softwareKeyStore.password' },
    { store: { path: '' }, environment: {}, field: 'softwareKeyStore.path' },
    { store: { type: 'cloud' }, environment: {}, field: 'softwareKeyStore.type' },
  ])('is refused by the name of the field or variable, without its value: $field', (given) => {
    const { store, environment, field } = given;
    let caught: unknown;
    try {
      parse({ ...file, ...store }, environment);
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({ code: 'INVALID_CONFIG', problems: [{ field }] });
    for (const value of Object.values({ ...environment, ...store }))
      if (typeof value === 'string' && value.length > 4) expect(String(caught)).not.toContain(value.trim());
  });

  it('is not needed by a store in memory', () => {
    expect(parse({ type: 'memory' })).toEqual({ type: 'memory' });
  });
});

it.each([
  ['requireAttestation', true],
  ['unboundAttestation', 'accepted'],
  ['attestationRoots', { manufacturer: [], google: [] }],
])('%s is no option: no HSM states anything of software keys', (field, value) => {
  const config = { ...KEY_RING, softwareKeyStore: { type: 'memory' }, [field]: value };
  expect(() => parseProviderConfig(config, {})).toThrow(
    expect.objectContaining({
      code: 'INVALID_CONFIG',
      problems: [{ field, problem: 'is not an option' }],
    }),
  );
});

it('every problem with the configuration is listed', () => {
  expect(() => parseProviderConfig({ keyRingId: '', softwareKeys: 'no' }, {})).toThrow(
    expect.objectContaining({
      problems: expect.arrayContaining(
        ['projectId', 'locationId', 'keyRingId', 'softwareKeyStore', 'softwareKeys'].map((field) =>
          expect.objectContaining({ field }),
        ),
      ),
    }),
  );
});
