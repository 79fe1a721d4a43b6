/** What the results were measured on. */

import { readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem, type } from 'node:os';
import { inRepository } from './repository.js';
import type { Environment } from './results-file.js';

/** Packages whose versions change what the benches measure. */
const PACKAGES = [
  '@google-cloud/kms',
  'google-gax',
  '@grpc/grpc-js',
  '@node-rs/crc32',
  'cborg',
  'lru-cache',
  'pino',
  'zod',
];
const GIB = 1_024 ** 3;

export function measuredOn(date: Date): Environment {
  const packages = PACKAGES.map((name) => [name, versionOf(`node_modules/${name}/package.json`)] as const);
  return {
    date: date.toISOString().slice(0, 10),
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round((totalmem() / GIB) * 10) / 10,
      system: `${type()} ${release()} ${arch()}`,
    },
    node: process.versions.node,
    openssl: process.versions.openssl,
    packages: Object.fromEntries([['a2a-kms', versionOf('package.json')], ...packages]),
  };
}

function versionOf(manifest: string): string {
  const { version }: { readonly version?: unknown } = JSON.parse(
    readFileSync(inRepository(manifest), 'utf8'),
  );
  return String(version);
}
