/**
 * The protected header of a compact JWS or JWE (RFC 7515 section 4, RFC 7516 section 4), read as what it is: text from a
 * stranger. What it says of itself is only ever compared with what the caller expects.
 */

import { decodeBase64url } from './base64url.js';

/** A decoded protected header of a JWS or JWE (RFC 7515 section 4): any JSON object, none of it trusted. */
export type JoseHeader = Readonly<Record<string, unknown>>;

type HeaderResult =
  | { readonly ok: true; readonly header: JoseHeader }
  | { readonly ok: false; readonly check: 'format' | 'size' | 'critical-header'; readonly problem: string };

/** A header of ours has some 200 bytes; one with a certificate chain, a few thousand. */
const HEADER_MAX_LENGTH = 8_192;
/** Names of RFC 7515, 7516 and 7518: an extension must not be called like one (RFC 7515 section 4.1.11). */
const STANDARD_NAMES: readonly string[] = [
  ...['alg', 'jku', 'jwk', 'kid', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'typ', 'cty', 'crit'],
  ...['enc', 'zip', 'epk', 'apu', 'apv', 'iv', 'tag', 'p2s', 'p2c'],
];

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Parses the base64url text of a protected header. `understoodCritical`: extensions that the caller implements. */
export function parseJoseHeader(encoded: string, understoodCritical: readonly string[] = []): HeaderResult {
  if (encoded.length > HEADER_MAX_LENGTH) {
    return {
      ok: false,
      check: 'size',
      problem: `a header has at most ${HEADER_MAX_LENGTH} characters, got ${encoded.length}.`,
    };
  }
  const bytes = decodeBase64url(encoded);
  const header = bytes && parseJsonObject(bytes);
  if (header === undefined) {
    return { ok: false, check: 'format', problem: 'the header is not a JSON object in base64url.' };
  }
  const problem = criticalProblem(header, understoodCritical);
  return problem === undefined ? { ok: true, header } : { ok: false, check: 'critical-header', problem };
}

/** A JSON object in UTF-8, or undefined for anything else. */
export function parseJsonObject(bytes: Uint8Array): JoseHeader | undefined {
  try {
    const value: unknown = JSON.parse(utf8.decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Own member of a header; what an object inherits was not sent by anybody. */
export function memberOf(header: JoseHeader, name: string): unknown {
  return Object.hasOwn(header, name) ? header[name] : undefined;
}

/** Whether two media types of `typ` or `cty` are the same: `application/` may be left out (RFC 7515 section 4.1.9). */
export function isMediaType(actual: unknown, expected: string): boolean {
  return typeof actual === 'string' && mediaType(actual) === mediaType(expected);
}

function mediaType(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes('/') ? lower : `application/${lower}`;
}

function criticalProblem(header: JoseHeader, understood: readonly string[]): string | undefined {
  // Without base64url the payload would be other bytes than the ones that are decoded here (RFC 7797).
  if (memberOf(header, 'b64') === false) {
    return 'a payload that is not base64url (b64) is not understood.';
  }
  if (!Object.hasOwn(header, 'crit')) return undefined;
  const critical = header['crit'];
  if (!Array.isArray(critical) || critical.length === 0) return 'crit is not a list of names.';
  const names: readonly unknown[] = critical;
  const refused = names.find(
    (name, index) =>
      typeof name !== 'string' ||
      STANDARD_NAMES.includes(name) ||
      !understood.includes(name) ||
      !Object.hasOwn(header, name) ||
      names.indexOf(name) !== index,
  );
  return refused === undefined
    ? undefined
    : `the critical extension ${JSON.stringify(refused)?.slice(0, 100)} is not understood.`;
}

const isObject = (value: unknown): value is JoseHeader =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
