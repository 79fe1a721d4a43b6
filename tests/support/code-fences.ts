/**
 * The TypeScript and JavaScript fences of a page as one module. A fence goes on from those above it and may declare their
 * names anew, as if each stood in a block inside the one before.
 */

/** What a reader has before reading a page. */
const CONTEXT = [
  "declare const config: import('a2a-kms').A2AKeyExchangeConfig;",
  "declare const exchange: import('a2a-kms').A2AKeyExchange;",
  "declare const kms: import('a2a-kms').KMSClient;",
  'declare const message: Buffer;',
  'declare const messages: Buffer[];',
].join(' ');

/** A page as a module of as many lines, so that what the compiler says of a line is said of that line of the page. */
export function moduleOf(markdown: string): string {
  const imports = new Map<string, Set<string>>();
  const lines = markdown.split('\n');
  let depth = 0;
  let isInFence = false;
  const body = lines.map((line) => {
    if (!isInFence) {
      isInFence = /^```(?:ts|js)$/.test(line);
      if (isInFence) depth += 1;
      return isInFence ? '{' : '';
    }
    if (line === '```') {
      isInFence = false;
      return '';
    }
    const [, isType, names, from] = /^import (type )?\{ (.+) \} from ('[^']+');$/.exec(line) ?? [];
    if (names === undefined || from === undefined) return line;
    const known = imports.get(from) ?? new Set();
    for (const name of names.split(', ')) known.add(`${isType ?? ''}${name}`);
    imports.set(from, known);
    return '';
  });
  const hoisted = [...imports].map(([from, names]) => `import { ${[...names].join(', ')} } from ${from};`);
  const first = `export {}; ${CONTEXT} ${hoisted.join(' ')} ${body[0]}`;
  return [first, ...body.slice(1), '}'.repeat(depth)].join('\n');
}
