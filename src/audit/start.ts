/** What a process says of itself and of what it found when it begins to write. */

import { hostname } from 'node:os';
import type { FoundLines } from './chain.js';
import type { AuditNotice } from './line.js';

export function startDetails(found: FoundLines | undefined): AuditNotice['details'] {
  const self = { host: hostname(), pid: process.pid };
  if (found === undefined) return self;
  const { first, last, sha256 } = found;
  return { ...self, unsignedFirst: first, unsignedLast: last, unsignedSha256: sha256 };
}
