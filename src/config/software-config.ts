/**
 * Where software keys are kept and what opens that store: its part of the configuration, with the environment variables
 * that hold the secret where the configuration does not.
 */

import { z } from 'zod';
import type { ConfigProblem } from '../errors/input.js';

/** The environment variables that are read when the configuration of a file store has neither `passphrase` nor `key`. */
const STORE_KEY_VARIABLE = 'A2A_SOFTWARE_KEY_STORE_KEY';
const STORE_PASSPHRASE_VARIABLE = 'A2A_SOFTWARE_KEY_STORE_PASSPHRASE';

/** AES-256. */
export const STORE_KEY_BYTES = 32;
/** Short enough to be guessed in spite of scrypt; NIST SP 800-63B section 5.1.1.1 asks for 8 at least. */
const PASSPHRASE_MIN_LENGTH = 8;
const PASSPHRASE_MAX_LENGTH = 1_024;

/** What opens a file store: a passphrase, of which a key is derived with scrypt, or a key of 32 bytes. */
export type StoreSecret = { readonly passphrase: string } | { readonly key: Uint8Array };

/** Where software keys are kept. */
export type SoftwareKeyStoreConfig =
  | {
      /** An LMDB database, encrypted. */
      readonly type: 'file';
      /** Its directory, of its own and readable by its owner only (0700); made when it is not there. */
      readonly path: string;
      /** At least 8 characters. Default: the environment's `A2A_SOFTWARE_KEY_STORE_PASSPHRASE`. */
      readonly passphrase?: string | undefined;
      readonly key?: undefined;
    }
  | {
      readonly type: 'file';
      readonly path: string;
      readonly passphrase?: undefined;
      /** 32 bytes, in place of a passphrase. Default: the environment's `A2A_SOFTWARE_KEY_STORE_KEY`, base64. */
      readonly key?: Uint8Array | undefined;
    }
  /** In this process only, for tests: it is gone when the provider is closed. */
  | { readonly type: 'memory' };

/** `forbidden`: software keys are refused, whatever else the configuration says. */
export type SoftwareKeysPolicy = 'allowed' | 'forbidden';

const passphrase = z
  .string('must be a string')
  .min(PASSPHRASE_MIN_LENGTH, 'must have at least 8 characters')
  .max(PASSPHRASE_MAX_LENGTH, 'must have at most 1,024 characters');

const key = z
  .instanceof(Uint8Array, { error: 'must be bytes (Buffer or Uint8Array)' })
  .refine((bytes) => bytes.length === STORE_KEY_BYTES, 'must have 32 bytes');

/** The schema of `softwareKeyStore`. A secret that is not given is found by `resolveStoreConfig`. */
export const softwareKeyStoreSchema = z.discriminatedUnion(
  'type',
  [
    z
      .strictObject({
        type: z.literal('file'),
        path: z.string('the directory of the store is required').min(1, 'must not be empty'),
        passphrase: passphrase.optional(),
        key: key.optional(),
      })
      .transform(({ passphrase, key, ...store }, check): SoftwareKeyStoreConfig => {
        if (key === undefined) return { ...store, passphrase };
        if (passphrase === undefined) return { ...store, key };
        check.addIssue({ code: 'custom', message: 'has a passphrase and a key; give one of them' });
        return z.NEVER;
      }),
    z.strictObject({ type: z.literal('memory') }),
  ],
  "must be { type: 'file', path, passphrase | key } or { type: 'memory' }",
);

export const softwareKeysPolicySchema = z
  .enum(['allowed', 'forbidden'], 'must be allowed or forbidden')
  .default('allowed');

const storeSecretSchema = z.union([z.strictObject({ passphrase }), z.strictObject({ key })]);

/** Whether it is a passphrase of 8 to 1,024 characters or a key of 32 bytes, and not both. */
export const isStoreSecret = (value: unknown): value is StoreSecret =>
  storeSecretSchema.safeParse(value).success;

/** A store whose secret was found. */
export type ResolvedStoreConfig =
  | { readonly type: 'memory' }
  | { readonly type: 'file'; readonly path: string; readonly secret: StoreSecret };

/** Finds the secret of a store in its configuration, else in the environment; what is wrong otherwise. */
export function resolveStoreConfig(
  config: SoftwareKeyStoreConfig,
  environment: Readonly<Record<string, string | undefined>>,
):
  | { readonly ok: true; readonly value: ResolvedStoreConfig }
  | { readonly ok: false; readonly problem: ConfigProblem } {
  if (config.type === 'memory') return { ok: true, value: config };
  const { path } = config;
  const fail = (field: string, problem: string) => ({ ok: false, problem: { field, problem } }) as const;
  const found = (secret: StoreSecret) => ({ ok: true, value: { type: 'file', path, secret } }) as const;
  if (config.passphrase !== undefined) return found({ passphrase: config.passphrase });
  // A copy: the caller may wipe its own.
  if (config.key !== undefined) return found({ key: Uint8Array.from(config.key) });
  const text = environment[STORE_KEY_VARIABLE];
  const phrase = environment[STORE_PASSPHRASE_VARIABLE];
  if (text && phrase) {
    return fail(STORE_KEY_VARIABLE, `is set and so is ${STORE_PASSPHRASE_VARIABLE}; set one of them`);
  }
  if (text) {
    const bytes = Buffer.from(text, 'base64');
    const isCanonical = bytes.toString('base64') === text && bytes.length === STORE_KEY_BYTES;
    return isCanonical ? found({ key: bytes }) : fail(STORE_KEY_VARIABLE, 'is not 32 bytes in base64');
  }
  if (phrase) {
    const parsed = passphrase.safeParse(phrase);
    return parsed.success
      ? found({ passphrase: phrase })
      : fail(STORE_PASSPHRASE_VARIABLE, parsed.error.issues.map(({ message }) => message).join(', '));
  }
  return fail(
    'softwareKeyStore',
    `needs a passphrase or a key, here or in ${STORE_PASSPHRASE_VARIABLE} or ${STORE_KEY_VARIABLE}`,
  );
}
