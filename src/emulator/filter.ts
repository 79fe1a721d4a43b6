/**
 * Filters of listings, as documented for Cloud KMS ("Sorting and filtering list results"): `=`, `!=`, `<`, `>`, `<=`,
 * `>=` and `:`; AND, OR and NOT (also `-`), of which OR binds tighter than AND; parentheses. The text comes from a client:
 * its length and its nesting are bounded, and whatever is wrong with it is INVALID_ARGUMENT.
 */

import { RpcError, type RpcMessage } from './rpc.js';

const MAX_LENGTH = 10_000;
const MAX_DEPTH = 50;

type Comparator = '=' | '!=' | '<' | '>' | '<=' | '>=' | ':';

type Filter =
  | { readonly kind: 'and' | 'or'; readonly terms: readonly Filter[] }
  | { readonly kind: 'not'; readonly term: Filter }
  | {
      readonly kind: 'compare';
      readonly path: readonly string[];
      readonly comparator: Comparator;
      readonly value: string;
    };

type Token =
  | { readonly kind: 'text' | 'string'; readonly text: string }
  | { readonly kind: 'comparator'; readonly text: Comparator }
  | { readonly kind: '(' | ')' | '-' };

/** @throws RpcError INVALID_ARGUMENT */
export function parseFilter(text: string): Filter {
  if (text.length > MAX_LENGTH) throw invalid(`it is longer than ${MAX_LENGTH} characters`);
  const tokens = tokenize(text);
  let position = 0;
  const peek = (): Token | undefined => tokens[position];
  const isWord = (word: string): boolean => {
    const token = peek();
    return token?.kind === 'text' && token.text === word;
  };

  const parseAnd = (depth: number): Filter => {
    const terms = [parseOr(depth)];
    for (;;) {
      const token = peek();
      if (token === undefined || token.kind === ')') break;
      // Terms next to each other are joined by AND.
      if (isWord('AND')) position += 1;
      terms.push(parseOr(depth));
    }
    return terms.length === 1 && terms[0] !== undefined ? terms[0] : { kind: 'and', terms };
  };
  const parseOr = (depth: number): Filter => {
    const terms = [parseNot(depth)];
    while (isWord('OR')) {
      position += 1;
      terms.push(parseNot(depth));
    }
    return terms.length === 1 && terms[0] !== undefined ? terms[0] : { kind: 'or', terms };
  };
  const parseNot = (depth: number): Filter => {
    if (depth > MAX_DEPTH) throw invalid('it is nested too deeply');
    if (isWord('NOT') || peek()?.kind === '-') {
      position += 1;
      return { kind: 'not', term: parseNot(depth + 1) };
    }
    if (peek()?.kind === '(') {
      position += 1;
      const inner = parseAnd(depth + 1);
      if (peek()?.kind !== ')') throw invalid('a parenthesis is not closed');
      position += 1;
      return inner;
    }
    return parseComparison();
  };
  const parseComparison = (): Filter => {
    const field = tokens[position++];
    const comparator = tokens[position++];
    if (field?.kind !== 'text' || comparator?.kind !== 'comparator')
      throw invalid('a comparison such as state=ENABLED is expected');
    let value = tokens[position++];
    let sign = '';
    if (value?.kind === '-') {
      sign = '-';
      value = tokens[position++];
    }
    if (value?.kind !== 'text' && value?.kind !== 'string')
      throw invalid(`a value is expected after ${field.text}${comparator.text}`);
    const path = field.text.split('.').map(toCamelCase);
    if (path.some((part) => part === '')) throw invalid(`${field.text} is not a field`);
    if (path[0] === 'labels' && field.text.startsWith('labels.'))
      path.splice(1, path.length, field.text.slice('labels.'.length));
    if (!KNOWN_FIELDS.has(path[0] ?? ''))
      throw invalid(`${field.text} is not a field that can be filtered by`);
    return { kind: 'compare', path, comparator: comparator.text, value: sign + value.text };
  };

  const filter = parseAnd(0);
  if (position < tokens.length) throw invalid('a parenthesis too many');
  return filter;
}

/** Whether a resource matches. */
export function matches(filter: Filter, resource: RpcMessage): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.terms.every((term) => matches(term, resource));
    case 'or':
      return filter.terms.some((term) => matches(term, resource));
    case 'not':
      return !matches(filter.term, resource);
    case 'compare':
      return compare(filter, resource);
  }
}

/** Fields of KeyRing, CryptoKey, CryptoKeyVersion and ImportJob. */
const KNOWN_FIELDS = new Set([
  'name',
  'purpose',
  'createTime',
  'nextRotationTime',
  'rotationPeriod',
  'versionTemplate',
  'labels',
  'importOnly',
  'destroyScheduledDuration',
  'cryptoKeyBackend',
  'primary',
  'state',
  'protectionLevel',
  'algorithm',
  'generateTime',
  'destroyTime',
  'destroyEventTime',
  'importJob',
  'importTime',
  'importFailureReason',
  'generationFailureReason',
  'reimportEligible',
  'importMethod',
  'expireTime',
  'expireEventTime',
]);

function compare(filter: Extract<Filter, { kind: 'compare' }>, resource: RpcMessage): boolean {
  const { path, comparator, value } = filter;
  let actual: unknown = resource;
  for (const part of path) {
    actual =
      typeof actual === 'object' && actual !== null && Object.hasOwn(actual, part)
        ? Reflect.get(actual, part)
        : undefined;
  }
  if (comparator === ':') return has(actual, value);
  const order = orderOf(actual, value);
  // A field that is not set differs from every value and is neither above nor below one.
  if (order === undefined) return comparator === '!=';
  switch (comparator) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '>':
      return order > 0;
    case '<=':
      return order <= 0;
    case '>=':
      return order >= 0;
  }
}

/** `:` asks whether a field holds a value: a map has the key, a text contains it, anything is there for `*`. */
function has(actual: unknown, value: string): boolean {
  if (actual === undefined || actual === null) return false;
  if (value === '*') return true;
  if (typeof actual === 'string') return actual.toLowerCase().includes(value.toLowerCase());
  if (typeof actual === 'object' && !('seconds' in actual)) return Object.hasOwn(actual, value);
  return orderOf(actual, value) === 0;
}

/** Below 0, 0 or above 0 as `actual` is before, equal to or after `value`; undefined when they cannot be compared. */
function orderOf(actual: unknown, value: string): number | undefined {
  if (actual === undefined || actual === null) return undefined;
  if (typeof actual === 'string') return actual === value ? 0 : actual < value ? -1 : 1;
  if (typeof actual === 'boolean') return String(actual) === value.toLowerCase() ? 0 : 1;
  if (typeof actual === 'number') return compareNumbers(actual, Number(value));
  if (typeof actual === 'object' && 'seconds' in actual) {
    const nanos = 'nanos' in actual ? Number(actual.nanos) : 0;
    const seconds = Number(actual.seconds) + nanos / 1e9;
    const duration = /^(-?[0-9.]+)s$/.exec(value)?.[1];
    return compareNumbers(seconds, duration === undefined ? Date.parse(value) / 1_000 : Number(duration));
  }
  return undefined;
}

function compareNumbers(actual: number, value: number): number {
  if (Number.isNaN(value))
    throw invalid('a number, a timestamp (RFC 3339) or a duration such as 86400s is expected');
  return actual - value;
}

const toCamelCase = (part: string): string =>
  part.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  // Sticky: each match starts where the last one ended, so the time is linear in the length.
  const pattern =
    /\s*(?:(\()|(\))|(<=|>=|!=|=|<|>|:)|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(-)(?=[\s(A-Za-z0-9])|([^\s()<>=!:"']+))/y;
  // After a comparator a value may hold colons, as timestamps do.
  const value = /\s*([^\s()"'-][^\s()"']*)/y;
  const trimmed = text.trimEnd();
  while (pattern.lastIndex < trimmed.length) {
    const at = pattern.lastIndex;
    if (tokens.at(-1)?.kind === 'comparator') {
      value.lastIndex = at;
      const word = value.exec(trimmed)?.[1];
      if (word !== undefined && !/^[<>=!:]/.test(word)) {
        tokens.push({ kind: 'text', text: word });
        pattern.lastIndex = value.lastIndex;
        continue;
      }
    }
    const match = pattern.exec(trimmed);
    if (match === null) throw invalid(`unexpected ${JSON.stringify(trimmed.slice(at, at + 20))}`);
    const [, open, close, comparator, double, single, minus, word] = match;
    if (open !== undefined) tokens.push({ kind: '(' });
    else if (close !== undefined) tokens.push({ kind: ')' });
    else if (isComparator(comparator)) tokens.push({ kind: 'comparator', text: comparator });
    else if (minus !== undefined) tokens.push({ kind: '-' });
    else if (word !== undefined) tokens.push({ kind: 'text', text: word });
    else tokens.push({ kind: 'string', text: (double ?? single ?? '').replace(/\\(.)/g, '$1') });
  }
  return tokens;
}

const isComparator = (text: string | undefined): text is Comparator =>
  text !== undefined && ['=', '!=', '<', '>', '<=', '>=', ':'].includes(text);

const invalid = (problem: string): RpcError =>
  new RpcError('INVALID_ARGUMENT', `Invalid filter: ${problem}.`);
