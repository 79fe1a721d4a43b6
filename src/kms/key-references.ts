/** References to keys of a key ring. The hot path is called with the same texts again and again: each is parsed once. */

import { LRUCache } from 'lru-cache';
import type { ParseResult } from '../keys/parse-result.js';
import { type KeyReference, type KeyRingName, parseKeyReference } from '../keys/resource-name.js';

export class KeyReferences {
  readonly #keyRing: KeyRingName;
  readonly #parsed: LRUCache<string, ParseResult<KeyReference>>;

  constructor(keyRing: KeyRingName, options: { readonly maxEntries: number }) {
    this.#keyRing = keyRing;
    this.#parsed = new LRUCache({ max: options.maxEntries });
  }

  /** As `parseKeyReference`. What is none is not remembered: it may be as long as somebody likes. */
  parse(text: string): ParseResult<KeyReference> {
    const known = this.#parsed.get(text);
    if (known !== undefined) return known;
    const parsed = parseKeyReference(text, this.#keyRing);
    if (parsed.ok) this.#parsed.set(text, parsed);
    return parsed;
  }
}
