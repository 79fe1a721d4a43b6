/**
 * `FilePublicKeyArchive`: a folder with one file for each key version. Files are written whole and renamed into place, so
 * a reader never sees half of one, several processes can write at once, and what was put is there after a crash.
 */

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { syncDirectory, writeDurably } from '../durable-files.js';
import { InvalidConfigError } from '../errors/input.js';
import { ArchiveError } from '../errors/storage.js';
import type { ArchivedPublicKey, PublicKeyArchive } from '../keys/public-key-archive.js';
import { schemaProblems } from '../schema-problems.js';
import { type ArchivedJwk, fromArchivedJwk, toArchivedJwk } from './jwk-set.js';

const SUFFIX = '.jwk.json';
/** A file that can be told from others by name; 64 bits of the hash set versions of equal ids in two key rings apart. */
const HASH_LENGTH = 16;
/** The JWK of the largest public key of the algorithm table, ML-DSA-87, has 4 KB. */
const MAX_FILE_BYTES = 16_384;
/** Files that are read at once when all are listed. */
const READ_CONCURRENCY = 16;

/** Options of a `FilePublicKeyArchive`. */
export interface FilePublicKeyArchiveOptions {
  /** Path of the folder; made when the first key is put. Only the owners of the keys may write to it. */
  readonly directory: string;
}

const path = 'is the path of a folder';
const optionsSchema = z.strictObject({ directory: z.string(path).min(1, path) });

/**
 * Public keys in files.
 *
 * @example
 * ```ts
 * const publicKeyArchive = new FilePublicKeyArchive({ directory: '/var/lib/agents/public-keys' });
 * const exchange = new A2AKeyExchange({ projectId, locationId, keyRingId, publicKeyArchive });
 * await exportJwkSet(publicKeyArchive); // { keys: [...] }
 * ```
 */
export class FilePublicKeyArchive implements PublicKeyArchive {
  readonly #directory: string;

  /** @throws InvalidConfigError without a folder, and for other options. */
  constructor(options: FilePublicKeyArchiveOptions) {
    const parsed = optionsSchema.safeParse(options ?? {});
    if (!parsed.success) throw new InvalidConfigError(schemaProblems(parsed.error));
    this.#directory = parsed.data.directory;
  }

  async put(key: ArchivedPublicKey): Promise<void> {
    const wanted = toArchivedJwk(key);
    const known = await this.get(key.keyVersion);
    const merged = known === undefined ? wanted : merge(wanted, toArchivedJwk(known));
    if (merged !== undefined) await this.#write(fileNameOf(key.keyVersion), merged);
  }

  async get(keyVersion: string): Promise<ArchivedPublicKey | undefined> {
    const file = fileNameOf(keyVersion);
    const key = await this.#read(file);
    if (key === undefined || key.keyVersion === keyVersion) return key;
    throw this.#error(join(this.#directory, file), `it holds the key of ${key.keyVersion}.`);
  }

  async list(keyName?: string): Promise<readonly ArchivedPublicKey[]> {
    const files = (await this.#fileNames()).filter((file) => file.endsWith(SUFFIX) && !file.startsWith('.'));
    const keys: ArchivedPublicKey[] = [];
    for (let start = 0; start < files.length; start += READ_CONCURRENCY) {
      const batch = files.slice(start, start + READ_CONCURRENCY).map((file) => this.#read(file));
      keys.push(...(await Promise.all(batch)).filter((key) => key !== undefined));
    }
    const prefix = `${keyName}/cryptoKeyVersions/`;
    return keyName === undefined ? keys : keys.filter(({ keyVersion }) => keyVersion.startsWith(prefix));
  }

  async #fileNames(): Promise<readonly string[]> {
    try {
      return await readdir(this.#directory);
    } catch (cause) {
      if (isMissing(cause)) return [];
      throw this.#error(this.#directory, 'the folder could not be read.', cause);
    }
  }

  async #read(file: string): Promise<ArchivedPublicKey | undefined> {
    const path = join(this.#directory, file);
    let jwk: unknown;
    try {
      jwk = JSON.parse(await readBounded(path));
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw this.#error(path, 'the file could not be read, or is no small JSON file.', cause);
    }
    return fromArchivedJwk({ operation: 'archive', resource: path }, jwk);
  }

  async #write(file: string, jwk: ArchivedJwk): Promise<void> {
    const path = join(this.#directory, file);
    const temporary = join(this.#directory, `.${file}.${randomUUID()}`);
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await writeDurably(temporary, `${JSON.stringify(jwk, undefined, 2)}\n`, 'wx');
      await rename(temporary, path);
      await syncDirectory(this.#directory);
    } catch (cause) {
      await rm(temporary, { force: true });
      throw this.#error(path, 'the file could not be written.', cause);
    }
  }

  #error(path: string, problem: string, cause?: unknown): ArchiveError {
    return new ArchiveError({ operation: 'archive', resource: path, cause }, problem);
  }
}

/** Readable by people: the ids of key and version, then a hash of the full name. */
function fileNameOf(keyVersion: string): string {
  const [version = '', , key = ''] = keyVersion.split('/').toReversed();
  const hash = createHash('sha256').update(keyVersion, 'utf8').digest('hex').slice(0, HASH_LENGTH);
  const safe = (text: string): string => text.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 63);
  return `${safe(key)}.${safe(version)}.${hash}${SUFFIX}`;
}

/** What to write, if anything: the earlier beginning and the later end, since a restored version may sign again. */
function merge(wanted: ArchivedJwk, known: ArchivedJwk): ArchivedJwk | undefined {
  if (known.kid !== wanted.kid || known.a2a_key_version !== wanted.a2a_key_version) {
    const context = { operation: 'archive', resource: wanted.a2a_key_version };
    throw new ArchiveError(context, 'another key is in the archive for that version.');
  }
  const nbf = Math.min(wanted.nbf, known.nbf);
  const exp = Math.max(wanted.exp ?? 0, known.exp ?? 0);
  if (nbf === known.nbf && exp === (known.exp ?? 0)) return undefined;
  return { ...known, nbf, ...(exp > 0 && { exp }) };
}

async function readBounded(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size > MAX_FILE_BYTES) throw new RangeError(`${size} bytes are more than any public key has`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';
