/** Audit trails for tests: sinks in memory, trails with a key in software, and what verification says of lines. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { AuditAnchor } from '../../src/audit/audit-trail.js';
import type { AuditVerification } from '../../src/audit/audit-verification.js';
import type { VerifyAuditTrailOptions } from '../../src/audit/verification-input.js';
import { verifyAuditTrail } from '../../src/audit/verify-audit-trail.js';
import type { AuditConfig, AuditSink } from '../../src/config/audit-config.js';
import type { JwkLike } from '../../src/identity/jwk.js';
import { MASTER_KEY_IDS } from '../../src/keys/master-key-name.js';
import type { Logger } from '../../src/logger.js';
import type { SoftwareKeyProviderConfig } from '../../src/software/provider-config.js';
import { SoftwareKeyProvider } from '../../src/software/software-key-provider.js';
import { KEY_RING, silentLogger } from './emulator.js';
import { STORE_KEY } from './software-provider.js';

export const signingSpec = {
  name: 'agent-bot-signing-key',
  purpose: 'ASYMMETRIC_SIGN',
  algorithm: 'EC_SIGN_P256_SHA256',
} as const;

export interface MemorySink extends AuditSink {
  readonly lines: string[];
  /** Thrown instead of taking a line, as long as it is there. */
  failure: Error | undefined;
}

export function memorySink(): MemorySink {
  const lines: string[] = [];
  return {
    lines,
    failure: undefined,
    write(line) {
      if (this.failure !== undefined) throw this.failure;
      lines.push(line);
    },
  };
}

/** Software keys under audit, initialized. */
export async function auditedKeys(
  audit: AuditConfig,
  rest: Partial<SoftwareKeyProviderConfig> = {},
): Promise<SoftwareKeyProvider> {
  const keys = new SoftwareKeyProvider({
    ...KEY_RING,
    softwareKeyStore: { type: 'memory' },
    logger: silentLogger,
    ...rest,
    audit,
  });
  onTestFinished(() => keys.close());
  await keys.initialize();
  return keys;
}

/** The public key of the audit key, PEM. */
export const auditKeyOf = (keys: Pick<SoftwareKeyProvider, 'getPublicKey'>): Promise<Buffer> =>
  keys.getPublicKey(MASTER_KEY_IDS.audit);

export async function* streamOf(lines: readonly string[]): AsyncGenerator<string> {
  for (const line of lines) yield `${line}\n`;
}

export const verifyLines = (
  lines: readonly string[],
  options: VerifyAuditTrailOptions,
): Promise<AuditVerification> => verifyAuditTrail(streamOf(lines), options);

export const parsed = (line: string | undefined): Record<string, unknown> => JSON.parse(line ?? '{}');

/** A folder for an audit file, `audit.jsonl`, and for a store of keys. */
export function auditFolder(): { readonly folder: string; readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'a2a-kms-audit-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, path: join(folder, 'audit.jsonl') };
}

/** Software keys in a store that stays, with an audit file beside it; not initialized. */
export function keysWithAuditFile(
  folder: string,
  audit: Partial<AuditConfig> = {},
  logger: Logger = silentLogger,
): SoftwareKeyProvider {
  const keys = new SoftwareKeyProvider({
    ...KEY_RING,
    softwareKeyStore: { type: 'file', path: join(folder, 'keys'), key: STORE_KEY },
    logger,
    audit: { sink: { type: 'file', path: join(folder, 'audit.jsonl') }, failClosed: true, ...audit },
  });
  onTestFinished(() => keys.close());
  return keys;
}

const vectorFolder = join(import.meta.dirname, '../vectors/audit');
/** Files of a trail that was written once, and of its keys with an anchor. */
export const VECTOR_FILES = {
  trail: join(vectorFolder, 'trail.jsonl'),
  keys: join(vectorFolder, 'keys.json'),
} as const;

/** That trail: its lines, its keys and the anchor at its end. */
export function auditVector(): {
  readonly lines: readonly string[];
  readonly auditKeys: { readonly keys: readonly JwkLike[] };
  readonly anchor: AuditAnchor;
} {
  const { keys, expectedLast } = JSON.parse(readFileSync(VECTOR_FILES.keys, 'utf8'));
  const lines = readFileSync(VECTOR_FILES.trail, 'utf8').trimEnd().split('\n');
  return { lines, auditKeys: { keys }, anchor: expectedLast };
}

/** It up to its first checkpoint: whole as far as it goes. */
export function cutAfterCheckpoint(lines: readonly string[]): readonly string[] {
  return lines.slice(0, lines.findIndex((line) => parsed(line)['type'] === 'checkpoint') + 1);
}
