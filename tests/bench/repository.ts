/** Files of this repository, from wherever the bundled bench stands: npm runs its scripts at the root. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export function inRepository(path: string): URL {
  return pathToFileURL(join(process.cwd(), path));
}
