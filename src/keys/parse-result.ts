/** The outcome of parsing a name: the parsed value, or what is wrong with it. The caller knows the operation and throws. */
export type ParseResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: string };
