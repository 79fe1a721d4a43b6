import { type ChildProcess, fork } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ArchivedPublicKey, FilePublicKeyArchive, InvalidConfigError } from '../../src/index.js';

vi.mock('node:fs/promises', async (original) => {
  const actual = await original<typeof import('node:fs/promises')>();
  return { ...actual, rename: vi.fn(actual.rename) };
});

const KEY = 'projects/p/locations/global/keyRings/r/cryptoKeys/raced';
const script = fileURLToPath(new URL('../support/archiving-process.ts', import.meta.url));

let root: string;
let directory: string;
let archive: FilePublicKeyArchive;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'archive-'));
  directory = join(root, 'public-keys');
  archive = new FilePublicKeyArchive({ directory });
});
afterEach(async () => {
  vi.mocked(rename).mockClear();
  await rm(root, { recursive: true, force: true });
});

const newPem = (namedCurve = 'P-256'): string =>
  generateKeyPairSync('ec', { namedCurve }).publicKey.export({ type: 'spki', format: 'pem' }).toString();

function archived(number: number, rest: Partial<ArchivedPublicKey> = {}): ArchivedPublicKey {
  return {
    keyVersion: `${KEY}/cryptoKeyVersions/${number}`,
    algorithm: 'EC_SIGN_P256_SHA256',
    protectionLevel: 'HSM',
    pem: newPem(),
    notBefore: new Date('2026-01-01T00:00:00Z'),
    notAfter: new Date('2026-02-01T00:00:00Z'),
    ...rest,
  };
}

const files = (): Promise<string[]> => readdir(directory);
const onlyFile = async (): Promise<string> => join(directory, (await files())[0] ?? '');

function startProcess(version: number, puts: number, env: Record<string, string> = {}): ChildProcess {
  return fork(script, [directory, String(version), String(puts)], {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, ...env },
  });
}

describe('keys', () => {
  it('are had again, one by one and by the key they are of', async () => {
    const keys = [archived(1), archived(2), archived(10)];
    const other = archived(1, { keyVersion: `${KEY}2/cryptoKeyVersions/1` });
    for (const key of [...keys, other]) await archive.put(key);
    for (const key of keys) expect(await archive.get(key.keyVersion)).toEqual(key);
    const listed = await archive.list(KEY);
    expect(listed.toSorted((a, b) => a.keyVersion.length - b.keyVersion.length)).toEqual(keys);
    expect(await archive.list()).toHaveLength(4);
  });

  it('that are not there, in a folder that is not there, are none', async () => {
    expect(await archive.get(`${KEY}/cryptoKeyVersions/1`)).toBeUndefined();
    expect(await archive.list()).toEqual([]);
  });

  it('of versions with equal ids in two key rings do not meet', async () => {
    const elsewhere = 'projects/p/locations/global/keyRings/other/cryptoKeys/raced/cryptoKeyVersions/1';
    const [one, two] = [archived(1), archived(1, { keyVersion: elsewhere })];
    await archive.put(one);
    await archive.put(two);
    expect(await archive.get(one.keyVersion)).toEqual(one);
    expect(await archive.get(elsewhere)).toEqual(two);
  });

  it('put again keep the earlier beginning and get the later end', async () => {
    const key = archived(1);
    await archive.put(key);
    await archive.put({
      ...key,
      notBefore: new Date('2026-01-15T00:00:00Z'),
      notAfter: new Date('2026-03-01T00:00:00Z'),
    });
    expect(await archive.get(key.keyVersion)).toEqual({ ...key, notAfter: new Date('2026-03-01T00:00:00Z') });
    vi.mocked(rename).mockClear();
    await archive.put({ ...key, notAfter: undefined });
    expect(rename).not.toHaveBeenCalled();
    expect((await archive.get(key.keyVersion))?.notAfter).toEqual(new Date('2026-03-01T00:00:00Z'));
  });

  it('that have no end yet get one', async () => {
    const { notAfter, ...key } = archived(1);
    await archive.put(key);
    expect(await archive.get(key.keyVersion)).toEqual(key);
    await archive.put({ ...key, notAfter });
    expect(await archive.get(key.keyVersion)).toEqual({ ...key, notAfter });
  });

  it('of a version that has another one already are refused, and that one stays', async () => {
    const key = archived(1);
    await archive.put(key);
    await expect(archive.put(archived(1))).rejects.toMatchObject({ code: 'ARCHIVE' });
    expect(await archive.get(key.keyVersion)).toEqual(key);
  });

  it.each([
    ['of another curve', { pem: newPem('P-384') }],
    ['that is none', { pem: 'no key' }],
    ['of an algorithm that does not sign', { algorithm: 'RSA_DECRYPT_OAEP_2048_SHA256' }],
  ] as const)('%s are refused before a file is written', async (_, rest) => {
    await expect(archive.put(archived(1, rest))).rejects.toMatchObject({ code: 'ARCHIVE' });
    await expect(files()).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('have files that only the owner reads, in a folder that only the owner reads', async () => {
    await archive.put(archived(1));
    const { stat } = await import('node:fs/promises');
    expect([(await stat(directory)).mode & 0o777, (await stat(await onlyFile())).mode & 0o777]).toEqual([
      0o700, 0o600,
    ]);
  });

  it('with names that would lead out of the folder stay inside', async () => {
    const key = archived(1, { keyVersion: '../../../etc/cryptoKeys/..%2f..\\/cryptoKeyVersions/../1' });
    await archive.put(key);
    expect(await archive.get(key.keyVersion)).toEqual(key);
    expect([await readdir(root), (await files()).length]).toEqual([['public-keys'], 1]);
  });
});

describe('a write that fails', () => {
  it('leaves the old file, and nothing else', async () => {
    const key = archived(1);
    await archive.put(key);
    const before = await readFile(await onlyFile(), 'utf8');
    const cause = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    vi.mocked(rename).mockRejectedValueOnce(cause);
    await expect(archive.put({ ...key, notAfter: new Date('2027-01-01T00:00:00Z') })).rejects.toMatchObject({
      code: 'ARCHIVE',
      cause,
    });
    expect(await files()).toHaveLength(1);
    expect(await readFile(await onlyFile(), 'utf8')).toBe(before);
  });

  it('because the folder is a file is an error of the archive, as is reading from it', async () => {
    await writeFile(directory, 'not a folder');
    const key = archived(1);
    await expect(archive.put(key)).rejects.toMatchObject({ code: 'ARCHIVE' });
    await expect(archive.get(key.keyVersion)).rejects.toMatchObject({ code: 'ARCHIVE' });
    await expect(archive.list()).rejects.toMatchObject({ code: 'ARCHIVE' });
  });

  it('because the process is killed leaves a file that is whole, and nothing that is listed', async () => {
    for (let kills = 0; kills < 3; kills++) {
      const child = startProcess(kills + 1, 1_000_000);
      await once(child, 'message');
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const listed = await archive.list(KEY);
    expect(listed.map(({ keyVersion }) => Number(keyVersion.split('/').at(-1))).toSorted()).toEqual([
      1, 2, 3,
    ]);
  });
});

describe('several processes', () => {
  it('that put the same key and keys of their own lose none', async () => {
    const SHARED_PEM = newPem();
    const children = [
      startProcess(1, 30, { SHARED_PEM }),
      startProcess(1, 30, { SHARED_PEM }),
      startProcess(2, 30),
    ];
    const exits = await Promise.all(children.map((child) => once(child, 'exit')));
    expect(exits.map(([code]) => code)).toEqual([0, 0, 0]);
    const listed = await archive.list(KEY);
    expect(listed).toHaveLength(2);
    expect(await archive.get(`${KEY}/cryptoKeyVersions/1`)).toMatchObject({ pem: SHARED_PEM });
    expect((await files()).filter((file) => file.startsWith('.'))).toEqual([]);
  });
});

describe('a file that somebody else wrote', () => {
  const put = async (change: (jwk: Record<string, unknown>) => unknown): Promise<ArchivedPublicKey> => {
    const key = archived(1);
    await archive.put(key);
    const file = await onlyFile();
    await writeFile(file, JSON.stringify(change(JSON.parse(await readFile(file, 'utf8')))));
    return key;
  };
  const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });

  it.each<[string, (jwk: Record<string, unknown>) => unknown]>([
    ['no object', () => []],
    ['null', () => null],
    ['another key under the same kid', (jwk) => ({ ...jwk, ...foreign })],
    ['a point that is not on the curve', (jwk) => ({ ...jwk, x: jwk['y'], y: jwk['x'] })],
    ['a private key', (jwk) => ({ ...jwk, d: 'AAAA' })],
    ['another algorithm', (jwk) => ({ ...jwk, a2a_algorithm: 'EC_SIGN_P384_SHA384' })],
    ['an algorithm that is none', (jwk) => ({ ...jwk, a2a_algorithm: 'none' })],
    ['an algorithm that is on every object', (jwk) => ({ ...jwk, a2a_algorithm: 'constructor' })],
    ['another alg', (jwk) => ({ ...jwk, alg: 'none' })],
    ['another use', (jwk) => ({ ...jwk, use: 'enc' })],
    ['another version', (jwk) => ({ ...jwk, a2a_key_version: `${KEY}/cryptoKeyVersions/2` })],
    ['no version', (jwk) => ({ ...jwk, a2a_key_version: undefined })],
    ['no protection level', (jwk) => ({ ...jwk, a2a_protection_level: 1 })],
    ['a beginning that is no time', (jwk) => ({ ...jwk, nbf: 'yesterday' })],
    ['a beginning before time', (jwk) => ({ ...jwk, nbf: -1 })],
    ['an end after time', (jwk) => ({ ...jwk, exp: 253_402_300_800 })],
    ['more than a key has', (jwk) => ({ ...jwk, padding: 'x'.repeat(20_000) })],
  ])('with %s is refused', async (_, change) => {
    const key = await put(change);
    await expect(archive.get(key.keyVersion)).rejects.toMatchObject({
      code: 'ARCHIVE',
      resource: expect.stringContaining(directory),
    });
  });

  it('that is not JSON is refused, and is not overwritten', async () => {
    const key = archived(1);
    await archive.put(key);
    await writeFile(await onlyFile(), '{"kty":');
    await expect(archive.get(key.keyVersion)).rejects.toMatchObject({ code: 'ARCHIVE' });
    await expect(archive.put(key)).rejects.toMatchObject({ code: 'ARCHIVE' });
    expect(await readFile(await onlyFile(), 'utf8')).toBe('{"kty":');
  });

  it('that is not one of the archive is left alone', async () => {
    await archive.put(archived(1));
    await writeFile(join(directory, 'README.md'), 'keys');
    await mkdir(join(directory, 'folder'));
    expect(await archive.list()).toHaveLength(1);
  });
});

describe('an archive without a folder', () => {
  it('is refused when it is made', () => {
    expect(() => new FilePublicKeyArchive({ directory: '' })).toThrow(InvalidConfigError);
  });
});
