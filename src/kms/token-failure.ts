/**
 * Failures to get an access token, which gRPC reports as failures of the call that the token was for: by a fixed beginning of
 * their text and, where a token endpoint answered, its HTTP status in place of a gRPC code (grpc-js, load-balancing-call.ts).
 * Nothing was sent to Cloud KMS then. The text may quote what it could not read, and that can be a credential.
 */

/** Why there was no token. `unreachable` may pass by itself. */
export interface TokenFailure {
  readonly kind: 'unreachable' | 'refused';
  readonly problem: string;
  /** The error itself, unless its text holds a secret. */
  readonly cause: unknown;
}

/** In front of it stands "Invalid status from control plane: …" where the code is one that a plugin must not give. */
const PLUGIN =
  /^(?:Invalid status from control plane: .*?)?Getting metadata from plugin failed with error: /s;
/** gRPC codes of a server that is out of reach: DEADLINE_EXCEEDED, UNAVAILABLE. */
const GRPC_UNREACHABLE: readonly number[] = [4, 14];
/** Timeout, too many requests. Beyond 499 all. */
const HTTP_PASSING: readonly number[] = [408, 429];
/** System errors of a network, and what HTTP clients say of them in their own words (node-fetch, Node.js). */
const NETWORK =
  /\b(?:ENOTFOUND|EAI_AGAIN|ECONN[A-Z]+|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE)\b|socket hang up|network timeout|^.*request to \S+ failed, reason:/s;
/** Token endpoints may answer with a page. */
const MAX_LENGTH = 300;

/** What a gRPC error says of a token that could not be had; undefined for all other errors. */
export function readTokenFailure(cause: unknown): TokenFailure | undefined {
  const code = property(cause, 'code');
  const details = property(cause, 'details');
  if (typeof details !== 'string' || !PLUGIN.test(details)) return undefined;
  const problem = details.replace(PLUGIN, '') || 'no reason was given';
  return { kind: isPassing(code, problem) ? 'unreachable' : 'refused', ...tellable(problem, cause) };
}

/** What may be told of an error about credentials. */
export function tellable(
  text: string,
  cause: unknown,
): { readonly problem: string; readonly cause: unknown } {
  const clean = withoutSecrets(text);
  const problem = clean.length > MAX_LENGTH ? `${clean.slice(0, MAX_LENGTH)}…` : clean;
  return { problem, cause: clean === text ? cause : new Error(problem) };
}

function isPassing(code: unknown, problem: string): boolean {
  if (typeof code === 'number') {
    if (code >= 500 || HTTP_PASSING.includes(code) || GRPC_UNREACHABLE.includes(code)) return true;
    // Any other HTTP status is an answer.
    if (code >= 400) return false;
  }
  return NETWORK.test(problem);
}

/** A text about credentials, without what it quotes of them. */
const withoutSecrets = (text: string): string =>
  text
    // V8 quotes the place where JSON ends being JSON; it may be in the middle of a private key or of a token.
    .replace(/Unexpected token .* is not valid JSON/s, 'not valid JSON')
    // google-auth-library quotes what an executable wrote that is to give a token.
    .replace(/(The (?:executable|output file) .*?(?:invalid response|error message)): .*$/s, '$1')
    .replace(/-----BEGIN.*$/s, '[key]')
    // JSON Web Tokens, and the access and refresh tokens of Google.
    .replace(/\beyJ[\w-]{8,}(?:\.[\w-]*)*/g, '[token]')
    .replace(/\bya29\.[\w.-]+|\b1\/\/[\w-]{20,}/g, '[token]');

function property(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
