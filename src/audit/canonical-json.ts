/** Canonical JSON (RFC 8785). Loaded on first use. */

export type Canonicalize = (value: object) => string;

let loading: Promise<Canonicalize> | undefined;

export function loadCanonicalize(): Promise<Canonicalize> {
  loading ??= import('canonicalize').then(({ default: canonicalize }) => (value) => {
    const text = canonicalize(value);
    if (text === undefined) throw new TypeError('not a JSON object');
    return text;
  });
  return loading;
}
