/**
 * From an agent id to the ids and labels of its keys, and back. Two different agent ids never share a key: the readable
 * form keeps the id as it is, the other form is a hash under a prefix that the readable form cannot have, and the
 * labels hold the whole id, so that a lookup can be checked and the agents of a key ring can be listed.
 */

import { createHash } from 'node:crypto';
import type { ParseResult } from './parse-result.js';

declare const brand: unique symbol;
/** An agent id that `parseAgentId` accepted. */
export type AgentId = string & { readonly [brand]: 'AgentId' };

/** What a key of an agent is for. */
export type AgentKeyRole = 'signing' | 'encryption';

const AGENT_ID_MAX_BYTES = 256;
/** Longest label value (Cloud KMS documentation, "Labeling keys"). */
const LABEL_VALUE_MAX_LENGTH = 63;
/** Longest key id (service.proto, CreateCryptoKeyRequest.crypto_key_id). */
const KEY_ID_MAX_LENGTH = 63;
/** Characters of the hash that are kept: 160 bits, out of reach of a collision. */
const HASH_LENGTH = 32;

const ROLE_LABEL = 'a2a-role';
const AGENT_LABEL_PREFIX = 'a2a-agent-';
const READABLE = /^[A-Za-z0-9_-]+$/;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

const isAgentId = (text: string): text is AgentId =>
  text.length > 0 && Buffer.byteLength(text, 'utf8') <= AGENT_ID_MAX_BYTES && text.normalize('NFC') === text;

/**
 * Parses an agent id: any Unicode string of 1 to 256 UTF-8 bytes in normalisation form C (Unicode Standard Annex #15).
 * Another form is refused, not converted: two spellings of one id must not quietly become the same agent.
 */
export function parseAgentId(text: unknown): ParseResult<AgentId> {
  if (typeof text !== 'string') return { ok: false, problem: 'an agent id is a string.' };
  if (text === '') return { ok: false, problem: 'an agent id has at least one character.' };
  // UTF-8 has no form for a lone surrogate: Buffer would write a replacement character in its place.
  if (Buffer.from(text, 'utf8').toString('utf8') !== text) {
    return { ok: false, problem: 'an agent id is well-formed Unicode; this one has a lone surrogate.' };
  }
  const sizeBytes = Buffer.byteLength(text, 'utf8');
  if (sizeBytes > AGENT_ID_MAX_BYTES) {
    return {
      ok: false,
      problem: `an agent id has at most ${AGENT_ID_MAX_BYTES} bytes in UTF-8, this one has ${sizeBytes}.`,
    };
  }
  if (!isAgentId(text)) {
    return {
      ok: false,
      problem: 'an agent id is in Unicode normalisation form C; call .normalize("NFC") on it first.',
    };
  }
  return { ok: true, value: text };
}

/**
 * The short id of an agent's key. `agent-<id>-signing-key` where that is a valid key id; otherwise
 * `agent_<32 characters of lowercase base32 of SHA-256(id)>-signing-key`.
 */
export function agentKeyId(agentId: AgentId, role: AgentKeyRole): string {
  const suffix = `-${role}-key`;
  const readable = `agent-${agentId}${suffix}`;
  if (READABLE.test(agentId) && readable.length <= KEY_ID_MAX_LENGTH) return readable;
  const hash = createHash('sha256').update(agentId, 'utf8').digest();
  return `agent_${base32(hash).slice(0, HASH_LENGTH)}${suffix}`;
}

/** What an error says of a call for an agent: the method, and the agent as it was named, which may be anything. */
export const agentContext = (
  operation: string,
  agentId: unknown,
): { readonly operation: string; readonly resource: string } => ({
  operation,
  resource: `agent ${typeof agentId === 'string' ? JSON.stringify(agentId) : `(${typeof agentId})`}`,
});

/** Whose key it is by a readable key id; undefined for a hashed one, and for keys of nobody. The labels have the last word. */
export function agentOfKeyId(keyId: string): AgentId | undefined {
  const [, id = '', role] = /^agent-(.+)-(signing|encryption)-key$/.exec(keyId) ?? [];
  const parsed = parseAgentId(id);
  if (!parsed.ok || (role !== 'signing' && role !== 'encryption')) return undefined;
  return agentKeyId(parsed.value, role) === keyId ? parsed.value : undefined;
}

/**
 * The short id of the key that a key id, or the full name of a key or version, is of, if it is formed like that of an
 * agent's key. The labels have the last word.
 */
export function agentKeyIdOf(keyId: string): string | undefined {
  const [, id] =
    /^(?:.*\/cryptoKeys\/)?(agent[-_][A-Za-z0-9_-]+-(?:signing|encryption)-key)(?:\/cryptoKeyVersions\/[^/]+)?$/.exec(
      keyId,
    ) ?? [];
  return id;
}

/** The labels that say whose key it is and what for. */
export function agentKeyLabels(agentId: AgentId, role: AgentKeyRole): Record<string, string> {
  const labels: Record<string, string> = { [ROLE_LABEL]: role };
  const encoded = base32(Buffer.from(agentId, 'utf8'));
  for (let part = 0; part * LABEL_VALUE_MAX_LENGTH < encoded.length; part++) {
    const start = part * LABEL_VALUE_MAX_LENGTH;
    labels[`${AGENT_LABEL_PREFIX}${part}`] = encoded.slice(start, start + LABEL_VALUE_MAX_LENGTH);
  }
  return labels;
}

/** The label by which an agent's keys of a role are found in a listing. */
export function agentKeyRoleLabel(role: AgentKeyRole): Record<string, string> {
  return { [ROLE_LABEL]: role };
}

/** Whose key it is by its labels, or undefined when they name no agent (or were damaged). */
export function agentOfLabels(
  labels: Readonly<Record<string, string>>,
): { agentId: AgentId; role: AgentKeyRole } | undefined {
  const role = labels[ROLE_LABEL];
  if (role !== 'signing' && role !== 'encryption') return undefined;
  let encoded = '';
  for (let part = 0; ; part++) {
    const value = labels[`${AGENT_LABEL_PREFIX}${part}`];
    if (value === undefined) break;
    encoded += value;
  }
  const bytes = fromBase32(encoded);
  if (bytes === undefined) return undefined;
  const parsed = parseAgentId(bytes.toString('utf8'));
  // The labels must be exactly the ones this id gets: no second spelling, no part left over.
  if (!parsed.ok || base32(Buffer.from(parsed.value, 'utf8')) !== encoded) return undefined;
  return { agentId: parsed.value, role };
}

/** RFC 4648 section 6 in lower case, without padding. */
function base32(bytes: Uint8Array): string {
  let text = '';
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += BASE32.charAt((buffer >> bits) & 31);
    }
  }
  return bits > 0 ? text + BASE32.charAt((buffer << (5 - bits)) & 31) : text;
}

function fromBase32(text: string): Buffer | undefined {
  const bytes: number[] = [];
  let buffer = 0;
  let bits = 0;
  for (const character of text) {
    const value = BASE32.indexOf(character);
    if (value < 0) return undefined;
    buffer = ((buffer << 5) | value) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((buffer >> bits) & 0xff);
    }
  }
  return Buffer.from(bytes);
}
